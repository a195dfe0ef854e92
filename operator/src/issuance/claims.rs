//! Who has which hash: the index by which two keys with one hash are noticed.
//!
//! Fed from the watch alone, each event before its object is reconciled, so it always matches the store. Of several claimants the
//! oldest wins (creation time, then uid), the same rule that verify pods follow by themselves.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::jiff::Timestamp;
use keyplane_core::hash::KeyHash;

/// Where a hash must be unique: a namespace, or the cluster (the empty string).
type Realm = String;

/// One object that claims a hash. Ordered by age: creation time, then uid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claimant {
    /// `metadata.creationTimestamp`.
    pub created: Timestamp,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// All claims of one kind. About 300 bytes for each key.
#[derive(Default)]
pub(super) struct Claims {
    groups: HashMap<(Realm, KeyHash), BTreeSet<Claimant>>,
    by_uid: HashMap<String, (Realm, KeyHash, Claimant)>,
}

impl Claims {
    /// Notes what `claimant` claims now (`None`: nothing). Returns the other objects whose standing may have changed: at most two
    /// for each hash, however many claim it. Cost: O(log n) of those with the same hash.
    pub(super) fn observe(&mut self, claimant: Claimant, realm: &str, hash: Option<KeyHash>) -> Vec<Claimant> {
        let known = self.by_uid.get(&claimant.uid);
        if known.map(|(realm, hash, _)| (realm.as_str(), *hash)) == hash.map(|hash| (realm, hash)) {
            return Vec::new();
        }
        let uid = claimant.uid.clone();
        let mut touched = self.forget(&uid);
        if let Some(hash) = hash {
            let group = self.groups.entry((realm.to_owned(), hash)).or_default();
            let before = group.first().cloned();
            group.insert(claimant.clone());
            if group.first() == Some(&claimant) {
                touched.extend(before);
            }
            self.by_uid.insert(uid.clone(), (realm.to_owned(), hash, claimant));
        }
        touched.retain(|other| other.uid != uid);
        touched
    }

    /// Forgets what the object with this uid claimed. Returns the one that wins in its place, if it had won.
    pub(super) fn forget(&mut self, uid: &str) -> Vec<Claimant> {
        let Some((realm, hash, claimant)) = self.by_uid.remove(uid) else { return Vec::new() };
        let key = (realm, hash);
        let Some(group) = self.groups.get_mut(&key) else { return Vec::new() };
        let had_won = group.first() == Some(&claimant);
        group.remove(&claimant);
        if group.is_empty() {
            self.groups.remove(&key);
            return Vec::new();
        }
        if had_won { group.first().cloned().into_iter().collect() } else { Vec::new() }
    }

    /// The claimant of this hash that is older than `claimant`, if there is one. Cost: O(log n) of those with the same hash.
    pub(super) fn older(&self, claimant: &Claimant, realm: &str, hash: KeyHash) -> Option<Claimant> {
        let oldest = self.groups.get(&(realm.to_owned(), hash))?.first()?;
        (oldest < claimant).then(|| oldest.clone())
    }

    /// Forgets every claimant that `exists` denies: what was deleted while no watch was open. Returns who wins instead.
    pub(super) fn prune(&mut self, exists: impl Fn(&Claimant) -> bool) -> Vec<Claimant> {
        let gone: Vec<String> = self
            .by_uid
            .values()
            .filter(|(.., claimant)| !exists(claimant))
            .map(|(.., claimant)| claimant.uid.clone())
            .collect();
        gone.iter().flat_map(|uid| self.forget(uid)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimant(second: i64, uid: &str) -> Claimant {
        Claimant {
            created: Timestamp::from_second(second).unwrap(),
            uid: uid.to_owned(),
            namespace: "n".to_owned(),
            name: uid.to_owned(),
        }
    }

    fn hash() -> KeyHash {
        KeyHash::of("same")
    }

    fn older(claims: &Claims, who: &Claimant) -> Option<String> {
        claims.older(who, "n", hash()).map(|winner| winner.uid)
    }

    #[test]
    fn the_older_wins_then_the_smaller_uid() {
        let mut claims = Claims::default();
        let (first, second, third) = (claimant(1, "z"), claimant(2, "a"), claimant(2, "b"));
        for who in [&third, &first, &second] {
            claims.observe(who.clone(), "n", Some(hash()));
        }
        assert_eq!(older(&claims, &first), None);
        assert_eq!(older(&claims, &second), Some("z".to_owned()));
        claims.forget("z");
        assert_eq!(older(&claims, &second), None);
        assert_eq!(older(&claims, &third), Some("a".to_owned()));
    }

    #[test]
    fn only_those_whose_standing_changed_are_touched() {
        let mut claims = Claims::default();
        assert_eq!(claims.observe(claimant(5, "e"), "n", Some(hash())), []);
        assert_eq!(claims.observe(claimant(6, "f"), "n", Some(hash())), [], "a newer one changes nothing for others");
        assert_eq!(
            claims.observe(claimant(1, "a"), "n", Some(hash())),
            [claimant(5, "e")],
            "the winner so far has lost"
        );
        assert_eq!(claims.observe(claimant(1, "a"), "n", Some(hash())), [], "the same again is no news");
        assert_eq!(claims.observe(claimant(1, "a"), "n", Some(KeyHash::of("other"))), [claimant(5, "e")]);
        assert_eq!(claims.forget("e"), [claimant(6, "f")], "the next one wins now");
        assert_eq!(claims.forget("f"), []);
        assert!(claims.groups.len() == 1 && claims.by_uid.len() == 1, "nothing is left behind");
    }

    #[test]
    fn realms_never_meet() {
        let mut claims = Claims::default();
        claims.observe(claimant(1, "a"), "n", Some(hash()));
        claims.observe(claimant(2, "b"), "m", Some(hash()));
        assert_eq!(claims.older(&claimant(2, "b"), "m", hash()), None);
    }

    #[test]
    fn what_was_deleted_unseen_is_pruned() {
        let mut claims = Claims::default();
        claims.observe(claimant(1, "a"), "n", Some(hash()));
        claims.observe(claimant(2, "b"), "n", Some(hash()));
        assert_eq!(claims.prune(|who| who.uid != "a"), [claimant(2, "b")]);
        assert_eq!(older(&claims, &claimant(2, "b")), None);
    }
}
