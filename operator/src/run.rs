//! The life of the process: what starts in which order, and what stops in which order.
//!
//! ```text
//! start  ops listener, resource definitions present, lease taken, controllers
//! stop   controllers (no new reconcile; those under way finish), events flushed, lease released, ops listener
//! ```
//!
//! Exit codes: 0 after SIGTERM or SIGINT; 1 when the lease was lost, a second signal came, or nothing could be started. A process that
//! lost its lease does not try to lead again: it ends and is started anew, with no state that was true only for a leader.

use std::time::Duration;

use keyplane_api::{ApiKey, RootKey};
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use zpages::serve::CertificateError;
use zpages::{Flags, LogLevels, Shutdown};

use crate::config::RunArgs;
use crate::context::Context;
use crate::crds::Presence;
use crate::events::Events;
use crate::lease::{Election, Lost};
use crate::metrics::Metrics;
use crate::{issuance, ops, references, verify_pool};

/// For reconciles under way: each is a few requests of milliseconds; one that hangs is cut off.
const DRAIN: Duration = Duration::from_secs(10);
/// For events still queued, and for giving the lease back.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The kinds without which nothing can be done.
const KINDS: [&str; 9] = [
    "apikeys",
    "identities",
    "keypermissions",
    "keyroles",
    "keyspaces",
    "ratelimitoverrides",
    "ratelimits",
    "rootkeys",
    "verifypools",
];

/// Why nothing could be started. Each text is whole, so that none is printed twice in a chain of causes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No kubeconfig and not in a cluster, or one that cannot be used.
    #[error("failed to find the Kubernetes API: {0}; set KUBECONFIG or run in a pod")]
    Config(Box<kube::config::InferConfigError>),
    /// The configuration leads to no client.
    #[error("failed to make a Kubernetes client: {0}")]
    Client(Box<kube::Error>),
    /// `--ops-listen` cannot be bound.
    #[error("failed to listen on {address} (--ops-listen): {reason}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        reason: std::io::Error,
    },
    /// A certificate or an authority for the operational endpoints can't be used.
    #[error("failed to serve the operational endpoints over TLS (--ops-tls-cert-file, --ops-client-ca-file): {0}")]
    Tls(#[from] CertificateError),
    /// The operating system gave no signal handlers.
    #[error("failed to set up the process: {0}")]
    Process(#[from] std::io::Error),
    /// The operating system gave no randomness.
    #[error("failed to get randomness from the operating system: {0}")]
    Entropy(getrandom::Error),
}

/// Runs the operator to its end and returns the exit code.
pub async fn run(args: RunArgs, flags: Flags, log_levels: LogLevels) -> Result<u8, Error> {
    let mut signals = Signals::new()?;
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let (presence, shutdown, stop_ops) = (Presence::default(), Shutdown::new(), CancellationToken::new());
    let config = kube::Config::infer().await.map_err(|error| Error::Config(Box::new(error)))?;
    let client = Client::try_from(config).map_err(|error| Error::Client(Box::new(error)))?;
    let address = args.ops_listen;
    let listener = ops::bind(address).await.map_err(|reason| Error::Listen { address, reason })?;
    tracing::info!(ops.listen = %listener.local_addr()?, "serving health checks, metrics and z-pages");
    let router = ops::router(flags, presence.clone(), &shutdown, registry, args.profiling.then_some(log_levels));
    let exposure = ops::exposure(&args, client.clone())?;
    let ops = tokio::spawn(ops::serve(listener, exposure, router, stop_ops.clone()));

    let code = tokio::select! {
        code = lead(args, client, presence, metrics, shutdown.clone(), signals.first()) => code?,
        () = signals.again() => {
            tracing::warn!("second signal: stopping at once");
            1
        }
    };
    if code == 0 {
        stop_ops.cancel();
        let _ = timeout(LAST_WORDS, ops).await;
    }
    tracing::info!(exit.code = code, "stopped");
    Ok(code)
}

async fn lead(
    args: RunArgs,
    client: Client,
    presence: Presence,
    metrics: Metrics,
    shutdown: Shutdown,
    signalled: CancellationToken,
) -> Result<u8, Error> {
    let identity = args.identity(getrandom::u64().map_err(Error::Entropy)?);
    let mut election =
        Election::new(client.clone(), args.lease_namespace(), &args.lease_name, &identity, args.lease_duration);
    let elected = async {
        presence.wait(&client, &KINDS).await;
        tracing::info!(lease.name = args.lease_name, lease.identity = identity, "waiting for the lease");
        election.acquire().await;
    };
    tokio::select! {
        () = elected => {}
        () = signalled.cancelled() => {
            shutdown.begin();
            return Ok(0);
        }
    }
    metrics.leader.set(1);
    tracing::info!(lease.identity = identity, "leading");

    let (events, publisher) = Events::start(client.clone(), &identity, metrics.events_dropped.clone());
    let publisher = tokio::spawn(publisher);
    let context = Context { client, events, metrics: metrics.clone() };
    let stop = CancellationToken::new();
    let mut controllers = tokio::spawn(controllers(context, args, stop.clone()));
    let release = CancellationToken::new();
    let held = tokio::spawn({
        let release = release.clone();
        async move { (election.hold(&release).await, election) }
    });
    tokio::pin!(held);

    let lost = tokio::select! {
        () = signalled.cancelled() => None,
        ended = &mut held => Some(ended.map_or(Lost::NotRenewed(Duration::ZERO), |(result, _)| {
            result.err().unwrap_or(Lost::NotRenewed(Duration::ZERO))
        })),
        _ = &mut controllers => {
            // They end only when told to, so one of them broke.
            tracing::error!("the controllers ended by themselves");
            return Ok(1);
        }
    };
    if let Some(lost) = lost {
        // At once, without finishing anything: another process may lead already.
        metrics.leader.set(0);
        tracing::error!(error = %lost, "lost the lease, stopping");
        return Ok(1);
    }
    tracing::info!("stopping: reconciles under way are finished");
    shutdown.begin();
    stop.cancel();
    if timeout(DRAIN, controllers).await.is_err() {
        tracing::warn!(waited = ?DRAIN, "a reconcile did not finish in time");
    }
    let _ = timeout(LAST_WORDS, publisher).await;
    release.cancel();
    if let Ok((_, mut election)) = held.await
        && let Ok(Err(error)) = timeout(LAST_WORDS, election.release()).await
    {
        tracing::warn!(error = %error, "failed to release the lease, it runs out by itself");
    }
    metrics.leader.set(0);
    Ok(0)
}

async fn controllers(context: Context, args: RunArgs, stop: CancellationToken) {
    let scopes = args.scopes();
    tokio::join!(
        issuance::run::<ApiKey>(context.clone(), scopes.clone(), stop.clone()),
        issuance::run::<RootKey>(context.clone(), scopes.clone(), stop.clone()),
        references::run(context.clone(), scopes.clone(), stop.clone()),
        verify_pool::run(context, scopes, args.verify_image, stop),
    );
}

/// SIGTERM and SIGINT: the first is a request, the second an order.
struct Signals {
    first: CancellationToken,
    second: CancellationToken,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let (term, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (first, second) = (CancellationToken::new(), CancellationToken::new());
        tokio::spawn(count(term, interrupt, first.clone(), second.clone()));
        Ok(Self { first, second })
    }

    fn first(&self) -> CancellationToken {
        self.first.clone()
    }

    async fn again(&mut self) {
        self.second.cancelled().await;
    }
}

async fn count(mut term: Signal, mut interrupt: Signal, first: CancellationToken, second: CancellationToken) {
    for token in [first, second] {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        token.cancel();
    }
}
