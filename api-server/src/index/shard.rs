//! One shard: an open-addressed table of entries, searched with a hash that the index computes.

use hashbrown::HashTable;
use keyplane_core::hash::KeyHash;

use super::{KeyEntry, NamespaceId};

/// A table of keys. Cloned by the writer for each change, so entries are small and their records shared.
#[derive(Clone, Default)]
pub(super) struct Shard(HashTable<KeyEntry>);

impl Shard {
    pub(super) fn get(&self, table_hash: u64, namespace: NamespaceId, hash: &KeyHash) -> Option<&KeyEntry> {
        self.0.find(table_hash, same(namespace, hash))
    }

    pub(super) fn put(&mut self, table_hash: u64, entry: KeyEntry, rehash: impl Fn(&KeyEntry) -> u64) {
        match self.0.find_mut(table_hash, same(entry.namespace, &entry.hash)) {
            Some(place) => *place = entry,
            None => {
                self.0.insert_unique(table_hash, entry, rehash);
            }
        }
    }

    pub(super) fn remove(&mut self, table_hash: u64, namespace: NamespaceId, hash: &KeyHash) {
        if let Ok(place) = self.0.find_entry(table_hash, same(namespace, hash)) {
            place.remove();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Not `subtle`: who can time a comparison of two SHA-256 values learns bits of a hash, which don't lead to its key.
fn same(namespace: NamespaceId, hash: &KeyHash) -> impl Fn(&KeyEntry) -> bool {
    move |entry| entry.hash == *hash && entry.namespace == namespace
}
