//! What the benchmark starts as processes of their own: this program again, with a hidden command.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use axum::body::Bytes;
use clap::Subcommand;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::{delay, echo, redis_lookup};

/// One process.
#[derive(Subcommand)]
pub(crate) enum Serve {
    /// Answers everything alike, with axum.
    AxumEcho(Echo),
    /// Answers everything alike, with hyper.
    HyperEcho(Echo),
    /// Looks keys up in Redis.
    RedisLookup {
        #[command(flatten)]
        echo: Echo,
        /// Redis, or the proxy before it.
        #[arg(long)]
        redis: SocketAddr,
    },
    /// Passes bytes on, each a while later.
    Delay {
        /// Where to listen.
        #[arg(long)]
        listen: SocketAddr,
        /// Where to connect to.
        #[arg(long)]
        to: SocketAddr,
        /// In each direction.
        #[arg(long)]
        nanoseconds: u64,
    },
}

/// A server with one answer.
#[derive(clap::Args)]
pub(crate) struct Echo {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// The file with the body of each answer.
    #[arg(long)]
    answer: PathBuf,
}

/// What each server prints once it listens.
pub(crate) const SERVING: &str = "serving";

impl Serve {
    /// Runs until SIGTERM. One worker, as a server bound to one core has.
    pub(crate) fn run(self) -> Result<()> {
        if let Self::Delay { listen, to, nanoseconds } = self {
            return delay::run(listen, to, nanoseconds);
        }
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().context("start tokio")?;
        runtime.block_on(async {
            let mut stop = signal(SignalKind::terminate()).context("wait for SIGTERM")?;
            let mut serving = tokio::spawn(self.serve());
            tokio::select! {
                _ = stop.recv() => Ok(()),
                ended = &mut serving => ended.context("a server panicked")?,
            }
        })
    }

    async fn serve(self) -> Result<()> {
        let (Self::AxumEcho(echo) | Self::HyperEcho(echo) | Self::RedisLookup { echo, .. }) = &self else {
            return Ok(());
        };
        let (listener, answer) = (listen(echo.listen).await?, body(&echo.answer)?);
        match self {
            Self::AxumEcho(_) => echo::axum(listener, answer).await.context("serve with axum"),
            Self::HyperEcho(_) => echo::hyper(listener, answer).await.context("serve with hyper"),
            Self::RedisLookup { redis, .. } => redis_lookup::serve(listener, answer, redis).await,
            Self::Delay { .. } => Ok(()),
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    eprintln!("{SERVING} on {address}");
    Ok(listener)
}

fn body(file: &Path) -> Result<Bytes> {
    Ok(fs::read(file).with_context(|| format!("read {}", file.display()))?.into())
}
