//! The test kit: a real Kubernetes API, our programs as processes beside it, and waits that end.
//!
//! A module of `tests/kube` is a list of trials, each an async function. The control plane is shared, the namespace is
//! not:
//!
//! ```no_run
//! use std::sync::Arc;
//! use anyhow::Result;
//! use keyplane_tests::{Cluster, SharedCluster, Trial, trials};
//!
//! # const MANIFESTS: &str = "";
//!
//! pub(crate) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
//!     trials![cluster; a_generated_key_is_valid_at_a_pod]
//! }
//!
//! async fn a_generated_key_is_valid_at_a_pod(cluster: Arc<Cluster>) -> Result<()> {
//!     let namespace = cluster.namespace("generate").await?;
//!     let operator = namespace.operator("a").await?.start().await?; // as its ServiceAccount, for this namespace
//!     let pod = namespace.verify_pod("pod-0", &namespace.reader().await?)?.start().await?; // a process; ready
//!     namespace.kubectl().apply(MANIFESTS).await?; // RootKey `caller`, ApiKey `acme`
//!     let (root_key, key) = (namespace.issued_key("caller-key").await?, namespace.issued_key("acme-key").await?);
//!     pod.wait_for_code(&root_key, &key, "VALID").await?;
//!     assert!(!operator.log()?.contains(&key) && !pod.ops_page("/metrics").await?.contains(&key));
//!     assert_eq!(operator.terminate().await?, 0);
//!     Ok(())
//! }
//! ```
//!
//! Traps: a kube client belongs to the runtime that made it, so never keep one across trials (`cluster.client()` makes
//! a new one). What a failing trial's processes printed is shown when they were dropped inside the trial.
//! `KEYPLANE_TESTS_KEEP=1` keeps the directories of control planes. A trial that stops or freezes the API server starts
//! its own: `Cluster::start(Install::CrdsAndChart)`.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it is"
)]

pub mod assets;
pub mod binaries;
pub mod cluster;
pub mod control_plane;
pub mod curl_lines;
mod directory;
pub mod environment;
pub mod harness;
pub mod helm;
mod identity;
pub mod jq;
pub mod kubeconfig;
pub mod kubectl;
pub mod leaks;
pub mod pki;
pub mod ports;
pub mod process;
mod reaper;
pub mod registry_contract;
pub mod server;
mod tool;
mod trial_log;
pub mod wait;
pub mod workspace;

pub use cluster::{Cluster, Install, Namespace};
pub use harness::{SharedCluster, Trials};
pub use kubeconfig::Identity;
pub use libtest_mimic::Trial;
pub use server::{Program, Server};
pub use tool::Refused;
pub use wait::{eventually, throughout};
