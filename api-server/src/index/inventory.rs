//! Reads the whole index, for pages: slow, and never in the way of a verification.

use std::sync::{Arc, PoisonError};

use keyplane_core::fingerprint::Fingerprint;
use keyplane_core::record::KeyRecord;

use super::census::{Inventory, Shards};
use super::{Index, NamedLimit, NamespaceId};

impl Index {
    /// All that is held, counted. The first time every key is read, one and a half microseconds each, a shard at a time so that the writer
    /// never waits long; from then on the writer keeps the count, and this costs a walk over the shards.
    pub fn inventory(&self) -> Inventory {
        let namespaces = loop {
            let mut census = self.census.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(shard) = self.shards.get(census.counted) else { break census.namespaces() };
            shard.load().records().for_each(|(_, record)| census.put(record));
            census.counted += 1;
        };
        let mut shards = Shards { count: self.shards.len(), ..Shards::default() };
        for shard in &self.shards {
            let keys = shard.load().len();
            shards.empty += usize::from(keys == 0);
            shards.largest = shards.largest.max(keys);
        }
        let (callers, limits) = (self.callers_counted(), self.limits_counted());
        let rest = callers.1 + limits.1;
        Inventory { namespaces, rest, root_keys: callers.0, named_limits: limits.0, shards }
    }

    /// A key by something else than its hash, with the namespace by which it is found. **Cost**: `wanted` is asked about every key: some tens
    /// of milliseconds for a million.
    pub fn find_key(&self, wanted: impl Fn(&KeyRecord) -> bool) -> Option<(NamespaceId, Arc<KeyRecord>)> {
        self.shards.iter().find_map(|shard| {
            let shard = shard.load();
            shard.records().find(|(_, record)| wanted(record)).map(|(namespace, record)| (namespace, record.clone()))
        })
    }

    fn callers_counted(&self) -> (u64, Fingerprint) {
        self.callers.load().iter().fold((0, Fingerprint::default()), |(count, sum), (hash, caller)| {
            let record = &*caller.record;
            let says = (&record.id, &record.namespace, record.enabled, record.expires, &record.grants);
            let entry = (hash.as_bytes(), caller.valid_until, says);
            (count + 1, sum + Fingerprint::of("root key", &entry))
        })
    }

    fn limits_counted(&self) -> (u64, Fingerprint) {
        let (names, limits) = (self.names.load(), self.limits.load());
        let (mut count, mut sum) = (0, Fingerprint::default());
        for (namespace, limits) in limits.iter() {
            // Numbers of namespaces differ between pods. A namespace without keys has limits that nobody can use.
            let name = names.iter().find(|(_, number)| *number == namespace).map(|(name, _)| name.clone());
            for NamedLimit { id, name: limit, algorithm, overrides } in limits.iter() {
                count += 1;
                sum += Fingerprint::of("named limit", &(&name, id, limit, algorithm));
                for (text, exception) in overrides.iter() {
                    sum += Fingerprint::of("override", &(&name, id, text, &exception.id, exception.limit));
                }
            }
        }
        (count, sum)
    }
}

#[cfg(test)]
mod tests {
    use keyplane_core::hash::KeyHash;
    use keyplane_core::time::Millis;

    use super::*;
    use crate::index::{Change, KeyEntry};

    fn put(namespace: u32, key: &str, expires: Option<i64>) -> Change {
        let hash = KeyHash::of(key);
        let mut record = KeyRecord::bare(key, format!("team-{namespace}").as_str().into(), key, "api_1");
        (record.hash, record.expires) = (Some(hash), expires.map(Millis));
        Change::PutKey(KeyEntry { namespace: NamespaceId(namespace), hash, record: Arc::new(record) })
    }

    fn remove(namespace: u32, key: &str) -> Change {
        Change::RemoveKey(NamespaceId(namespace), KeyHash::of(key))
    }

    #[test]
    fn the_count_is_kept_and_equals_one_made_anew() {
        let index = Index::default();
        index.apply(vec![put(0, "a", None), put(0, "b", None), put(1, "a", None)]);
        let before = index.inventory().namespaces;
        assert_eq!(before.iter().map(|namespace| &*namespace.name).collect::<Vec<_>>(), ["team-0", "team-1"]);
        assert_eq!(before[0].keyspaces[0].1.keys, 2);
        // From here on the writer keeps it.
        index.apply(vec![put(0, "a", Some(7)), remove(1, "a"), put(1, "c", None)]);
        let changed = index.inventory();
        let anew = Index::default();
        anew.apply(vec![put(1, "c", None), put(0, "a", Some(7)), put(0, "b", None)]);
        assert_eq!(changed.namespaces, anew.inventory().namespaces);
        assert_ne!(changed.namespaces, before);
        index.apply(vec![put(0, "a", None), remove(1, "c"), put(1, "a", None)]);
        assert_eq!(index.inventory().namespaces, before, "back to the first content");
        assert_eq!(changed.shards.count - changed.shards.empty, 3);
    }

    #[test]
    fn counting_for_the_first_time_while_the_writer_writes_counts_each_entry_once() {
        let (index, anew) = (Index::default(), Index::default());
        let key = |number: u32, expires| put(number % 3, &format!("key-{number}"), Some(expires));
        index.apply((0..500).map(|number| key(number, 0)).collect());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..500 {
                    index.apply(vec![key(number, 1), key(number + 500, 1)]);
                }
            });
            scope.spawn(|| index.inventory());
            index.inventory();
        });
        anew.apply((0..1000).map(|number| key(number, 1)).collect());
        assert_eq!(index.inventory().namespaces, anew.inventory().namespaces);
    }

    #[test]
    fn a_key_is_found_by_its_id() {
        let index = Index::default();
        index.apply(vec![put(0, "a", None), put(1, "b", None)]);
        let (namespace, record) = index.find_key(|record| record.id() == "b").unwrap();
        assert_eq!((namespace, record.id()), (NamespaceId(1), "b"));
        assert!(index.find_key(|record| record.id() == "c").is_none());
    }
}
