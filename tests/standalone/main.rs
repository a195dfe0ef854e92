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
mod documented_pages;
mod drain;
mod examples;
mod first_start;
mod manifests;
mod migration;
mod own_pages;
mod page_access;
mod registry;
mod secrets;
mod shown;
mod v1;
