//! What of speed can be a test: counts that don't depend on how busy the machine is. Times are printed by the benchmarks beside this file.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it is"
)]

mod benchmark;
mod instructions;
#[path = "verify/keys.rs"]
mod keys;
mod wire;
