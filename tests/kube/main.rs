//! Tests against a real Kubernetes API: one module per behaviour. See the kit's first page for how to write one.

mod api;

use std::process::ExitCode;

fn main() -> ExitCode {
    keyplane_tests::harness::main(&[api::trials])
}
