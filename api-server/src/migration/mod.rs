//! Keys in the format `prefix_short_long` that were imported by their long token alone, from their first use on.
//!
//! ```text
//! first verification with its migrationId -> found under its lookup hash -> learnt: whole key's hash -> lookup hash
//! later ones, without                     -> whole key's hash -> lookup hash -> record
//!                                                     learnt -> queue -> one task -> the object's status (embedded store only)
//! ```
//! What is learnt leads to the lookup hash and not to the record, so the index stays the only one that knows keys: a key that is changed,
//! disabled or deleted is that here too, at once.
//!
//! **How long it lasts.** In the process, at once. For good where this process may write objects (`keep.rs`): there the whole key's hash goes
//! into `status.current`, off the verify path. Pods of a cluster have no right to write: each learns for itself, and again after a restart.
//! [`Migrations::kept_by`] is where a control role would listen.
//!
//! The plain key is never here: only its hashes, its prefix and four characters of its short token, which is no secret.

pub mod keep;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use keyplane_core::hash::KeyHash;
use keyplane_core::time::Millis;
use tokio::sync::mpsc;

use crate::index::NamespaceId;

/// Shards of the table. With a million learnt keys one holds 1,000 of them, and learning one copies 70 KiB.
const SHARDS: usize = 1024;
/// Keys learnt at once. One takes about 250 bytes in both tables: 4 million hold 1 GB, beside records that take several times that.
const MAX_LEARNT: usize = 4_000_000;

/// A hash within its workspace.
type Place = (NamespaceId, KeyHash);

/// See the module.
pub struct Migrations {
    /// The whole key's hash to its lookup hash. Read without a lock; written under `written`.
    learnt: Box<[ArcSwap<HashMap<Place, KeyHash>>]>,
    count: AtomicUsize,
    /// The lookup hash to the whole key's. The first that comes stands, as the first use fixes it at Unkey's: who knows a long token could
    /// otherwise fill the tables with prefixes.
    written: Mutex<HashMap<Place, KeyHash>>,
    offers: Option<mpsc::Sender<Learnt>>,
    lost: AtomicU64,
}

/// A key whose whole hash has become known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learnt {
    /// The workspace.
    pub namespace: Arc<str>,
    /// The name of the `ApiKey`.
    pub object: Box<str>,
    /// Under which it was found.
    pub lookup: KeyHash,
    /// SHA-256 of the whole key.
    pub whole: KeyHash,
    /// What the status may show of the key.
    pub start: Box<str>,
    /// When.
    pub at: Millis,
}

impl Default for Migrations {
    fn default() -> Self {
        Self {
            learnt: (0..SHARDS).map(|_| ArcSwap::default()).collect(),
            count: AtomicUsize::new(0),
            written: Mutex::default(),
            offers: None,
            lost: AtomicU64::new(0),
        }
    }
}

impl Migrations {
    /// What is learnt is offered to this queue too, for whoever makes it last.
    pub fn kept_by(offers: mpsc::Sender<Learnt>) -> Self {
        Self { offers: Some(offers), ..Self::default() }
    }

