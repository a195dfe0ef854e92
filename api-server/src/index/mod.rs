//! The mirror of every key and caller that this pod serves.
//!
//! ```text
//! (namespace, SHA-256) -> shard (of 4,096) -> table -> entry { record, end of this hash }
//! ```
//! Readers load the snapshot of one shard and search a table in it: no lock, no shared write, no eviction, no miss that would mean
//! "ask someone". The one writer (the feed) copies the touched shard, changes the copy and swaps it in.
//! **Cost**: a lookup hashes nothing (SHA-256 is uniform already) and touches two or three cache lines; a change of one key among a
//! million copies about 250 entries.

mod limits;
mod shard;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arc_swap::ArcSwap;
use keyplane_core::hash::KeyHash;
use keyplane_core::record::{KeyRecord, RootRecord};
use keyplane_core::time::Millis;

pub use self::limits::{Exception, NamedLimit, NamedLimits};
use self::shard::Shard;

/// Shards of the key table. At a million keys each holds about 250 entries of 56 bytes, which is what one change copies (14 KiB).
const SHARDS: usize = 4096;

/// A namespace by number: it keeps table entries small. Numbers are given in order of first sight and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NamespaceId(u32);

/// A key under one of its hashes.
#[derive(Clone, Debug)]
pub struct KeyEntry {
    /// The workspace to which the lookup was bound.
    pub namespace: NamespaceId,
    /// SHA-256 of the plain key.
    pub hash: KeyHash,
    /// The end of a rotated-out hash; `None` for a current one.
    pub valid_until: Option<Millis>,
    /// The key.
    pub record: Arc<KeyRecord>,
}

/// A caller under one of its hashes.
#[derive(Clone, Debug)]
pub struct CallerEntry {
    /// The workspace in which the caller acts.
    pub namespace: NamespaceId,
    /// The end of a rotated-out hash.
    pub valid_until: Option<Millis>,
    /// The root key.
    pub record: Arc<RootRecord>,
}

/// One change to the index.
#[derive(Clone, Debug)]
pub enum Change {
    /// Put this key in place of whatever was under its namespace and hash.
    PutKey(KeyEntry),
    /// Forget the key.
    RemoveKey(NamespaceId, KeyHash),
    /// Put this caller in place of whatever was under the hash.
    PutCaller(KeyHash, CallerEntry),
    /// Forget the caller.
    RemoveCaller(KeyHash),
    /// These are the named limits of the namespace now.
    PutLimits(NamespaceId, Arc<NamedLimits>),
}

/// See the module.
pub struct Index {
    shards: Box<[ArcSwap<Shard>]>,
    /// Root keys are few and change rarely: one table, copied whole.
    callers: ArcSwap<HashMap<KeyHash, CallerEntry>>,
    /// One table a namespace; the outer one is copied when a namespace changes.
    limits: ArcSwap<HashMap<NamespaceId, Arc<NamedLimits>>>,
    /// The numbers of the namespaces of which there was ever a key: for requests that name theirs. A few, and never fewer.
    names: ArcSwap<HashMap<Arc<str>, NamespaceId>>,
    /// Differs in each process, so that nobody can prepare hashes that crowd one bucket.
    seed: u64,
}

impl Default for Index {
    fn default() -> Self {
        let seed = RandomState::new().hash_one(0_u8);
        let shards = (0..SHARDS).map(|_| ArcSwap::from_pointee(Shard::default())).collect();
        Self { shards, callers: ArcSwap::default(), limits: ArcSwap::default(), names: ArcSwap::default(), seed }
    }
}

impl Index {
    /// Finds a key of this namespace and hands it to `read` while the snapshot is held; nothing is cloned.
    pub fn key<R>(&self, namespace: NamespaceId, hash: &KeyHash, read: impl FnOnce(&KeyEntry) -> R) -> Option<R> {
        let snapshot = self.shards[shard_of(hash)].load();
        snapshot.get(self.table_hash(namespace, hash), namespace, hash).map(read)
    }

    /// Finds a caller by the hash of its root key, in whichever namespace: root keys are unique in the cluster.
    pub fn caller(&self, hash: &KeyHash) -> Option<CallerEntry> {
        self.callers.load().get(hash).cloned()
    }

    /// The named limits of a namespace.
    pub fn limits(&self, namespace: NamespaceId) -> Option<Arc<NamedLimits>> {
        self.limits.load().get(&namespace).cloned()
    }

    /// The number of a namespace; `None` where no key ever was.
    pub fn namespace(&self, name: &str) -> Option<NamespaceId> {
        self.names.load().get(name).copied()
    }

