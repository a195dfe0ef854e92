//! One shard: entries of 16 bytes, sorted by a tag that is uniform, so that the place of one is guessed and not searched for.

use std::sync::Arc;

use keyplane_core::hash::KeyHash;
use keyplane_core::record::KeyRecord;

use super::{Found, NamespaceId};

/// A sorted list of keys. Copied by the writer for each change: 16 bytes and one reference count an entry.
#[derive(Clone, Default)]
pub(super) struct Shard(Box<[Entry]>);

/// A key under one of its hashes. The hash itself stands in the record, which a reader needs anyway.
#[derive(Clone)]
struct Entry {
    tag: Tag,
    namespace: NamespaceId,
    record: Arc<KeyRecord>,
}

/// Bits of a keyed hash of namespace and SHA-256. Two keys of a shard have the same with a probability of one in four billion.
pub(super) type Tag = u32;

impl Shard {
    /// Cost: an entry or two around the guessed place, usually in one cache line, and the record.
    pub(super) fn get(&self, tag: Tag, namespace: NamespaceId, hash: &KeyHash) -> Option<Found<'_>> {
        let same_tag = self.0.get(first(&self.0, tag)..)?.iter().take_while(|entry| entry.tag == tag);
        same_tag.filter(|entry| entry.namespace == namespace).find_map(|entry| {
            // Not `subtle`: who can time a comparison of two SHA-256 values learns bits of a hash, which don't lead to its key.
            let valid_until = entry.record.serves(hash)?.valid_until;
            Some(Found { record: &entry.record, valid_until })
        })
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Every key, each under the namespace by which it is found.
    pub(super) fn records(&self) -> impl Iterator<Item = (NamespaceId, &Arc<KeyRecord>)> {
        self.0.iter().map(|entry| (entry.namespace, &entry.record))
    }

    /// A copy to change. `more` entries are expected to come.
    pub(super) fn edit(&self, more: usize) -> Edited {
        let mut entries = Vec::with_capacity(self.0.len() + more);
        entries.extend_from_slice(&self.0);
        Edited(entries)
    }
}

/// A shard that is being changed.
pub(super) struct Edited(Vec<Entry>);

impl Edited {
    /// Puts a key in place of whatever is under its namespace and hash, and returns that.
    pub(super) fn put(
        &mut self,
        tag: Tag,
        namespace: NamespaceId,
        hash: &KeyHash,
        record: Arc<KeyRecord>,
    ) -> Option<Arc<KeyRecord>> {
        match self.find(tag, namespace, hash) {
            Ok(place) => self.0.get_mut(place).map(|entry| std::mem::replace(&mut entry.record, record)),
            Err(place) => {
                self.0.insert(place, Entry { tag, namespace, record });
                None
            }
        }
    }

    /// Forgets a key, and returns it.
    pub(super) fn remove(&mut self, tag: Tag, namespace: NamespaceId, hash: &KeyHash) -> Option<Arc<KeyRecord>> {
        self.find(tag, namespace, hash).ok().map(|place| self.0.remove(place).record)
    }

    pub(super) fn done(self) -> Shard {
        Shard(self.0.into())
    }

    /// Where the key is, or where it belongs.
    fn find(&self, tag: Tag, namespace: NamespaceId, hash: &KeyHash) -> Result<usize, usize> {
        let start = first(&self.0, tag);
        let mut same_tag = self.0.iter().skip(start).take_while(|entry| entry.tag == tag);
        let found = same_tag.position(|entry| entry.namespace == namespace && entry.record.serves(hash).is_some());
        found.map_or(Err(start), |step| Ok(start + step))
    }
}

/// Where entries with this tag begin or would. Tags are uniform, so of n entries the place is off by half the square root of n; nobody who does
/// not know the seed can crowd them, and if they were crowded the walk would be longer and still right.
fn first(entries: &[Entry], tag: Tag) -> usize {
    let guess = (u64::from(tag) * entries.len() as u64) >> Tag::BITS;
    let guess = usize::try_from(guess).unwrap_or_default();
    let (before, after) = entries.split_at(guess.min(entries.len()));
    let back = before.iter().rev().take_while(|entry| entry.tag >= tag).count();
    let forward = after.iter().take_while(|entry| entry.tag < tag).count();
    guess - back + forward
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Entry>(), 16);
    }

    fn record(hash: KeyHash) -> Arc<KeyRecord> {
        let mut record = KeyRecord::bare("key_1", "n".into(), "k", "api_1");
        record.hash = Some(hash);
        Arc::new(record)
    }

    /// Few namespaces, hashes and tags, so that they collide; tags at both ends and in crowds.
    fn key() -> impl Strategy<Value = (Tag, u32, u8)> {
        (prop_oneof![0..4_u32, (Tag::MAX - 3)..=Tag::MAX, any::<Tag>()], 0..2_u32, 0..6_u8)
    }

    proptest! {
        #[test]
        fn holds_what_a_map_holds(steps in proptest::collection::vec((key(), any::<bool>()), 0..80)) {
            let mut shard = Shard::default();
            let mut oracle = BTreeMap::new();
            let hash = |hash: u8| KeyHash::from_bytes([hash; 32]);
            for ((tag, namespace, plain), put) in &steps {
                let mut edited = shard.edit(1);
                if *put {
                    let record = record(hash(*plain));
                    let before = oracle.insert((*tag, *namespace, *plain), record.clone());
                    let replaced = edited.put(*tag, NamespaceId(*namespace), &hash(*plain), record);
                    prop_assert_eq!(replaced.map(|r| Arc::as_ptr(&r)), before.map(|r| Arc::as_ptr(&r)));
                } else {
                    let before = oracle.remove(&(*tag, *namespace, *plain));
                    let removed = edited.remove(*tag, NamespaceId(*namespace), &hash(*plain));
                    prop_assert_eq!(removed.map(|r| Arc::as_ptr(&r)), before.map(|r| Arc::as_ptr(&r)));
                }
                shard = edited.done();
                prop_assert_eq!(shard.len(), oracle.len());
            }
            for ((tag, namespace, plain), _) in steps {
                let found = shard.get(tag, NamespaceId(namespace), &hash(plain)).map(|found| Arc::as_ptr(found.record));
                prop_assert_eq!(found, oracle.get(&(tag, namespace, plain)).map(Arc::as_ptr));
            }
        }
    }
}
