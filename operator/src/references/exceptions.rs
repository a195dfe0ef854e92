//! Which overrides of a limit are used, and which stand behind another one.
//!
//! The order is that of `keyplane_core::overrides`, which verify pods look up in: of equal identifiers the one in the limit itself and then
//! the oldest object; an exact identifier before any pattern; of patterns the one with more literal bytes, then the one that sorts first. A
//! pattern that matches all that another one matches has its literals and no more, in the same order. So it comes first only if it has the
//! very same ones (`*acme*` before `acme*`), and to find what stands before an override only those with its literals need be looked at.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use keyplane_core::overrides::matches;
use keyplane_core::record::Seniority;

use super::names::Claimants;

/// The override objects of a namespace.
#[derive(Debug, Default)]
pub(super) struct Exceptions(HashMap<String, OfLimit>);

/// Identifiers with the same literals, in the order in which they stand.
type Alike = BTreeMap<String, Claimants>;

#[derive(Debug, Default)]
struct OfLimit {
    /// By literals.
    identifiers: HashMap<String, Alike>,
    /// Objects that are not used, as last judged.
    not_in_use: BTreeSet<Arc<str>>,
}

/// Where an override stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// For some identifier it is the one that counts.
    InUse,
    /// An equal identifier stands before it.
    Duplicate(Before),
    /// A pattern that matches all of it stands before it.
    Shadowed(Before, String),
}

/// Which override stands before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// One in the limit itself.
    InLimit,
    /// This object.
    Object(Arc<str>),
}

impl Exceptions {
    /// Takes an object.
    pub(super) fn put(&mut self, limit: &str, identifier: &str, age: &Seniority, object: &Arc<str>) {
        let identifiers = &mut self.0.entry(limit.to_owned()).or_default().identifiers;
        let equals = identifiers.entry(literals(identifier)).or_default().entry(identifier.to_owned()).or_default();
        equals.insert((age.clone(), object.clone()));
    }

    /// Forgets an object.
    pub(super) fn remove(&mut self, limit: &str, identifier: &str, age: &Seniority, object: &Arc<str>) {
        let Some(of_limit) = self.0.get_mut(limit) else { return };
        of_limit.not_in_use.remove(object);
        let literals = literals(identifier);
        let Some(alike) = of_limit.identifiers.get_mut(&literals) else { return };
        if let Some(equals) = alike.get_mut(identifier) {
            equals.remove(&(age.clone(), object.clone()));
            if equals.is_empty() {
                alike.remove(identifier);
            }
        }
        if alike.is_empty() {
            of_limit.identifiers.remove(&literals);
        }
        if of_limit.identifiers.is_empty() {
            self.0.remove(limit);
        }
    }

    /// The objects whose standing may depend on this identifier.
    pub(super) fn alike(&self, limit: &str, identifier: &str) -> impl Iterator<Item = &Arc<str>> {
        self.bucket(limit, identifier).into_iter().flat_map(BTreeMap::values).flatten().map(|(_, object)| object)
    }

    fn bucket(&self, limit: &str, identifier: &str) -> Option<&Alike> {
        self.0.get(limit)?.identifiers.get(&literals(identifier))
    }

    /// Where an object stands. `in_limit`: the identifiers of the overrides in the limit itself, 256 at most.
    pub(super) fn of_object(&self, limit: &str, identifier: &str, object: &str, in_limit: &[String]) -> Standing {
        if in_limit.iter().any(|other| other == identifier) {
            return Standing::Duplicate(Before::InLimit);
        }
        let bucket = self.bucket(limit, identifier);
        let first = bucket.and_then(|alike| alike.get(identifier)?.first()).map(|(_, object)| object);
        match first.filter(|first| &***first != object) {
            Some(first) => Standing::Duplicate(Before::Object(first.clone())),
            None => self.behind_a_pattern(limit, identifier, in_limit),
        }
    }

    /// Where an override in the limit itself stands.
    pub(super) fn of_limit(&self, limit: &str, identifier: &str, in_limit: &[String]) -> Standing {
        self.behind_a_pattern(limit, identifier, in_limit)
    }

    fn behind_a_pattern(&self, limit: &str, identifier: &str, in_limit: &[String]) -> Standing {
        if !identifier.contains('*') {
            return Standing::InUse;
        }
        // An identifier without a star is none: as a pattern it would match only itself.
        let before = |other: &&String| other.as_str() < identifier && other.contains('*') && matches(other, identifier);
        // More literals than this one has, and it would not match; fewer, and it would come later.
        let own = literals(identifier);
        if let Some(pattern) = in_limit.iter().filter(before).find(|other| literals(other) == own) {
            return Standing::Shadowed(Before::InLimit, pattern.clone());
        }
        let objects = self.bucket(limit, identifier).into_iter().flatten();
        let found = objects.filter(|(pattern, _)| before(pattern)).find_map(|(p, equals)| Some((p, equals.first()?)));
        found.map_or(Standing::InUse, |(pattern, (_, object))| {
            Standing::Shadowed(Before::Object(object.clone()), pattern.clone())
        })
    }

    /// Notes whether an object is used.
    pub(super) fn judged(&mut self, limit: &str, object: &Arc<str>, in_use: bool) {
        if let Some(of_limit) = self.0.get_mut(limit) {
            if in_use {
                of_limit.not_in_use.remove(object);
            } else {
                of_limit.not_in_use.insert(object.clone());
            }
        }
    }

