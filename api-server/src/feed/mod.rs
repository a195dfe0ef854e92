//! From a registry's watches to the index: the only writer of it.
//!
//! ```text
//! watches of all kinds -> fold (pure: objects in, index changes out) -> index
//! ```

mod fold;

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BoxStream};

use self::fold::Fold;
use crate::index::Index;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::registry::{Event, Kind, Object, Registry, Source, Watch, WatchError};

/// The kinds that verification needs. What pods may read is exactly this.
pub const KINDS: &[Kind] = &[
    Kind::Keyspace,
    Kind::KeyRole,
    Kind::Identity,
    Kind::RateLimit,
    Kind::RateLimitOverride,
    Kind::RootKey,
    Kind::ApiKey,
];

/// Events taken together when many are waiting: each touched shard of the index is then copied once for all of them.
const BATCH: usize = 1024;

/// Everything the feed writes to.
pub struct Feed {
    /// The mirror.
    pub index: Arc<Index>,
    /// Told when the first synchronisation is complete.
    pub readiness: Readiness,
    /// Counts events.
    pub metrics: Arc<Metrics>,
}

type Tagged = (usize, Result<Event, WatchError>);

impl Feed {
    /// Follows the registry, and `overlay` objects that it doesn't hold (a bootstrap key beside read-only manifests). Never returns.
    pub async fn run(self, registry: Arc<dyn Registry>, overlay: Vec<Object>) {
        let mut sources = registry.sources(KINDS);
        let mut watches: Vec<Watch> = sources.iter().map(|source| registry.watch(source)).collect();
        if let Some(kind) = overlay.first().map(Object::kind) {
            sources.push(Source { kind, namespace: None });
            watches.push(fixed(overlay));
        }
        let mut fold = Fold::new(sources.len());
        let tagged = watches.into_iter().enumerate().map(|(number, watch)| tag(number, watch));
        let mut batches = stream::select_all(tagged).ready_chunks(BATCH);
        while let Some(batch) = batches.next().await {
            self.take(&mut fold, batch);
        }
    }

    fn take(&self, fold: &mut Fold, batch: Vec<Tagged>) {
        let was_complete = fold.is_complete();
        let mut changes = Vec::new();
        for (source, event) in batch {
            match event {
                Ok(event) => {
                    self.metrics.feed_event();
                    fold.apply(source, event, &mut changes);
                }
                Err(error) => {
                    self.metrics.feed_error();
                    tracing::warn!(%error, "the watch of a registry broke and is tried again");
                }
            }
        }
        self.index.apply(changes);
        self.metrics.index_holds(fold.keys(), fold.callers());
        if !was_complete && fold.is_complete() {
            tracing::info!(keys = fold.keys(), root_keys = fold.callers(), "index complete");
            self.readiness.index_is_complete();
        }
    }
}

fn tag(number: usize, watch: Watch) -> BoxStream<'static, Tagged> {
    watch.map(move |event| (number, event)).boxed()
}

/// A watch of objects that never change. It stays open, as a real one does.
fn fixed(objects: Vec<Object>) -> Watch {
    let listing =
        std::iter::once(Event::Restarted).chain(objects.into_iter().map(Event::Applied)).chain([Event::Listed]);
    stream::iter(listing.map(Ok)).chain(stream::pending()).boxed()
}
