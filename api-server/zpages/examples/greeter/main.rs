//! A small axum program with z-pages, complete: work on one listener, its explanation on another.
//!
//! ```sh
//! cargo run -p zpages --example greeter -- --ops-listen 127.0.0.1:8081
//! curl -s localhost:8081/statusz
//! ```

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use clap::{CommandFactory, FromArgMatches, Parser};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use zpages::{Check, Flags, Shutdown, ZPages};

/// Greets whoever asks.
#[derive(Debug, Parser)]
#[command(name = "greeter", version)]
struct Options {
    /// Where greetings are served.
    #[arg(long, env = "GREETER_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the program explains itself.
    #[arg(long, env = "GREETER_OPS_LISTEN", default_value = "127.0.0.1:8081")]
    ops_listen: SocketAddr,
    /// A secret: /flagz shows whether it is set, never its value, because its value is hidden in the help too.
    #[arg(long, env = "GREETER_PASSWORD", hide_env_values = true)]
    password: Option<String>,
}

/// What the program has made before it serves: sockets that are bound, and the flags as they were given.
struct Greeter {
    work: TcpListener,
    operations: TcpListener,
    flags: Flags,
}

impl Greeter {
    /// Reads a command line and binds both sockets. Port 0 takes free ones.
    async fn bind(arguments: impl IntoIterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        // In three steps instead of `Options::parse()`, because /flagz lists what the parser knows.
        let command = Options::command();
        let matches = command.clone().try_get_matches_from(arguments)?;
        let options = Options::from_arg_matches(&matches)?;
        Ok(Self {
            work: TcpListener::bind(options.listen).await?,
            operations: TcpListener::bind(options.ops_listen).await?,
            flags: Flags::from_clap(&command, &matches),
        })
    }

    /// The addresses of work and of operations.
    fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.work.local_addr()?, self.operations.local_addr()?))
    }

    /// Serves until `stop` is there, then answers what is under way.
    async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Box<dyn Error>> {
        let greetings: Counter = Counter::default();
        let mut registry = Registry::default();
        registry.register("greeter_greetings", "Greetings given", greetings.clone()); // without `_total`

        let (warm, shutdown) = (Arc::new(AtomicBool::new(false)), Shutdown::new());
        let check = warm.clone();
        let pages = ZPages::new("greeter", env!("CARGO_PKG_VERSION"))
            .flags(self.flags)
            // Quick and synchronous: it reads what the program's own tasks keep.
            .check(Check::ready("warm", move || {
                check.load(Ordering::Acquire).then_some(()).ok_or_else(|| "cold".to_owned())
            }))
            .check(shutdown.check())
            .metrics(registry)
            .router()
            .fallback(zpages::not_found);

        let work = Router::new().route("/hello/{name}", get(greet)).with_state(greetings);
        warm.store(true, Ordering::Release);

        // The pages outlive the work, so that health and metrics can be read while it drains.
        let (drained, last) = oneshot::channel::<()>();
        let operations = axum::serve(self.operations, pages).with_graceful_shutdown(async {
            let _ = last.await;
        });
        let operations = tokio::spawn(operations.into_future());
        axum::serve(self.work, work)
            .with_graceful_shutdown(async move {
                stop.await;
                shutdown.begin(); // from here on /readyz fails, and no new traffic comes
            })
            .await?;
        drop(drained);
        operations.await??;
        Ok(())
    }
}

async fn greet(State(greetings): State<Counter>, Path(name): Path<String>) -> String {
    greetings.inc();
    format!("Hello, {name}!\n")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let greeter = Greeter::bind(std::env::args()).await?;
    let (work, operations) = greeter.addresses()?;
    println!("greetings on http://{work}/hello/you, z-pages on http://{operations}/");
    greeter
        .serve(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await
}

#[cfg(test)]
mod tests;
