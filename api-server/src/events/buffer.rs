//! A buffer for each worker, so that workers do not wait for each other.

use std::cell::Cell;
use std::mem;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{Batch, Event};

/// A batch is given on when it has this many events ...
const BATCH: usize = 1024;
/// ... or texts of this size: tags can be 40 KiB in one event.
const BATCH_BYTES: usize = 1024 * 1024;
/// No more buffers than this, and a power of two: 64 of 1 MiB each hold 64 MiB at worst, and a number each with a sink that only counts.
const MOST_BUFFERS: usize = 64;

/// See the module. A thread uses one of them; with more threads than buffers some share one, which costs them a wait and loses nothing.
pub(super) struct Buffers(Box<[Buffer]>);

/// On cache lines of its own (two, since processors fetch them in pairs).
#[derive(Default)]
#[repr(align(128))]
struct Buffer {
    /// Events of which only the number is wanted.
    counted: AtomicU64,
    gathered: Mutex<Gathered>,
}

#[derive(Default)]
struct Gathered {
    events: Vec<Event>,
    bytes: usize,
}

impl Default for Buffers {
    fn default() -> Self {
        let workers =
            thread::available_parallelism().map_or(1, |threads| threads.get().next_power_of_two().min(MOST_BUFFERS));
        Self((0..workers).map(|_| Buffer::default()).collect())
    }
}

impl Buffers {
    /// Counts one, without an event. Cost: an addition to a number that other threads touch twice a second.
    pub(super) fn count(&self) {
        self.own().counted.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds one to this thread's buffer; returns it as a batch when it is full.
    pub(super) fn put(&self, event: Event) -> Option<Batch> {
        let mut gathered = self.own().lock();
        gathered.bytes += event.size();
        gathered.events.push(event);
        (gathered.events.len() >= BATCH || gathered.bytes >= BATCH_BYTES).then(|| gathered.take())
    }

    /// Everything that has gathered.
    pub(super) fn drain(&self) -> impl Iterator<Item = Batch> {
        self.0.iter().filter_map(|buffer| {
            let mut batch = buffer.lock().take();
            batch.count += buffer.counted.swap(0, Ordering::Relaxed);
            (batch.count > 0).then_some(batch)
        })
    }

    pub(super) fn queued(&self) -> u64 {
        let of = |buffer: &Buffer| buffer.counted.load(Ordering::Relaxed) + buffer.lock().events.len() as u64;
        self.0.iter().map(of).sum()
    }

    /// There is a power of two of them, so the remainder is a mask.
    fn own(&self) -> &Buffer {
        &self.0[place() & (self.0.len() - 1)]
    }

    pub(super) fn capacity(&self) -> u64 {
        (BATCH * self.0.len()) as u64
    }
}

impl Buffer {
    /// A thread that panicked left a batch that is whole: an event is in it or not.
    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathered {
    fn take(&mut self) -> Batch {
        self.bytes = 0;
        let events = mem::take(&mut self.events);
        Batch { count: events.len() as u64, events }
    }
}

impl Event {
    fn size(&self) -> usize {
        let texts = [&self.namespace, &self.key_id, &self.keyspace_id, &self.request_id];
        let texts = texts.into_iter().chain(&self.external_id).chain(&self.tags).map(|text| text.len());
        size_of::<Self>() + texts.sum::<usize>()
    }
}

/// The number of this thread among those that ever recorded an event.
fn place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PLACE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    PLACE.with(|place| {
        place.get().unwrap_or_else(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            place.set(Some(number));
            number
        })
    })
}
