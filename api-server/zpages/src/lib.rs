//! Kubernetes z-pages for any axum program: `/statusz`, `/flagz`, `/configz`, `/version`, `/healthz`, `/livez`, `/readyz`,
//! `/metrics`, `/metrics/slis`, `/debug/flags/v`, `/debug/pprof/profile`, an index at `/`, and pages of the program's own,
//! on the wire as the components of Kubernetes 1.36 serve them.
//!
//! The public names, all of them:
//! - [`ZPages`]: the builder. Component name, version, flags, checks and metrics in, an [`axum::Router`] out.
//! - [`Flags`]: names and values for `/flagz`, read from clap ([`Flags::from_clap`]), secrets removed on the way in. A
//!   flag is secret when it is declared with `hide_env_values = true`.
//! - [`Check`]: a named condition of `/livez` (and `/healthz`), of `/readyz`, or of all of them.
//! - [`Shutdown`]: the latch that makes `/readyz` fail while the process drains.
//! - [`Page`]: a page of the program's own in the manner of the others: a serializable structure with a [`PageKind`] (group,
//!   kind, [`PageVersion`]s) and a text made of [`Lines`]; [`NotFound`] where a page is about one thing.
//! - [`rfc3339`]: a point in time as the pages write it.
//! - [`Build`]: where the program was built from, for `/version`.
//! - [`logging`]: log lines to standard error, set up alike in every component; [`LogLevels`] changes what is logged.
//! - [`not_found`]: the fallback for a listener that serves nothing else.
//!
//! ```
//! use clap::{CommandFactory, FromArgMatches, Parser};
//! use prometheus_client::metrics::counter::Counter;
//! use prometheus_client::registry::Registry;
//! use zpages::{Check, Flags, Shutdown, ZPages};
//!
//! #[derive(Parser)]
//! struct Options {
//!     /// Where the operational endpoints are served.
//!     #[arg(long, env = "GREETER_OPS_LISTEN", default_value = "127.0.0.1:0")]
//!     ops_listen: std::net::SocketAddr,
//!     /// Shown as CLASSIFIED when it is set, because its value is hidden in the help too.
//!     #[arg(long, env = "GREETER_PASSWORD", hide_env_values = true)]
//!     password: Option<String>,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let command = Options::command();
//! let matches = command.clone().get_matches_from(["greeter", "--password", "hunter2"]);
//! let options = Options::from_arg_matches(&matches)?;
//!
//! let mut registry = Registry::default();
//! let greetings: Counter = Counter::default();
//! registry.register("greeter_greetings", "Greetings given", greetings.clone());
//!
//! let shutdown = Shutdown::new();
//! let pages = ZPages::new("greeter", env!("CARGO_PKG_VERSION"))
//!     .flags(Flags::from_clap(&command, &matches))
//!     .check(Check::ready("cache", || Err("still loading".to_owned())))
//!     .check(shutdown.check())
//!     .metrics(registry)
//!     .router()
//!     .fallback(zpages::not_found);
//!
//! let listener = tokio::net::TcpListener::bind(options.ops_listen).await?;
//! # let shutdown_soon = shutdown.clone();
//! # tokio::spawn(async move { shutdown_soon.begin() });
//! axum::serve(listener, pages)
//!     .with_graceful_shutdown(async move {
//!         // A program waits for its signal here and then calls `shutdown.begin()`.
//! #       while !shutdown.has_begun() { tokio::task::yield_now().await }
//!     })
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! By itself the crate opens no listener and starts no task, and whoever reaches the router may read it: bind it to loopback. The feature
//! `serve` adds a TLS listener with client certificates, `delegated` asks a Kubernetes API server who may read what.

mod accept;
#[cfg(feature = "serve")]
pub mod access;
mod clock;
mod configz;
mod debug;
mod delimiter;
mod encode;
mod endpoint;
mod exposition;
mod flags;
mod flagz;
#[cfg(test)]
mod golden;
mod health;
mod index;
mod lines;
mod log_levels;
pub mod logging;
mod metrics;
mod mount;
mod negotiate;
mod own;
mod page;
mod process;
mod profile;
mod query;
mod quote;
#[cfg(feature = "serve")]
pub mod serve;
mod slis;
mod statusz;
mod version;
mod yaml;
mod zpages;

pub use clock::rfc3339;
pub use flags::Flags;
pub use health::{Check, Shutdown};
pub use lines::Lines;
pub use log_levels::LogLevels;
pub use mount::not_found;
pub use negotiate::{PageKind, PageVersion};
pub use own::{NotFound, Page};
pub use version::Build;
pub use zpages::ZPages;

/// The README's example, compiled with the doc-tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
