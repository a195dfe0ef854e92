//! From a registry's watches to the index: the only writer of it.
//!
//! ```text
//! watches of all kinds -> fold (pure: objects in, index changes out) -> index
//!   snapshot (at first) -^              \-> changes -> snapshot
//! ```

mod fold;
mod following;
mod freshness;
mod progress;

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio_util::sync::CancellationToken;

use self::fold::{Fold, Holding};
pub use self::following::Keeping;
pub use self::freshness::{Freshness, Heard, Origin, Standing};
pub use self::progress::{Phase, Progress, WatchProgress};
use crate::clock;
use crate::credits::Balances;
use crate::index::Index;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::registry::{Event, Kind, Object, Registry, Watch, WatchError};
use crate::snapshot::Changes;

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
    /// Told what the index is worth.
    pub readiness: Readiness,
    /// Counts events.
    pub metrics: Arc<Metrics>,
    /// Told which balances have a key, so that it forgets those without.
    pub balances: Arc<Balances>,
    /// Told how the watches stand.
    pub progress: Arc<Progress>,
}

type Tagged = (usize, Result<Event, WatchError>);

impl Feed {
    /// Follows the registry, and `overlay` objects that it doesn't hold (a bootstrap key beside read-only manifests). Never returns.
    pub async fn run(self, registry: Arc<dyn Registry>, overlay: Vec<Object>) {
        let keeping = Keeping { max_age: None, snapshot: None, stop: CancellationToken::new() };
        self.run_keeping(registry, overlay, keeping).await;
    }

    /// Returns what changed for the snapshot.
    fn take(&self, mirror: &mut Mirror, batch: Vec<Tagged>) -> Changes {
        let was_complete = mirror.is_complete();
        self.note(&batch);
        mirror.apply(batch.into_iter().filter_map(|(source, event)| match event {
            Ok(event) => {
                self.metrics.feed_event();
                Some((source, event))
            }
            Err(error) => {
                self.metrics.feed_error();
                tracing::warn!(%error, "the watch of a registry broke and is tried again");
                None
            }
        }));
        self.metrics.index_holds(mirror.keys(), mirror.callers());
        if mirror.is_complete() {
            self.tell_balances(mirror.credit_changes(), !was_complete);
        }
        mirror.fold.kept_changes()
    }
}

impl Feed {
    fn note(&self, batch: &[Tagged]) {
        let mut noted = self.progress.batch(clock::now());
        for (source, event) in batch {
            match event {
                Ok(event) => noted.event(*source, event),
                Err(error) => noted.error(*source, &error.to_string()),
            }
        }
    }

    /// The first time, `changes` name every key with credits: a balance of none of them is of a key that went while no one looked.
    fn tell_balances(&self, changes: Vec<Holding>, is_first: bool) {
        let now = clock::now();
        if is_first {
            self.balances.all_gone(now);
        }
        for change in changes {
            match change {
                Holding::Begun(counter) => self.balances.there([counter].into_iter()),
                Holding::Ended(counter) => self.balances.gone([counter].into_iter(), now),
            }
        }
    }
}

/// The index and what its writer keeps to write it. Synchronous: whoever has events can have a mirror.
pub struct Mirror {
    fold: Fold,
    index: Arc<Index>,
}

impl Mirror {
    /// A mirror of so many sources, which nobody else writes.
    pub fn new(index: Arc<Index>, sources: usize) -> Self {
        Self { fold: Fold::new(sources), index }
    }

    /// Takes events, each with the number of its source. When this returns, every reader of the index sees what they changed; before every
    /// source has been listed once nobody sees anything.
    pub fn apply(&mut self, events: impl IntoIterator<Item = (usize, Event)>) {
        let mut changes = Vec::new();
        for (source, event) in events {
            self.fold.apply(source, event, &mut changes);
        }
        self.index.apply(changes);
    }

    /// Which balances have got or lost their keys since the last call.
    fn credit_changes(&mut self) -> Vec<Holding> {
        self.fold.credit_changes()
    }

    /// Whether every source has been listed once.
    pub fn is_complete(&self) -> bool {
        self.fold.is_complete()
    }

    /// Keys held, served or not.
    pub fn keys(&self) -> usize {
        self.fold.keys()
    }

    /// Root keys held.
    pub fn callers(&self) -> usize {
        self.fold.callers()
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

#[cfg(test)]
mod tests;
