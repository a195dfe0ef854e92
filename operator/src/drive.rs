//! Runs one controller: a queue of requests, a store, a reconcile function, and what happens after a failure.
//!
//! Built on `kube::runtime::applier` rather than on `Controller`, because the queues here need to see deletions and to drop
//! `managedFields` before objects are kept, which `Controller` offers only behind unstable features.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use keyplane_api::Guarded;
use kube::runtime::controller::{self, Action, ReconcileRequest};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{applier, watcher};
use kube::{Resource, ResourceExt};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::context::{Context, Failures};
use crate::metrics::{Controller, Outcome};
use crate::retry::{self, Class};

/// An object as it is watched: one that cannot be read, however deep, is an error of its own instead of the end of the whole watch.
pub type Watched<K> = Guarded<K>;

/// Reconciles of one controller at the same time. Each waits for the API server most of its time; 16 keep one API server busy
/// without being a burst that its fairness would push back (20 seats for a service account by default).
const CONCURRENCY: u16 = 16;

/// Why a reconcile failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request failed; the context says which.
    #[error("failed to {attempted}: {source}")]
    Api {
        /// What was attempted.
        attempted: &'static str,
        /// The client's error.
        #[source]
        source: Box<kube::Error>,
    },
    /// An answer about a Secret that is none. Its text is not repeated: it may hold the plain key.
    #[error("failed to {0}: the answer is not a Secret")]
    NotASecret(&'static str),
    /// The object has no name, namespace or uid, which no API server sends.
    #[error("the object has no {0}")]
    Incomplete(&'static str),
    /// The spec asks for what cannot be; the message names the field.
    #[error("{0}")]
    Spec(String),
    /// An object of ours could not be turned into JSON.
    #[error("failed to serialise an object: {0}")]
    Serialise(#[source] serde_json::Error),
    /// Others keep changing the same object.
    #[error("the object kept changing while it was reconciled")]
    Unsettled,
    /// The operating system gave no randomness.
    #[error("failed to get randomness from the operating system: {0}")]
    Entropy(getrandom::Error),
    /// The reconciler itself is at fault.
    #[error("the reconciler panicked")]
    Panicked,
}

impl Error {
    /// For `map_err`: which request it was.
    pub fn api(attempted: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api { attempted, source: Box::new(source) }
    }

    /// As [`Self::api`], for requests whose answer holds a plain key.
    pub fn secret(attempted: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |error| match error {
            kube::Error::SerdeError(_) => Self::NotASecret(attempted),
            error => Self::api(attempted)(error),
        }
    }

    /// What kind of failure it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Api { source, .. } => retry::classify(source),
            Self::Unsettled => Class::Conflict,
            Self::Entropy(_) | Self::NotASecret(_) => Class::Transient,
            Self::Incomplete(_) | Self::Spec(_) | Self::Serialise(_) | Self::Panicked => Class::Refused,
        }
    }
}

/// The reconciler of one kind.
pub trait Reconcile: Send + Sync + 'static {
    /// The kind.
    type Kind: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static;
    /// Its name in logs and metrics.
    const NAME: &'static str;

    /// Handles that all controllers share.
    fn context(&self) -> &Context;

    /// Makes the cluster match the object.
    fn reconcile(
        self: Arc<Self>,
        object: Arc<Watched<Self::Kind>>,
    ) -> impl Future<Output = Result<Action, Error>> + Send;
}

struct Driver<R> {
    reconciler: Arc<R>,
    failures: Failures,
}

/// Runs until `stop` is cancelled; reconciles under way are finished first.
pub async fn run<R: Reconcile>(
    reconciler: Arc<R>,
    store: Store<Watched<R::Kind>>,
    queue: impl Stream<Item = Result<ReconcileRequest<Watched<R::Kind>>, watcher::Error>> + Send + 'static,
    stop: CancellationToken,
) {
    let watch_errors = reconciler.context().metrics.watch_errors.clone();
    let queue = queue
        .inspect_err(move |error| {
            watch_errors.get_or_create(&Controller { controller: R::NAME }).inc();
            tracing::warn!(controller = R::NAME, error = %error, "a watch broke and begins again");
        })
        // The watches begin again by themselves; for the applier an error is nothing to act on.
        .filter_map(|request| futures::future::ready(request.ok().map(Ok::<_, std::convert::Infallible>)))
        .take_until(stop.cancelled_owned());
    let driver = Arc::new(Driver { reconciler, failures: Failures::default() });
    applier(one, after_failure, driver, store, Box::pin(queue), controller::Config::default().concurrency(CONCURRENCY))
        .for_each(|result| {
            if let Err(error @ (controller::Error::ObjectNotFound(_) | controller::Error::RunnerError(_))) = result {
                // Normal: the object was deleted before its turn came.
                tracing::debug!(controller = R::NAME, error = %error, "nothing to reconcile");
            }
            futures::future::ready(())
        })
        .await;
}

/// One reconcile in a task of its own, so that they run on all cores and a panic ends only this one.
fn one<R: Reconcile>(
    object: Arc<Watched<R::Kind>>,
    driver: Arc<Driver<R>>,
) -> BoxFuture<'static, Result<Action, Error>> {
    async move {
        let begun = Instant::now();
        let name = ObjectRef::from_obj(&*object).to_string();
        let task = driver.reconciler.clone().reconcile(object).in_current_span();
        let result = tokio::spawn(task).await.unwrap_or(Err(Error::Panicked));
        let metrics = &driver.reconciler.context().metrics;
        let outcome = result.as_ref().map_or_else(|error| error.class().as_str(), |_| "ok");
        metrics.reconciles.get_or_create(&Outcome { controller: R::NAME, result: outcome }).inc();
        metrics
            .reconcile_seconds
            .get_or_create(&Controller { controller: R::NAME })
            .observe(begun.elapsed().as_secs_f64());
        if result.is_ok() {
            driver.failures.succeeded(&name);
        }
        result
    }
    .boxed()
}

fn after_failure<R: Reconcile>(object: Arc<Watched<R::Kind>>, error: &Error, driver: Arc<Driver<R>>) -> Action {
    let name = ObjectRef::from_obj(&*object).to_string();
    let wait = driver.failures.failed(&name, error.class());
    let (namespace, name) = (object.namespace(), object.name_any());
    tracing::warn!(controller = R::NAME, object.namespace = namespace, object.name = name, error = %error, retry.after = ?wait, "a reconcile failed");
    Action::requeue(wait)
}