    /// The lookup hash of a whole key that was learnt. Cost: one load while nothing was ever learnt, else a search, about 40 ns; no lock.
    pub fn lookup_of(&self, namespace: NamespaceId, whole: KeyHash) -> Option<KeyHash> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.shard(whole).load().get(&(namespace, whole)).copied()
    }

    /// Remembers that a key was found under its lookup hash, and says whether it is the one of that hash: the first whole key that comes stands.
    /// Never waits for more than another thread that learns. Without room nothing is learnt, and the key is found each time it comes with
    /// its migration.
    pub fn learn(
        &self,
        namespace: NamespaceId,
        learnt: impl FnOnce() -> Learnt,
        lookup: KeyHash,
        whole: KeyHash,
    ) -> bool {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = written.get(&(namespace, lookup)) {
            return *known == whole;
        }
        if written.len() >= MAX_LEARNT {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        written.insert((namespace, lookup), whole);
        self.edit(whole, |shard| shard.insert((namespace, whole), lookup));
        self.count.fetch_add(1, Ordering::Release);
        drop(written);
        if let Some(offers) = &self.offers
            && offers.try_send(learnt()).is_err()
        {
            // It lasts as long as the process, and is learnt again after that.
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// Forgets, of one shard, what leads to a lookup hash that `is_served` no longer knows. All shards have their turn in `SHARDS` rounds.
    pub fn sweep(&self, round: usize, is_served: impl Fn(NamespaceId, &KeyHash) -> bool) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let shard = self.learnt[round % SHARDS].load();
        let gone: Vec<(Place, KeyHash)> = shard
            .iter()
            .filter(|((namespace, _), lookup)| !is_served(*namespace, lookup))
            .map(|(place, lookup)| (*place, *lookup))
            .collect();
        drop(shard);
        if gone.is_empty() {
            return;
        }
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        for ((namespace, whole), lookup) in gone {
            written.remove(&(namespace, lookup));
            self.edit(whole, |shard| shard.remove(&(namespace, whole)));
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Keys learnt and not forgotten.
    pub fn held(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Keys that could not be learnt, or not be offered to whoever makes them last, for want of room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Changes a shard; called with `written` locked.
    fn edit<R>(&self, whole: KeyHash, change: impl FnOnce(&mut HashMap<Place, KeyHash>) -> R) {
        let mut shard = HashMap::clone(&self.shard(whole).load());
        change(&mut shard);
        self.shard(whole).store(Arc::new(shard));
    }

    fn shard(&self, whole: KeyHash) -> &ArcSwap<HashMap<Place, KeyHash>> {
        let bytes = whole.as_bytes();
        &self.learnt[usize::from(u16::from_le_bytes([bytes[28], bytes[29]])) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Namespaces;

    fn learnt(whole: &str) -> Learnt {
        Learnt {
            namespace: "team-a".into(),
            object: "k".into(),
            lookup: KeyHash::of("lookup"),
            whole: KeyHash::of(whole),
            start: "p_shor".into(),
            at: Millis(1),
        }
    }

    fn teach(migrations: &Migrations, namespace: NamespaceId, lookup: &str, whole: &str) -> bool {
        migrations.learn(namespace, || learnt(whole), KeyHash::of(lookup), KeyHash::of(whole))
    }

    fn namespaces() -> (NamespaceId, NamespaceId) {
        let mut namespaces = Namespaces::default();
        (namespaces.number("team-a").0, namespaces.number("team-b").0)
    }

    #[test]
    fn a_learnt_key_is_known_in_its_namespace() {
        let (migrations, (a, b)) = (Migrations::default(), namespaces());
        assert_eq!(migrations.lookup_of(a, KeyHash::of("whole")), None);
        teach(&migrations, a, "lookup", "whole");
        assert_eq!(migrations.lookup_of(a, KeyHash::of("whole")), Some(KeyHash::of("lookup")));
        assert_eq!(migrations.lookup_of(b, KeyHash::of("whole")), None);
        assert_eq!(migrations.lookup_of(a, KeyHash::of("other")), None);
    }

    #[test]
    fn the_first_whole_key_stands() {
        let (sender, mut offers) = mpsc::channel(8);
        let (migrations, (a, _)) = (Migrations::kept_by(sender), namespaces());
        let stands = ["first", "second", "first"].map(|whole| teach(&migrations, a, "lookup", whole));
        assert_eq!(stands, [true, false, true]);
        assert_eq!(migrations.lookup_of(a, KeyHash::of("second")), None);
        assert_eq!(
            (migrations.held(), offers.try_recv().ok(), offers.try_recv().ok()),
            (1, Some(learnt("first")), None)
        );
    }

    #[test]
    fn a_full_queue_is_counted_and_loses_nothing_in_memory() {
        let (sender, _offers) = mpsc::channel(1);
        let (migrations, (a, _)) = (Migrations::kept_by(sender), namespaces());
        teach(&migrations, a, "one", "1");
        teach(&migrations, a, "two", "2");
        assert_eq!((migrations.lost(), migrations.held()), (1, 2));
        assert!(migrations.lookup_of(a, KeyHash::of("2")).is_some());
    }

    #[test]
    fn what_leads_nowhere_is_forgotten_and_can_be_learnt_again() {
        let (migrations, (a, _)) = (Migrations::default(), namespaces());
        for number in 0..100 {
            teach(&migrations, a, &format!("lookup {number}"), &format!("whole {number}"));
        }
        let stays = KeyHash::of("lookup 7");
        for round in 0..SHARDS {
            migrations.sweep(round, |_, lookup| *lookup == stays);
        }
        assert_eq!(migrations.held(), 1);
        assert_eq!(migrations.lookup_of(a, KeyHash::of("whole 7")), Some(stays));
        assert_eq!(migrations.lookup_of(a, KeyHash::of("whole 8")), None);
        teach(&migrations, a, "lookup 8", "another whole");
        assert_eq!(migrations.held(), 2);
    }
}
