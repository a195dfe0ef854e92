//! Verifies API keys from memory. See `ARCHITECTURE.md` at the root for the map.
//!
//! ```text
//! main -> config (the only reader of flags and environment)
//!      -> run: registry -> feed -> index <- engine <- http
//! ```

pub mod bootstrap;
pub mod clock;
pub mod config;
pub mod counters;
pub mod credits;
pub mod engine;
pub mod feed;
pub mod http;
pub mod index;
pub mod metrics;
pub mod readiness;
pub mod registry;
pub mod run;
