//! Root keys: few, and changed rarely, so one table that is copied whole.

use hashbrown::HashTable;
use keyplane_core::hash::KeyHash;

use super::{CallerEntry, Seed};

/// Callers by the hash of their root key.
#[derive(Clone, Default)]
pub(super) struct Callers(HashTable<(KeyHash, CallerEntry)>);

impl Callers {
    pub(super) fn get(&self, seed: &Seed, hash: &KeyHash) -> Option<&CallerEntry> {
        self.0.find(seed.mix(hash.prefix()), |(other, _)| other == hash).map(|(_, entry)| entry)
    }

    pub(super) fn insert(&mut self, seed: &Seed, hash: KeyHash, entry: CallerEntry) {
        self.remove(seed, &hash);
        let rehash = |(hash, _): &(KeyHash, CallerEntry)| seed.mix(hash.prefix());
        self.0.insert_unique(seed.mix(hash.prefix()), (hash, entry), rehash);
    }

    pub(super) fn remove(&mut self, seed: &Seed, hash: &KeyHash) {
        if let Ok(place) = self.0.find_entry(seed.mix(hash.prefix()), |(other, _)| other == hash) {
            place.remove();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(KeyHash, CallerEntry)> {
        self.0.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
