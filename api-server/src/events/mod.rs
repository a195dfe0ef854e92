//! What leaves the engine: one event for each verdict about a key, through a buffer for each worker to one sink.
//!
//! ```text
//! verdict -> buffer of this thread -> batch (1,024 events, 1 MiB or half a second) -> sink
//! ```
//! Nothing here waits and nothing is asked: a sink that can't take a batch loses it, and the loss is counted. A sink that only counts gets
//! numbers: then no event is made and nothing is allocated. **Cost** of that: an addition to a number of the thread's own, below 10 ns; of an
//! event that is wanted some allocations and an uncontended lock.
//!
//! A key that is not there has no event, as no one knows whose it would be.

mod buffer;
mod count;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use keyplane_core::time::Millis;
use keyplane_core::verify::Code;
use tokio_util::sync::CancellationToken;

use self::buffer::Buffers;
pub use self::count::Count;
use crate::clock;

/// The longest that an event waits in a buffer is a second: this, and what the runtime is late.
const FLUSH_EVERY: Duration = Duration::from_millis(500);

/// One verification, as a sink gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When the verdict was given.
    pub time: Millis,
    /// The workspace of the key.
    pub namespace: Box<str>,
    /// `key_…`.
    pub key_id: Box<str>,
    /// `api_…`.
    pub keyspace_id: Box<str>,
    /// Whose key it is: the identity's external id.
    pub external_id: Option<Box<str>>,
    /// The outcome.
    pub code: Code,
    /// What the caller attached to the verification. Texts of its own choice: for analytics alone, never a label of a metric.
    pub tags: Box<[Box<str>]>,
    /// `req_…`, which the answer carries.
    pub request_id: Box<str>,
    /// Credits that were spent: 0 unless the key was valid and has a balance.
    pub spent: u64,
    /// How long it took; `None`: not measured.
    pub latency: Option<Duration>,
}

/// Events on their way, or only their number.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// How many.
    pub count: u64,
    /// The events; empty for a sink that does not want them.
    pub events: Vec<Event>,
}

/// Where batches go.
pub trait EventSink: Send + Sync + 'static {
    /// What it is called on pages.
    fn name(&self) -> &'static str;

    /// Whether it wants more than the number. Asked once.
    fn wants_events(&self) -> bool;

    /// Takes a batch, or gives it up. Called on the verify path: it queues and returns; it never waits, and its queue is bounded.
    ///
    /// # Errors
    /// When there is no room. The batch is lost then.
    fn take(&self, batch: Batch) -> Result<(), Refused>;

    /// Why the last batch did not arrive; `None` when it did.
    fn last_error(&self) -> Option<String> {
        None
    }
}

/// A batch that a sink had no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event sink has no room")]
pub struct Refused;

/// See the module. Shared by all workers.
pub struct Events {
    sink: Box<dyn EventSink>,
    /// Whether it wants events, or their number.
    by_event: bool,
    buffers: Buffers,
    closed: AtomicBool,
    flushed: AtomicU64,
    dropped: [AtomicU64; 2],
    last_flush: AtomicI64,
}

/// Why events were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The sink had no room.
    Refused = 0,
    /// They came after the end.
    Closed = 1,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Refused, Self::Closed];

    /// The label of the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Closed => "closed",
        }
    }
}

/// What happened to events so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// In the buffers now.
    pub queued: u64,
    /// What the buffers hold together before their workers give a batch on.
    pub capacity: u64,
    /// Taken by the sink.
    pub flushed: u64,
    /// Lost, by [`Loss::ALL`].
    pub dropped: [u64; 2],
    /// When the sink last took a batch.
    pub last_flush: Option<Millis>,
    /// The sinks.
    pub sinks: Vec<SinkState>,
}

/// One sink, for pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkState {
    /// Its name.
    pub name: &'static str,
    /// Whether it gets events or their number.
    pub wants_events: bool,
    /// Why the last batch did not arrive.
    pub last_error: Option<String>,
}

impl Default for Events {
    fn default() -> Self {
        Self::new(Count)
    }
}

impl Events {
    /// Events for this sink.
    pub fn new(sink: impl EventSink) -> Self {
        Self {
            by_event: sink.wants_events(),
            sink: Box::new(sink),
            buffers: Buffers::default(),
            closed: AtomicBool::new(false),
            flushed: AtomicU64::new(0),
            dropped: Default::default(),
            last_flush: AtomicI64::new(i64::MIN),
        }
    }

    /// Notes one event. `event` is made only for a sink that wants it. Never waits.
    pub fn record(&self, event: impl FnOnce() -> Event) {
        if self.closed.load(Ordering::Relaxed) {
            self.lost(Loss::Closed, 1);
            return;
        }
        if !self.by_event {
            self.buffers.count();
        } else if let Some(full) = self.buffers.put(event()) {
            self.give(full);
        }
    }

    /// Gives on what has gathered in all buffers.
    pub fn flush(&self) {
        for batch in self.buffers.drain() {
            self.give(batch);
        }
    }

    /// Flushes again and again until `stop`, and then for the last time: what comes later is lost, and counted as that.
    pub async fn keep_flushing(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(FLUSH_EVERY);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.flush();
        }
        self.close();
    }

    /// What happened so far. Cost: takes each buffer's lock once.
    pub fn stats(&self) -> Stats {
        let last_flush = self.last_flush.load(Ordering::Relaxed);
        Stats {
            queued: self.buffers.queued(),
            capacity: self.buffers.capacity(),
            flushed: self.flushed.load(Ordering::Relaxed),
            dropped: Loss::ALL.map(|loss| self.dropped[loss as usize].load(Ordering::Relaxed)),
            last_flush: (last_flush != i64::MIN).then_some(Millis(last_flush)),
            sinks: vec![SinkState {
                name: self.sink.name(),
                wants_events: self.by_event,
                last_error: self.sink.last_error(),
            }],
        }
    }

    /// Ends: the buffers are given on for the last time.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.flush();
    }

    fn give(&self, batch: Batch) {
        let count = batch.count;
        match self.sink.take(batch) {
            Ok(()) => {
                self.flushed.fetch_add(count, Ordering::Relaxed);
                self.last_flush.store(clock::now().0, Ordering::Relaxed);
            }
            Err(Refused) => self.lost(Loss::Refused, count),
        }
    }

    fn lost(&self, loss: Loss, count: u64) {
        self.dropped[loss as usize].fetch_add(count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
