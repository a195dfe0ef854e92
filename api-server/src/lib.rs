//! Verifies API keys from memory. See `ARCHITECTURE.md` at the root for the map.
//!
//! ```text
//! main -> config (the only reader of flags and environment)
//!      -> run: registry -> feed -> index <- engine <- http
//! ```

mod answer;
pub mod bootstrap;
mod bounded_value;
pub mod clock;
pub mod config;
pub mod counters;
pub mod credits;
pub mod engine;
pub mod events;
pub mod feed;
pub mod http;
pub mod index;
pub mod metrics;
pub mod migration;
pub mod ops;
pub mod pages;
pub mod readiness;
pub mod registry;
pub mod run;
pub mod snapshot;
mod sweep;
pub mod waits;
