//! The operator: makes API keys and verify pods out of Keyplane's resources.
//!
//! ```text
//! main -> config (the only reader of flags and environment)
//!      -> run: ops listener -> resource definitions present? -> lease -> controllers
//!              issuance (ApiKey, RootKey)    verify_pool (VerifyPool)    references (all that is named, and who names it)
//! ```
//!
//! Each controller is a row of steps in files of the same names: `gather` reads, `decide` decides, `build` builds, `apply` writes,
//! `status` reports. Only `gather` and `apply` hold a client.

pub mod clock;
pub mod config;
pub mod context;
pub mod crds;
pub mod drive;
pub mod events;
pub mod issuance;
pub mod lease;
pub mod metrics;
pub mod ops;
pub mod rbac;
pub mod references;
pub mod retry;
pub mod run;
pub mod verify_pool;
