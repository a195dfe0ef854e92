//! The mirror of every key and caller that this pod serves.
//!
//! ```text
//! (namespace, SHA-256) -> shard (of 16,384) -> entries, sorted -> record, which holds its hashes
//! ```
//! Readers load the snapshot of one shard and look into a sorted list: no lock, no shared write, no eviction, no miss that would mean
//! "ask someone". The one writer (the feed) copies the touched shard, changes the copy and swaps it in.
//! **Cost**: a lookup is two multiplications (SHA-256 is uniform already) and touches two cache lines that are cold, entry and record; a change
//! of one key among a million copies about 60 entries of 16 bytes.

mod callers;
mod census;
mod inventory;
mod limits;
mod seed;
mod shard;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use keyplane_core::hash::KeyHash;
use keyplane_core::record::{KeyRecord, RootRecord};
use keyplane_core::time::Millis;

use self::callers::Callers;
use self::census::Census;
pub use self::census::{Count, Inventory, Keyspace, Namespace, Shards};
pub use self::limits::{Exception, NamedLimit, NamedLimits};
use self::seed::Seed;
use self::shard::{Shard, Tag};

/// Shards of the key table. A change copies one: at a million keys 61 entries, whose reference counts are the most of its cost. Without keys
/// all shards are one, and a pointer each.
const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 14;

/// A namespace by number: it keeps table entries small. Numbers are given in order of first sight and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NamespaceId(u32);

/// A key under one of its hashes, for the writer.
#[derive(Clone, Debug)]
pub struct KeyEntry {
    /// The workspace to which the lookup is bound.
    pub namespace: NamespaceId,
    /// SHA-256 of the plain key: one of those in the record.
    pub hash: KeyHash,
    /// The key.
    pub record: Arc<KeyRecord>,
}

/// A key as it was found under one of its hashes.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The key.
    pub record: &'a Arc<KeyRecord>,
    /// The end of a rotated-out hash; `None` for a current one.
    pub valid_until: Option<Millis>,
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
    callers: ArcSwap<Callers>,
    /// One table a namespace; the outer one is copied when a namespace changes.
    limits: ArcSwap<HashMap<NamespaceId, Arc<NamedLimits>>>,
    /// The numbers of the namespaces of which there was ever a key: for requests that name theirs. A few, and never fewer.
    names: ArcSwap<HashMap<Arc<str>, NamespaceId>>,
    seed: Seed,
    /// Of the shards that were counted since someone asked. Locked by the writer for a batch, by who asks for a shard; never by a verification.
    census: Mutex<Census>,
}

impl Default for Index {
    fn default() -> Self {
        let empty = Arc::new(Shard::default());
        let shards = (0..SHARDS).map(|_| ArcSwap::new(empty.clone())).collect();
        let (callers, limits, names) = (ArcSwap::default(), ArcSwap::default(), ArcSwap::default());
        Self { shards, callers, limits, names, seed: Seed::default(), census: Mutex::default() }
    }
}

impl Index {
    /// Finds a key of this namespace and hands it to `read` while the snapshot is held; nothing is cloned.
    pub fn key<R>(&self, namespace: NamespaceId, hash: &KeyHash, read: impl FnOnce(Found<'_>) -> R) -> Option<R> {
        let (shard, tag) = self.place(namespace, hash);
        self.shards[shard].load().get(tag, namespace, hash).map(read)
    }

    /// Finds a caller by the hash of its root key, in whichever namespace: root keys are unique in the cluster.
    pub fn caller(&self, hash: &KeyHash) -> Option<CallerEntry> {
        self.read_caller(hash, CallerEntry::clone)
    }

    /// Finds a caller and hands it to `read` while the snapshot is held; nothing is cloned.
    pub fn read_caller<R>(&self, hash: &KeyHash, read: impl FnOnce(&CallerEntry) -> R) -> Option<R> {
        self.callers.load().get(&self.seed, hash).map(read)
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
    ///
    /// The changes are sorted where they are: at the start there are as many as keys, and what is allocated besides may never go back to
    /// the system.
    pub fn apply(&self, mut changes: Vec<Change>) {
        let mut callers = None;
        let mut named = None;
        changes.retain(|change| {
            match change {
                Change::PutKey(KeyEntry { namespace, record, .. }) => {
                    // Keys of one namespace come in runs: a million of them cost a comparison each.
                    if named != Some(*namespace) {
                        self.learn(*namespace, &record.namespace);
                        named = Some(*namespace);
                    }
                    return true;
                }
                Change::RemoveKey(..) => return true,
                Change::PutCaller(hash, entry) => self.editable(&mut callers).insert(&self.seed, *hash, entry.clone()),
                Change::RemoveCaller(hash) => self.editable(&mut callers).remove(&self.seed, hash),
                Change::PutLimits(namespace, limits) => {
                    let mut all = HashMap::clone(&self.limits.load());
                    all.insert(*namespace, limits.clone());
                    self.limits.store(Arc::new(all));
                }
            }
            false
        });
        if let Some(callers) = callers {
            self.callers.store(Arc::new(callers));
        }
        let mut census = self.census.lock().unwrap_or_else(PoisonError::into_inner);
        let shard_of = |change: &Change| change.key().map_or(0, |(namespace, hash)| self.place(namespace, hash).0);
        changes.sort_by_cached_key(shard_of); // stable: the order within a shard stays
        for changes in changes.chunk_by(|one, next| shard_of(one) == shard_of(next)) {
            let Some(shard) = changes.first().and_then(|change| self.shards.get(shard_of(change))) else { continue };
            let mut edited = shard.load().edit(changes.len());
            for change in changes {
                let Some((namespace, hash)) = change.key() else { continue };
                let (number, tag) = self.place(namespace, hash);
                let record = if let Change::PutKey(entry) = change { Some(&entry.record) } else { None };
                let former = match record {
                    Some(record) => edited.put(tag, namespace, hash, record.clone()),
                    None => edited.remove(tag, namespace, hash),
                };
                // A shard that was not counted yet is counted as it is then.
                if number < census.counted {
                    if let Some(former) = &former {
                        census.remove(former);
                    }
                    if let Some(record) = record {
                        census.put(record);
                    }
                }
            }
            shard.store(Arc::new(edited.done()));
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

    fn editable<'a>(&self, callers: &'a mut Option<Callers>) -> &'a mut Callers {
        callers.get_or_insert_with(|| Callers::clone(&self.callers.load()))
    }

    /// The shard of a key and its tag there: the upper bits of one hash, and its lower ones.
    fn place(&self, namespace: NamespaceId, hash: &KeyHash) -> (usize, Tag) {
        let mixed = self.seed.mix(hash.prefix() ^ u64::from(namespace.0));
        let shard = usize::try_from(mixed >> (u64::BITS - SHARD_BITS)).unwrap_or_default();
        let tag = Tag::try_from(mixed & u64::from(Tag::MAX)).unwrap_or_default();
        (shard, tag)
    }
}

impl Change {
    /// The key that it is about, if it is about one.
    const fn key(&self) -> Option<(NamespaceId, &KeyHash)> {
        match self {
            Self::PutKey(KeyEntry { namespace, hash, .. }) | Self::RemoveKey(namespace, hash) => {
                Some((*namespace, hash))
            }
            Self::PutCaller(..) | Self::RemoveCaller(_) | Self::PutLimits(..) => None,
        }
    }
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
