//! Wires everything, in the order of start and of stop.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use prometheus_client::registry::Registry as MetricRegistry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use zpages::{Check, Flags, ZPages};

use crate::bootstrap;
use crate::clock;
use crate::config::{Args, RegistryChoice};
use crate::counters::Local;
use crate::credits::Balances;
use crate::engine::Engine;
use crate::feed::Feed;
use crate::http::{self, Api, serve};
use crate::index::Index;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::registry::embedded::Embedded;
use crate::registry::kubernetes::Kubernetes;
use crate::registry::manifests::Manifests;
use crate::registry::{Object, Registry};

/// Runs until a signal stops it. SIGTERM and SIGINT drain and return; a second one ends the process with code 1.
pub async fn run(args: Args, flags: Flags) -> anyhow::Result<()> {
    args.check()?;
    let stop = stop_on_signal()?;
    // Sockets first: a taken port is the commonest mistake, and it must not be found after keys were made and shown.
    let api_socket = bind(args.listen, "--listen").await?;
    let ops_socket = bind(args.ops_listen, "--ops-listen").await?;
    let address = api_socket.local_addr()?;

    let (index, readiness, metrics) = (Arc::new(Index::default()), Readiness::default(), Arc::new(Metrics::default()));
    let ops = tokio::spawn(serve::serve(ops_socket, z_pages(flags, &readiness, &metrics), stop.ops.clone()));

    // Before the registry, which may make keys that are shown once.
    let balances = open_balances(&args).await?;
    let Opened { registry, overlay, message } = open_registry(&args, address).await?;
    let feed = Feed { index: index.clone(), readiness: readiness.clone(), metrics: metrics.clone() };
    let mut feeding = tokio::spawn(feed.run(registry, overlay));

    let counters = Arc::new(Local::default());
    let sweeping = tokio::spawn(sweep(counters.clone(), balances.clone(), metrics.clone()));
    let api = Api {
        engine: Arc::new(Engine::new(index, counters).with_balances(balances.clone())),
        metrics,
        readiness: readiness.clone(),
        v1_namespace: args.v1_verifies().map(Arc::from),
    };
    let mut serving = tokio::spawn(serve::serve(api_socket, http::router(api), stop.api.clone()));
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "serving");
    if let Some(message) = message {
        readiness.wait_for_index().await;
        // On standard output and not in the log: these keys are for the person at the terminal.
        writeln!(std::io::stdout(), "{message}").context("failed to show the first keys")?;
    }

    tokio::select! {
        () = stop.signal.cancelled() => {}
        // Without a feed the index would grow old in silence: better to end, and be started again.
        ended = &mut feeding => anyhow::bail!("the feed ended by itself: {}", said(ended)),
        ended = &mut serving => anyhow::bail!("serving the API ended by itself: {}", said(ended)),
    }
    tracing::info!("stopping: requests under way are answered");
    readiness.stopping();
    stop.api.cancel();
    serving.await?.context("failed to serve the API")?;
    feeding.abort();
    sweeping.abort();
    // After the last answer: what was not spent goes back to its owners.
    tokio::task::spawn_blocking(move || balances.close()).await?.context("failed to keep the credits that are left")?;
    // Last, so that health and metrics can be read while requests drain.
    stop.ops.cancel();
    ops.await?.context("failed to serve the operational endpoints")?;
    tracing::info!("stopped");
    Ok(())
}

/// Between two pieces of sweeping. All shards have their turn in about half a minute.
const SWEEP_EVERY: Duration = Duration::from_millis(100);

/// Forgets counters whose time is over, a piece at a time. Never returns.
async fn sweep(counters: Arc<Local>, balances: Arc<Balances>, metrics: Arc<Metrics>) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    for round in 0_usize.. {
        ticks.tick().await;
        counters.sweep(round, clock::now());
        if round % 50 == 0 {
            metrics.counters_hold(counters.held());
            metrics.balances_hold(balances.held());
        }
    }
}

/// What a task that should go on for ever left behind.
fn said<T: std::fmt::Debug>(ended: Result<T, tokio::task::JoinError>) -> String {
    match ended {
        Ok(value) => format!("{value:?}"),
        Err(error) => error.to_string(),
    }
}

struct Opened {
    registry: Arc<dyn Registry>,
    /// Objects beside the registry's own.
    overlay: Vec<Object>,
    /// For standard output, once the server answers.
    message: Option<String>,
}

async fn open_registry(args: &Args, address: SocketAddr) -> anyhow::Result<Opened> {
    let workspace = args.workspace.as_str();
    let (mut overlay, mut message) = (Vec::new(), None);
    let registry: Arc<dyn Registry> = match &args.registry {
        RegistryChoice::Embedded => {
            let directory = args.data_dir.clone();
            let embedded = tokio::task::spawn_blocking(move || Embedded::open(&directory)).await??;
            if let Some(key) = &args.bootstrap_root_key {
                bootstrap::ensure_root_key(&embedded, workspace, key).await?;
            } else {
                let keys = bootstrap::first_start(&embedded, workspace).await?;
                message = keys.map(|keys| bootstrap::instructions(&keys, address));
            }
            Arc::new(embedded)
        }
        RegistryChoice::Manifests(directory) => {
            // The directory is read-only: the root key lives beside it, for as long as the process.
            overlay
                .extend(args.bootstrap_root_key.iter().map(|key| bootstrap::bootstrap_root_key(workspace, key).into()));
            Arc::new(Manifests::open(directory, workspace)?)
        }
        RegistryChoice::Kubernetes => {
            let client =
                kube::Client::try_default().await.context("failed to find a Kubernetes cluster; set KUBECONFIG")?;
            Arc::new(Kubernetes::new(client, args.namespaces.clone()))
        }
    };
    Ok(Opened { registry, overlay, message })
}

/// Balances: on the disk where this process alone decides about them, in memory in a cluster.
async fn open_balances(args: &Args) -> anyhow::Result<Arc<Balances>> {
    let balances = match args.registry {
        RegistryChoice::Embedded | RegistryChoice::Manifests(_) => {
            let directory = args.data_dir.clone();
            tokio::task::spawn_blocking(move || Balances::open(&directory)).await??
        }
        RegistryChoice::Kubernetes => Balances::in_memory(),
    };
    Ok(Arc::new(balances))
}

fn z_pages(flags: Flags, readiness: &Readiness, metrics: &Metrics) -> axum::Router {
    let mut registry = MetricRegistry::default();
    metrics.register(&mut registry);
    let (index, shutdown) = (readiness.clone(), readiness.clone());
    ZPages::new("keyplane-api-server", env!("CARGO_PKG_VERSION"))
        .flags(flags)
        .check(Check::ready("index", move || index.index()))
        .check(Check::ready("shutdown", move || shutdown.shutdown()))
        .metrics(registry)
        .router()
        .fallback(zpages::not_found)
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("failed to listen on {address}; stop what uses it or choose another address with {flag}")
    })
}

struct Stop {
    signal: CancellationToken,
    api: CancellationToken,
    ops: CancellationToken,
}

fn stop_on_signal() -> anyhow::Result<Stop> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = Stop { signal: CancellationToken::new(), api: CancellationToken::new(), ops: CancellationToken::new() };
    let first = stop.signal.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        next().await;
        first.cancel();
        next().await;
        tracing::warn!("second signal: stopping at once");
        std::process::exit(1);
    });
    Ok(stop)
}
