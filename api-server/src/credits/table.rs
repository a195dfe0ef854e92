//! All balances of the process, in shards behind locks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;
use hashbrown::hash_table::OccupiedEntry;
use keyplane_core::counter_id::CounterId;

use super::entry::Entry;

const SHARDS: usize = 256;

/// See the module. Threads meet only where their keys share a shard; a lock is held for well under a microsecond.
pub(super) struct Table {
    shards: Box<[Mutex<Shard>]>,
    versions: AtomicU64,
}

/// Counter ids are uniform already: their first bytes are the hash.
#[derive(Default)]
pub(super) struct Shard(HashTable<Entry>);

impl Default for Table {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), versions: AtomicU64::new(0) }
    }
}

impl Table {
    /// The most that one shard may hold when all hold this many.
    pub(super) const fn share(entries: usize) -> usize {
        entries.div_ceil(SHARDS)
    }

    /// The shard of a counter, locked.
    pub(super) fn shard(&self, counter: CounterId) -> MutexGuard<'_, Shard> {
        lock(&self.shards[usize::from(counter.as_bytes()[15]) % SHARDS])
    }

    /// All shards, each locked while it is looked at.
    pub(super) fn shards(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map(lock)
    }

    /// A number that no entry had before.
    pub(super) fn next_version(&self) -> u64 {
        self.versions.fetch_add(1, Ordering::Relaxed)
    }
}

impl Shard {
    pub(super) fn get(&self, counter: CounterId) -> Option<&Entry> {
        self.0.find(counter.prefix(), |entry| entry.counter == counter)
    }

    pub(super) fn get_mut(&mut self, counter: CounterId) -> Option<&mut Entry> {
        self.0.find_mut(counter.prefix(), |entry| entry.counter == counter)
    }

    /// Puts an entry of which the shard holds none.
    pub(super) fn insert(&mut self, entry: Entry) -> &mut Entry {
        self.0.insert_unique(entry.counter.prefix(), entry, |entry| entry.counter.prefix()).into_mut()
    }

    pub(super) fn remove(&mut self, counter: CounterId) -> bool {
        self.0.find_entry(counter.prefix(), |entry| entry.counter == counter).map(OccupiedEntry::remove).is_ok()
    }

    pub(super) fn entries(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.0.iter_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A thread that panicked while it held the lock left consistent entries: each is written whole.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
