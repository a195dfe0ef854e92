//! Who has a name, and who refers to it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use keyplane_core::record::Seniority;

use super::object::Kind;

/// Objects with one name, the oldest first.
pub(super) type Claimants = BTreeSet<(Seniority, Arc<str>)>;

/// Within one namespace: which objects give themselves a name, the oldest first, and which name it. Names have no meaning elsewhere.
#[derive(Debug, Default)]
pub(super) struct Names {
    claims: HashMap<(Kind, String), Claimants>,
    referrers: HashMap<(Kind, String, Kind), BTreeSet<Arc<str>>>,
}

/// What a change of the claims on one name did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shift {
    /// The name exists now and did not before, or the other way round.
    pub(super) exists: bool,
    /// Another object has the name now.
    pub(super) owner: bool,
}

impl Names {
    /// `object` takes the name.
    pub(super) fn claim(&mut self, kind: Kind, name: &str, age: &Seniority, object: &Arc<str>) -> Shift {
        let claimants = self.claims.entry((kind, name.to_owned())).or_default();
        let before = claimants.first().map(|(_, owner)| owner.clone());
        claimants.insert((age.clone(), object.clone()));
        Shift { exists: before.is_none(), owner: claimants.first().map(|(_, owner)| owner) != before.as_ref() }
    }

    /// `object` gives the name up.
    pub(super) fn release(&mut self, kind: Kind, name: &str, age: &Seniority, object: &Arc<str>) -> Shift {
        let key = (kind, name.to_owned());
        let Some(claimants) = self.claims.get_mut(&key) else { return Shift::default() };
        let owner = claimants.first().is_some_and(|(_, owner)| owner == object);
        claimants.remove(&(age.clone(), object.clone()));
        let exists = claimants.is_empty();
        if exists {
            self.claims.remove(&key);
        }
        Shift { exists, owner }
    }

    /// The objects that give themselves this name, the one that counts first.
    pub(super) fn claimants(&self, kind: Kind, name: &str) -> impl Iterator<Item = &Arc<str>> {
        self.claims.get(&(kind, name.to_owned())).into_iter().flatten().map(|(_, object)| object)
    }

    /// The object that has this name.
    pub(super) fn owner(&self, kind: Kind, name: &str) -> Option<&Arc<str>> {
        self.claimants(kind, name).next()
    }

    /// `object`, of kind `by`, names something.
    pub(super) fn refer(&mut self, kind: Kind, name: &str, by: Kind, object: &Arc<str>) {
        self.referrers.entry((kind, name.to_owned(), by)).or_default().insert(object.clone());
    }

    /// `object` no longer does.
    pub(super) fn unrefer(&mut self, kind: Kind, name: &str, by: Kind, object: &Arc<str>) {
        let key = (kind, name.to_owned(), by);
        if let Some(objects) = self.referrers.get_mut(&key)
            && objects.remove(object)
            && objects.is_empty()
        {
            self.referrers.remove(&key);
        }
    }

    /// The objects of kind `by` that name this.
    pub(super) fn referrers(&self, kind: Kind, name: &str, by: Kind) -> impl Iterator<Item = &Arc<str>> {
        self.referrers.get(&(kind, name.to_owned(), by)).into_iter().flatten()
    }

    /// How many they are. Cost: one look.
    pub(super) fn count(&self, kind: Kind, name: &str, by: Kind) -> i64 {
        let count = self.referrers.get(&(kind, name.to_owned(), by)).map_or(0, BTreeSet::len);
        i64::try_from(count).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyplane_core::record::Uid;
    use keyplane_core::time::Millis;

    fn age(created: i64) -> Seniority {
        Seniority { created: Millis(created), uid: Uid::from("u") }
    }

    #[test]
    fn the_oldest_has_the_name_and_changes_are_told() {
        let (mut names, young, old): (_, Arc<str>, Arc<str>) = (Names::default(), "young".into(), "old".into());
        let shift = |exists, owner| Shift { exists, owner };
        assert_eq!(names.claim(Kind::KeyRole, "editor", &age(2), &young), shift(true, true));
        assert_eq!(names.claim(Kind::KeyRole, "editor", &age(1), &old), shift(false, true));
        assert_eq!(names.claim(Kind::Identity, "editor", &age(3), &young), shift(true, true), "another kind");
        assert_eq!(names.claimants(Kind::KeyRole, "editor").collect::<Vec<_>>(), [&old, &young]);
        assert_eq!(names.release(Kind::KeyRole, "editor", &age(2), &young), shift(false, false));
        assert_eq!(names.release(Kind::KeyRole, "editor", &age(1), &old), shift(true, true));
        assert_eq!(names.owner(Kind::KeyRole, "editor"), None);
        assert!(names.owner(Kind::Identity, "editor").is_some());
    }

    #[test]
    fn references_are_counted_by_who_makes_them() {
        let (mut names, a, b): (_, Arc<str>, Arc<str>) = (Names::default(), "a".into(), "b".into());
        for object in [&a, &b, &b] {
            names.refer(Kind::Keyspace, "pay", Kind::ApiKey, object);
        }
        names.refer(Kind::Keyspace, "pay", Kind::RateLimit, &a);
        assert_eq!(names.count(Kind::Keyspace, "pay", Kind::ApiKey), 2);
        names.unrefer(Kind::Keyspace, "pay", Kind::ApiKey, &a);
        names.unrefer(Kind::Keyspace, "pay", Kind::ApiKey, &b);
        assert_eq!(names.count(Kind::Keyspace, "pay", Kind::ApiKey), 0);
        assert_eq!(names.count(Kind::Keyspace, "pay", Kind::RateLimit), 1);
    }
}
