//! The api-server alone, from outside: its command line, its files and its two listeners.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it is"
)]

mod bootstrap;
mod command_line;
mod credits;
mod drain;
mod examples;
mod first_start;
mod manifests;
mod page_access;
mod migration;
mod registry;
mod secrets;
mod shown;
mod v1;