    /// Keys held, each hash counted. Cost: a walk over the shards.
    pub fn key_count(&self) -> usize {
        self.shards.iter().map(|shard| shard.load().len()).sum()
    }

    /// Callers held.
    pub fn caller_count(&self) -> usize {
        self.callers.load().len()
    }

    /// Applies changes in their order. Only the feed calls this: two writers at once would lose each other's changes.
    /// Each touched shard is copied and swapped once, whatever the number of its changes; readers see a shard before or after.
    pub fn apply(&self, changes: Vec<Change>) {
        let (mut keys, mut callers) = (Vec::with_capacity(changes.len()), None);
        let mut named = None;
        for change in changes {
            match change {
                Change::PutKey(entry) => {
                    // Keys of one namespace come in runs: a million of them cost a comparison each.
                    if named != Some(entry.namespace) {
                        self.learn(entry.namespace, &entry.record.namespace);
                        named = Some(entry.namespace);
                    }
                    keys.push((shard_of(&entry.hash), KeyChange::Put(entry)));
                }
                Change::RemoveKey(namespace, hash) => keys.push((shard_of(&hash), KeyChange::Remove(namespace, hash))),
                Change::PutCaller(hash, entry) => {
                    self.editable(&mut callers).insert(hash, entry);
                }
                Change::RemoveCaller(hash) => {
                    self.editable(&mut callers).remove(&hash);
                }
                Change::PutLimits(namespace, limits) => {
                    let mut all = HashMap::clone(&self.limits.load());
                    all.insert(namespace, limits);
                    self.limits.store(Arc::new(all));
                }
            }
        }
        if let Some(callers) = callers {
            self.callers.store(Arc::new(callers));
        }
        keys.sort_by_key(|(shard, _)| *shard); // stable: the order within a shard stays
        let mut keys = keys.into_iter().peekable();
        while let Some((number, first)) = keys.next() {
            let mut shard = Shard::clone(&self.shards[number].load());
            self.change(&mut shard, first);
            while let Some((_, next)) = keys.next_if(|(other, _)| *other == number) {
                self.change(&mut shard, next);
            }
            self.shards[number].store(Arc::new(shard));
        }
    }

    /// Each key brings the name of its namespace.
    fn learn(&self, namespace: NamespaceId, name: &Arc<str>) {
        if self.namespace(name).is_none() {
            let mut names = HashMap::clone(&self.names.load());
            names.insert(name.clone(), namespace);
            self.names.store(Arc::new(names));
        }
    }

    fn change(&self, shard: &mut Shard, change: KeyChange) {
        match change {
            KeyChange::Put(entry) => {
                let hash = self.table_hash(entry.namespace, &entry.hash);
                shard.put(hash, entry, |e| self.table_hash(e.namespace, &e.hash));
            }
            KeyChange::Remove(namespace, hash) => shard.remove(self.table_hash(namespace, &hash), namespace, &hash),
        }
    }

    fn editable<'a>(
        &self,
        callers: &'a mut Option<HashMap<KeyHash, CallerEntry>>,
    ) -> &'a mut HashMap<KeyHash, CallerEntry> {
        callers.get_or_insert_with(|| HashMap::clone(&self.callers.load()))
    }

    fn table_hash(&self, namespace: NamespaceId, hash: &KeyHash) -> u64 {
        // Multiplying spreads the seed and the namespace over all bits; the constant is 2^64 divided by the golden ratio.
        (hash.prefix() ^ self.seed ^ u64::from(namespace.0)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

enum KeyChange {
    Put(KeyEntry),
    Remove(NamespaceId, KeyHash),
}

/// The shard comes from other bytes than the place within it.
fn shard_of(hash: &KeyHash) -> usize {
    let bytes = hash.as_bytes();
    usize::from(u16::from_le_bytes([bytes[30], bytes[31]])) % SHARDS
}

/// Gives namespaces their numbers. Belongs to the writer.
#[derive(Debug, Default)]
pub struct Namespaces(HashMap<Arc<str>, NamespaceId>);

impl Namespaces {
    /// The number of this namespace, a new one at first sight, and the name as everyone shares it.
    pub fn number(&mut self, name: &str) -> (NamespaceId, Arc<str>) {
        if let Some((shared, id)) = self.0.get_key_value(name) {
            return (*id, shared.clone());
        }
        let id = NamespaceId(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        let shared: Arc<str> = name.into();
        self.0.insert(shared.clone(), id);
        (id, shared)
    }
}

#[cfg(test)]
mod tests;
