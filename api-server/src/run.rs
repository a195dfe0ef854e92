//! Wires everything, in the order of start and of stop.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use kube::Client;
use prometheus_client::registry::Registry as MetricRegistry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zpages::{Build, Check, Flags, LogLevels, ZPages};

use crate::bootstrap;
use crate::clock;
use crate::config::{Args, RegistryChoice};
use crate::counters::Local;
use crate::credits::Balances;
use crate::engine::Engine;
use crate::events::Events;
use crate::feed::{Feed, Keeping, Progress};
use crate::http::{Admitted, Api, Bounds, Service, serve};
use crate::index::Index;
use crate::metrics::Metrics;
use crate::migration::{Migrations, keep};
use crate::ops;
use crate::pages::{self, Parts};
use crate::readiness::Readiness;
use crate::registry::embedded::Embedded;
use crate::registry::kubernetes::Kubernetes;
use crate::registry::manifests::Manifests;
use crate::registry::{Object, Registry};
use crate::snapshot::{OpenError, Snapshot};
use crate::sweep::{Swept, sweep};

/// Runs until a signal stops it. SIGTERM and SIGINT drain and return; a second one ends the process with code 1.
pub async fn run(args: Args, flags: Flags, log_levels: LogLevels) -> anyhow::Result<()> {
    args.check()?;
    let stop = stop_on_signal()?;
    // Sockets first: a taken port is the commonest mistake, and it must not be found after keys were made and shown.
    let api_socket = bind(args.listen, "--listen").await?;
    let ops_socket = bind(args.ops_listen, "--ops-listen").await?;
    let address = api_socket.local_addr()?;
    let client = cluster(&args).await?;
    let exposure = ops::exposure(&args, client.as_ref())?;

    let (index, readiness, metrics) = (Arc::new(Index::default()), Readiness::default(), Arc::new(Metrics::default()));
    let (counters, events) = (Arc::new(Local::default()), Arc::new(Events::default()));
    let parts = Parts {
        index: index.clone(),
        progress: Arc::new(Progress::default()),
        counters: counters.clone(),
        events: events.clone(),
        balances: Arc::default(),
        snapshot: Arc::default(),
    };
    let snapshots = args.snapshot_dir.is_some();
    let pages = z_pages(flags, &readiness, &metrics, &parts, snapshots, args.profiling.then_some(log_levels));
    let ops = tokio::spawn(exposure.serve(ops_socket, pages, stop.ops.clone().cancelled_owned()));

    // Before the registry, which may make keys that are shown once.
    let balances = open_balances(&args).await?;
    let balances = parts.balances.get_or_init(|| balances).clone();
    let snapshot = open_snapshot(&args, &parts).await?;
    let Opened { registry, overlay, message } = open_registry(&args, client, address).await?;
    let feed = Feed {
        index: index.clone(),
        readiness: readiness.clone(),
        metrics: metrics.clone(),
        balances: balances.clone(),
        progress: parts.progress,
    };
    let after = CancellationToken::new();
    let (migrations, keeping) = migrations(&args, &registry, &after);
    let flushing = tokio::spawn(events.clone().keep_flushing(after.clone()));
    let (max_age, feed_stop) = (args.max_age(), CancellationToken::new());
    let kept = Keeping { max_age, snapshot, stop: feed_stop.clone() };
    let mut feeding = tokio::spawn(feed.run_keeping(registry, overlay, kept));

    let engine = Engine::new(index, counters.clone()).with_balances(balances.clone());
    let engine = Arc::new(engine.with_migrations(migrations.clone()).with_events(events.clone()));
    let (swept, counted) = (balances.clone(), metrics.clone());
    let swept = Swept { counters, balances: swept, migrations, events, engine: engine.clone(), metrics: counted };
    let sweeping = tokio::spawn(sweep(swept));
    let load = metrics.load();
    let api = Api { engine, metrics, readiness: readiness.clone(), v1_namespace: args.v1_verifies().map(Arc::from) };
    let service = Admitted::new(Service::new(api), Bounds::default(), load);
    let mut serving = tokio::spawn(serve::serve(api_socket, service, stop.api.clone()));
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
    // The snapshot is written for the last time.
    feed_stop.cancel();
    feeding.await.context("failed to end the feed")?;
    sweeping.abort();
    // After the last answer: what was learnt by then is written, what was counted is given on.
    after.cancel();
    flushing.await.context("failed to give on the last events")?;
    keeping.await.context("failed to write the last migrated keys")?;
    // And what was not spent goes back to its owners.
    tokio::task::spawn_blocking(move || balances.close()).await?.context("failed to keep the credits that are left")?;
    // Last, so that health and metrics can be read while requests drain.
    stop.ops.cancel();
    ops.await?.context("failed to serve the operational endpoints")?;
    tracing::info!("stopped");
    Ok(())
}