    /// Objects of a limit that are not used, as last judged.
    pub(super) fn not_in_use(&self, limit: &str) -> impl ExactSizeIterator<Item = &str> {
        const NONE: &BTreeSet<Arc<str>> = &BTreeSet::new();
        self.0.get(limit).map_or(NONE, |of_limit| &of_limit.not_in_use).iter().map(|object| &**object)
    }
}

fn literals(identifier: &str) -> String {
    identifier.replace('*', "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyplane_core::overrides::Overrides;
    use keyplane_core::record::Uid;
    use keyplane_core::time::Millis;
    use proptest::prelude::*;

    fn age(created: usize) -> Seniority {
        Seniority { created: Millis(i64::try_from(created).unwrap()), uid: Uid::from("u") }
    }

    fn name(number: usize) -> Arc<str> {
        format!("o{number}").into()
    }

    fn all(objects: &[&str]) -> Exceptions {
        let mut all = Exceptions::default();
        for (number, identifier) in objects.iter().enumerate() {
            all.put("limit", identifier, &age(number), &name(number));
        }
        all
    }

    #[test]
    fn what_stands_before_is_named() {
        let all = all(&["acme*", "*acme*", "acme", "acme", "*"]);
        let of = |number, identifier, in_limit: &[String]| all.of_object("limit", identifier, &name(number), in_limit);
        let by = Before::Object(name(1));
        assert_eq!(of(0, "acme*", &[]), Standing::Shadowed(by, "*acme*".to_owned()));
        assert_eq!(of(1, "*acme*", &[]), Standing::InUse, "`*` matches it too, and comes later");
        assert_eq!(of(2, "acme", &[]), Standing::InUse, "exact ones come before all patterns");
        assert_eq!(of(3, "acme", &[]), Standing::Duplicate(Before::Object(name(2))));
        assert_eq!(of(2, "acme", &["acme".to_owned()]), Standing::Duplicate(Before::InLimit));
        assert_eq!(all.of_limit("limit", "acme*", &[]), of(0, "acme*", &[]));
        assert_eq!(all.of_limit("other", "acme*", &[]), Standing::InUse);
    }

    #[test]
    fn what_is_not_used_is_kept_until_it_is_gone() {
        let mut all = all(&["a", "a"]);
        all.judged("limit", &name(0), false);
        all.judged("limit", &name(1), false);
        all.judged("limit", &name(0), true);
        assert_eq!(all.not_in_use("limit").collect::<Vec<_>>(), ["o1"]);
        all.remove("limit", "a", &age(1), &name(1));
        assert_eq!(all.not_in_use("limit").len(), 0);
        all.remove("limit", "a", &age(0), &name(0));
        assert!(all.0.is_empty(), "nothing is left of a limit without overrides");
    }

    proptest! {
        /// Against the lookup of verify pods: an override is used if and only if some identifier leads to it. Of few letters all short
        /// identifiers can be tried; `z` stands for any letter that no pattern has.
        #[test]
        fn the_verdict_is_that_of_the_lookup(identifiers in prop::collection::vec("[ab*]{1,3}", 1..6), split in 0_usize..6) {
            let (in_limit, objects) = identifiers.split_at(split.min(identifiers.len()));
            let mut in_limit = in_limit.to_vec();
            in_limit.sort();
            in_limit.dedup();
            let texts: Vec<&str> = objects.iter().map(String::as_str).collect();
            let all = all(&texts);
            let given = in_limit.iter().enumerate().map(|(at, text)| (text, (true, at)));
            let given = given.chain(objects.iter().enumerate().map(|(at, text)| (text, (false, at))));
            let lookup = Overrides::compile(given.map(|(text, which)| (text.as_str().into(), which)));
            let mut found = BTreeSet::new();
            for length in 0..=4_u32 {
                for number in 0..4_u32.pow(length) {
                    let text: String =
                        (0..length).map(|place| ['a', 'b', 'z', '*'][(number / 4_u32.pow(place) % 4) as usize]).collect();
                    found.extend(lookup.lookup(&text).map(|(_, which)| *which));
                }
            }
            for (at, text) in objects.iter().enumerate() {
                // A pattern is also an exact identifier, for whoever is called so; that alone is no use.
                let exact = text.contains('*') && in_use_only_as_itself(&lookup, text, (false, at));
                let standing = all.of_object("limit", text, &name(at), &in_limit);
                prop_assert_eq!(standing == Standing::InUse, found.contains(&(false, at)) && !exact, "{} {:?}", text, standing);
            }
            for (at, text) in in_limit.iter().enumerate() {
                let exact = text.contains('*') && in_use_only_as_itself(&lookup, text, (true, at));
                let standing = all.of_limit("limit", text, &in_limit);
                prop_assert_eq!(standing == Standing::InUse, found.contains(&(true, at)) && !exact, "{} {:?}", text, standing);
            }
        }
    }

    /// Whether nothing but its own text leads to this entry.
    fn in_use_only_as_itself(lookup: &Overrides<(bool, usize)>, text: &str, which: (bool, usize)) -> bool {
        (0..=4_u32).all(|length| {
            (0..4_u32.pow(length)).all(|number| {
                let other: String =
                    (0..length).map(|place| ['a', 'b', 'z', '*'][(number / 4_u32.pow(place) % 4) as usize]).collect();
                other == text || lookup.lookup(&other).is_none_or(|(_, found)| *found != which)
            })
        })
    }
}
