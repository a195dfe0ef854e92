//! What the index holds, counted as it changes: so that the content of two pods can be compared without reading either.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use keyplane_core::fingerprint::Fingerprint;
use keyplane_core::plan::Configured;
use keyplane_core::record::{KeyRecord, Place};

/// Keys by namespace and keyspace. Belongs to the writer; a page copies it.
#[derive(Clone, Debug, Default)]
pub(super) struct Census {
    keys: BTreeMap<Arc<str>, BTreeMap<Keyspace, Count>>,
    /// Shards that are in it, from the first on: none until someone asks.
    pub(super) counted: usize,
}

/// A keyspace as it is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Keyspace {
    /// Its name.
    pub name: Box<str>,
    /// `api_…`.
    pub id: Box<str>,
}

/// Some keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many, each hash counted.
    pub keys: u64,
    /// About how many bytes they take: entry, record, texts and limits of each; not what keys share (permissions, identities, keyspaces, the
    /// terms of limits), not what the allocator adds.
    pub bytes: u64,
    /// Of what they say.
    pub digest: Fingerprint,
}

/// The keys of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: Arc<str>,
    /// Its keyspaces that have keys, in the order of their names.
    pub keyspaces: Vec<(Keyspace, Count)>,
}

/// All that the index holds, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Keys, by namespace, in the order of their names.
    pub namespaces: Vec<Namespace>,
    /// The digest of everything that is no key: root keys and named limits.
    pub rest: Fingerprint,
    /// Root keys, each hash counted.
    pub root_keys: u64,
    /// Named limits.
    pub named_limits: u64,
    /// How the keys lie.
    pub shards: Shards,
}

/// The shards of the key table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shards {
    /// How many there are.
    pub count: usize,
    /// Without a key.
    pub empty: usize,
    /// Keys in the fullest.
    pub largest: usize,
}

impl Count {
    /// Adds other keys.
    pub fn add(&mut self, other: &Self) {
        self.keys += other.keys;
        self.bytes += other.bytes;
        self.digest += other.digest;
    }

    fn subtract(&mut self, other: &Self) {
        self.keys = self.keys.saturating_sub(other.keys);
        self.bytes = self.bytes.saturating_sub(other.bytes);
        self.digest -= other.digest;
    }

    /// One entry of this key; it has one for each of its hashes.
    fn of(record: &KeyRecord) -> Self {
        Self { keys: 1, bytes: bytes(record), digest: Fingerprint::of_key(record) }
    }
}

impl Census {
    /// An entry of the key came, or another record in its place.
    pub(super) fn put(&mut self, record: &KeyRecord) {
        let Place { namespace, keyspace, keyspace_id, .. } = &*record.place;
        let keyspace = Keyspace { name: keyspace.clone(), id: keyspace_id.clone() };
        self.keys.entry(namespace.clone()).or_default().entry(keyspace).or_default().add(&Count::of(record));
    }

    /// An entry of the key went, or this record of it. A keyspace without keys is forgotten, and a namespace without keyspaces.
    pub(super) fn remove(&mut self, record: &KeyRecord) {
        let Place { namespace, keyspace, keyspace_id, .. } = &*record.place;
        let Entry::Occupied(mut keyspaces) = self.keys.entry(namespace.clone()) else { return };
        let keyspace = Keyspace { name: keyspace.clone(), id: keyspace_id.clone() };
        if let Entry::Occupied(mut held) = keyspaces.get_mut().entry(keyspace) {
            held.get_mut().subtract(&Count::of(record));
            if held.get().keys == 0 {
                held.remove();
            }
        }
        if keyspaces.get().is_empty() {
            keyspaces.remove();
        }
    }

    /// For a page.
    pub(super) fn namespaces(&self) -> Vec<Namespace> {
        let copy = |(name, keyspaces): (&Arc<str>, &BTreeMap<Keyspace, Count>)| Namespace {
            name: name.clone(),
            keyspaces: keyspaces.iter().map(|(keyspace, count)| (keyspace.clone(), *count)).collect(),
        };
        self.keys.iter().map(copy).collect()
    }
}

/// What a key takes of its own: its entry of 16 bytes, the record with its two counts, its texts, its limits, its former hash and credits.
fn bytes(record: &KeyRecord) -> u64 {
    const ENTRY: usize = 16;
    const COUNTS: usize = 2 * size_of::<usize>();
    let texts = record.id().len()
        + record.object_name().len()
        + record.name_json().map_or(0, str::len)
        + record.meta_json().map_or(0, str::len);
    let limits = record.own_limits().len() + record.selected_limits().len();
    let boxed = record.former.as_deref().map_or(0, size_of_val) + record.credits.as_deref().map_or(0, size_of_val);
    (ENTRY + COUNTS + size_of::<KeyRecord>() + texts + limits * size_of::<Configured>() + boxed) as u64
}

#[cfg(test)]
mod tests {
    use keyplane_core::hash::KeyHash;
    use keyplane_core::time::Millis;
    use proptest::prelude::*;

    use super::*;

    fn record(namespace: u8, key: u8, version: u8) -> KeyRecord {
        let keyspace = format!("api_{}", key % 2);
        let mut record =
            KeyRecord::bare(&format!("key_{key}"), format!("n{namespace}").as_str().into(), "k", &keyspace);
        record.hash = Some(KeyHash::of(&key.to_string()));
        record.expires = Some(Millis(version.into()));
        record
    }

    proptest! {
        /// Whatever the way to a content, the census is that of putting it there directly.
        #[test]
        fn the_way_to_a_content_leaves_no_trace(steps in proptest::collection::vec((0..2_u8, 0..6_u8, proptest::option::of(0..3_u8)), 0..60)) {
            let (mut census, mut oracle) = (Census::default(), BTreeMap::new());
            for (namespace, key, version) in steps {
                if let Some(record) = oracle.remove(&(namespace, key)) {
                    census.remove(&record);
                }
                if let Some(version) = version {
                    let record = record(namespace, key, version);
                    census.put(&record);
                    oracle.insert((namespace, key), record);
                }
            }
            let mut direct = Census::default();
            for record in oracle.values().rev() {
                direct.put(record);
            }
            prop_assert_eq!(census.namespaces(), direct.namespaces());
        }
    }
}
