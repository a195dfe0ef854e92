//! Tests against a real Kubernetes API: one module per behaviour. See the kit's first page for how to write one.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a trial that cannot go on should stop where it is"
)]

mod api;
mod charts;
mod custom_resources;
mod flags;
mod happy_path;
mod issuance;
mod operator_faults;
mod page_access;
mod pages_differential;
mod readme;
mod references;
mod registry;
mod rotation;
mod secrets_stay_secret;
mod snapshot;
mod verification;
mod verify_pool;

use std::process::ExitCode;

fn main() -> ExitCode {
    keyplane_tests::harness::main(&[
        api::trials,
        charts::trials,
        custom_resources::trials,
        flags::trials,
        happy_path::trials,
        issuance::trials,
        operator_faults::trials,
        page_access::trials,
        pages_differential::trials,
        readme::trials,
        references::trials,
        registry::trials,
        rotation::trials,
        secrets_stay_secret::trials,
        snapshot::trials,
        verification::trials,
        verify_pool::trials,
    ])
}