/// What is learnt of keys imported by their long token, and the task that makes it last: with the embedded store, the one that this process
/// may write. In a cluster a control role would do that; its pods learn for themselves.
fn migrations(
    args: &Args,
    registry: &Arc<dyn Registry>,
    stop: &CancellationToken,
) -> (Arc<Migrations>, JoinHandle<()>) {
    match args.registry {
        RegistryChoice::Embedded => {
            let (sender, offers) = mpsc::channel(keep::QUEUE);
            let keeping = tokio::spawn(keep::keep(registry.clone(), offers, stop.clone()));
            (Arc::new(Migrations::kept_by(sender)), keeping)
        }
        RegistryChoice::Manifests(_) | RegistryChoice::Kubernetes => (Arc::default(), tokio::spawn(async {})),
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

async fn open_registry(args: &Args, client: Option<Client>, address: SocketAddr) -> anyhow::Result<Opened> {
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
            let client = client.context("a cluster without a client")?;
            Arc::new(Kubernetes::new(client, args.namespaces.clone()))
        }
    };
    Ok(Opened { registry, overlay, message })
}

/// The snapshot, if one is to be kept. A disk that gives none is no reason not to serve; a directory that another process has is a mistake.
async fn open_snapshot(args: &Args, parts: &Parts) -> anyhow::Result<Option<Snapshot>> {
    let Some(directory) = args.snapshot_dir.clone() else { return Ok(None) };
    match tokio::task::spawn_blocking(move || Snapshot::open(&directory)).await? {
        Ok(snapshot) => {
            parts.snapshot.get_or_init(|| snapshot.status());
            Ok(Some(snapshot))
        }
        Err(error @ OpenError::InUse(_)) => Err(error.into()),
        Err(error) => {
            let error = anyhow::Error::from(error);
            tracing::error!("no snapshot is kept: {error:#}");
            Ok(None)
        }
    }
}

/// Who is asked in a cluster; `None` without one.
async fn cluster(args: &Args) -> anyhow::Result<Option<Client>> {
    if args.registry != RegistryChoice::Kubernetes {
        return Ok(None);
    }
    Client::try_default().await.map(Some).context("failed to find a Kubernetes cluster; set KUBECONFIG")
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

fn z_pages(
    flags: Flags,
    readiness: &Readiness,
    metrics: &Metrics,
    parts: &Parts,
    snapshots: bool,
    debugging: Option<LogLevels>,
) -> axum::Router {
    let mut registry = MetricRegistry::default();
    metrics.register(&mut registry);
    if snapshots {
        metrics.register_snapshot(&mut registry);
    }
    let (index, old, shutdown) = (readiness.clone(), readiness.clone(), readiness.clone());
    let mut z_pages = ZPages::new("keyplane-api-server", env!("CARGO_PKG_VERSION"))
        .build(Build::of_environment(option_env!("KEYPLANE_GIT_COMMIT"), option_env!("KEYPLANE_BUILD_DATE")))
        .flags(flags)
        .configz("keyplane-api-server", pages::CONFIGURATION, "ApiServerConfiguration")
        .check(
            Check::ready("index", move || index.index(clock::now())).warning(move || old.index_warning(clock::now())),
        )
        .check(Check::ready("shutdown", move || shutdown.shutdown()))
        .metrics(registry);
    if let Some(log_levels) = debugging {
        z_pages = z_pages.debugging(log_levels);
    }
    pages::add(z_pages, parts).router().fallback(zpages::not_found)
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
