//! Which limits one verification evaluates, on which counters.
//!
//! A key's own limits come first, then its identity's, then the `RateLimit`s that apply to it; the first of a name shadows the others
//! entirely. Evaluated are all that are applied automatically, and those that the request names.

use std::ops::Deref;
use std::sync::Arc;

use crate::counter_id::{CounterId, Subject};
use crate::id::Id;
use crate::limit::{Limit, LimitError, Rule};

/// The parts of a key that say whose counters its limits run on.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The workspace.
    pub namespace: &'a str,
    /// `key_…`.
    pub key_id: &'a str,
    /// `api_…`.
    pub keyspace_id: &'a str,
    /// Its identity: id and external id.
    pub identity: Option<(&'a str, &'a str)>,
}

/// Whose counter a limit runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Each key has its own.
    #[default]
    Key,
    /// The keys of an identity share one; a key without an identity has its own.
    Identity,
    /// The keys of a keyspace share one.
    Keyspace,
    /// All keys of the namespace share one.
    Namespace,
}

impl Scope {
    /// Whose counter it is for this key.
    pub fn subject(self, owner: Owner<'_>) -> Subject<'_> {
        match (self, owner.identity) {
            (Self::Identity, Some((id, _))) => Subject::Identity(id),
            (Self::Key | Self::Identity, _) => Subject::Key(owner.key_id),
            (Self::Keyspace, _) => Subject::Keyspace(owner.keyspace_id),
            (Self::Namespace, _) => Subject::Namespace,
        }
    }
}

/// What a limit says, shared by all keys that have a limit of the same name and the same numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// The name that verifications use.
    pub name: Box<str>,
    /// How much, per how long, counted how; overrides are already worked in.
    pub rule: Rule,
    /// Whether every verification counts.
    pub auto_apply: bool,
}

/// A limit as it applies to one key, with its counter worked out once: where the key is indexed, not where it is verified. 48 bytes; reads
/// as its [`Terms`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configured {
    /// What HTTP clients see as its id.
    pub id: Id,
    /// The counter of this limit for this key.
    pub counter: CounterId,
    /// What it says.
    pub terms: Arc<Terms>,
}

impl Configured {
    /// The limit for this key. Key limits have the scope [`Scope::Key`], identity limits [`Scope::Identity`]. Cost: one [`CounterId`].
    pub fn new(id: &str, terms: Arc<Terms>, scope: Scope, owner: Owner<'_>) -> Self {
        let window = terms.rule.limit.window_ms();
        let counter = CounterId::limit(owner.namespace, &terms.name, scope.subject(owner), window);
        Self { id: id.into(), counter, terms }
    }
}

impl Deref for Configured {
    type Target = Terms;

    fn deref(&self) -> &Terms {
        &self.terms
    }
}

/// All limits of a key, in the order in which they shadow each other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits<'a> {
    /// The key's own.
    pub key: &'a [Configured],
    /// Its identity's.
    pub identity: &'a [Configured],
    /// Those of the `RateLimit`s that apply to it, the oldest first.
    pub selected: &'a [Configured],
}

impl<'a> Limits<'a> {
    /// The limit that a name stands for. Cost: a comparison with each name.
    pub fn named(self, name: &str) -> Option<&'a Configured> {
        [self.key, self.identity, self.selected].into_iter().flatten().find(|limit| *limit.name == *name)
    }

    /// Those that no earlier one of the same name shadows.
    pub fn unshadowed(self) -> impl Iterator<Item = &'a Configured> {
        let all = [self.key, self.identity, self.selected].into_iter().flatten();
        all.filter(move |limit| self.named(&limit.name).is_some_and(|first| std::ptr::eq(first, *limit)))
    }

    /// As many as there are.
    const fn len(self) -> usize {
        self.key.len() + self.identity.len() + self.selected.len()
    }

    /// The automatic ones among the [unshadowed](Self::unshadowed), each counted once. Cost: one list. It is what most verifications ask.
    fn automatic(self) -> Vec<Planned<'a>> {
        let mut planned = Vec::with_capacity(self.len());
        let lists = [self.key, self.identity, self.selected];
        for (number, list) in lists.iter().enumerate() {
            for (at, limit) in list.iter().enumerate().filter(|(_, limit)| limit.auto_apply) {
                let same = |earlier: &Configured| *earlier.name == *limit.name;
                let shadowed =
                    list.iter().take(at).any(same) || lists.iter().take(number).any(|list| list.iter().any(same));
                if !shadowed {
                    planned.push(stored(limit, 1));
                }
            }
        }
        planned
    }
}

/// An entry of the request's `ratelimits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requested<'a> {
    /// Which limit.
    pub name: &'a str,
    /// How much; 0 asks without counting.
    pub cost: u64,
    /// With `window_ms`, a limit of the request's own; alone it is ignored.
    pub limit: Option<i64>,
    /// With `limit`, a limit of the request's own, in milliseconds; alone it is ignored.
    pub window_ms: Option<i64>,
}

/// A limit to evaluate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned<'a> {
    /// The configured limit's id; empty for one of the request's own.
    pub id: &'a str,
    /// The limit's name.
    pub name: &'a str,
    /// By which rule.
    pub rule: Rule,
    /// As configured; `false` for one of the request's own.
    pub auto_apply: bool,
    /// On which counter.
    pub counter: CounterId,
    /// How much.
    pub cost: u64,
}

impl Planned<'_> {
    /// The same, but on the counter of the key's identity if it would have run on the key's own and there is an identity: the rule of
    /// the v1 API, where an identity is what a limit counts whenever there is one. Cost: one or two [`CounterId`]s.
    #[must_use]
    pub fn by_identity(self, owner: Owner<'_>) -> Self {
        let on = |subject| CounterId::limit(owner.namespace, self.name, subject, self.rule.limit.window_ms());
        match owner.identity {
            Some((id, _)) if self.counter == on(Subject::Key(owner.key_id)) => {
                Self { counter: on(Subject::Identity(id)), ..self }
            }
            _ => self,
        }
    }
}

/// A request that can't be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No limit of that name: the 412 of the API.
    #[error("ratelimit '{name}' was requested but does not exist for key '{key_id}' {}", of_identity(.identity.as_ref()))]
    Unknown {
        /// The name in the request.
        name: String,
        /// The key.
        key_id: String,
        /// Its identity: id and external id.
        identity: Option<(String, String)>,
    },
    /// A limit of the request's own that is none: a 400, where Unkey answers as if it had not been asked for.
    #[error("ratelimits entry '{name}': {reason}")]
    Inline {
        /// The name in the request.
        name: String,
        /// What is wrong with its numbers.
        reason: LimitError,
    },
}

fn of_identity(identity: Option<&(String, String)>) -> String {
    identity.map_or_else(
        || "and there is no identity connected to the key".to_owned(),
        |(id, external)| format!("nor for its identity '{id}' with external id '{external}'"),
    )
}

/// The limits to evaluate: first the automatic ones in their order, each as the request has it if it names it; then the others that the
/// request names, in its order. Of entries with one name the last stands, in its place.
///
/// Automatic limits cost 1. One limit is a single check, several are all or nothing (see [`crate::limit::evaluate_all`]).
///
/// Cost: nothing is allocated when nothing is to be evaluated, otherwise one list, and two small ones for a request that names any; names are
/// compared pairwise among the configured limits, a handful, and sorted among the requested ones, so that a long list costs n log n.
pub fn plan<'a>(
    owner: Owner<'_>,
    limits: Limits<'a>,
    requested: &[Requested<'a>],
) -> Result<Vec<Planned<'a>>, PlanError> {
    if requested.is_empty() {
        return Ok(limits.automatic());
    }
    let standing = last_of_each_name(requested);
    let entry_for = |name: &str| {
        let at = standing.binary_search_by(|index| requested.get(*index).map(|entry| entry.name).cmp(&Some(name)));
        at.ok().and_then(|at| standing.get(at)).and_then(|index| requested.get(*index))
    };
    let mut planned = Vec::new();
    for limit in limits.unshadowed().filter(|limit| limit.auto_apply) {
        planned.push(match entry_for(&limit.name) {
            None => stored(limit, 1),
            Some(entry) => resolve(owner, limits, entry)?,
        });
    }
    let mut others = standing.clone();
    others.sort_unstable();
    for entry in others.into_iter().filter_map(|index| requested.get(index)) {
        if !limits.named(entry.name).is_some_and(|limit| limit.auto_apply) {
            planned.push(resolve(owner, limits, entry)?);
        }
    }
    Ok(planned)
}

/// The indices of the entries that stand, sorted by name.
fn last_of_each_name(requested: &[Requested<'_>]) -> Vec<usize> {
    let name = |index: &usize| requested.get(*index).map(|entry| entry.name);
    // Backwards and stable: of one name the last comes first, and the first of equals survives.
    let mut indices: Vec<usize> = (0..requested.len()).rev().collect();
    indices.sort_by_key(name);
    indices.dedup_by(|later, first| name(later) == name(first));
    indices
}

fn resolve<'a>(owner: Owner<'_>, limits: Limits<'a>, entry: &Requested<'a>) -> Result<Planned<'a>, PlanError> {
    if let (Some(limit), Some(window_ms)) = (entry.limit, entry.window_ms) {
        let limit =
            Limit::new(limit, window_ms).map_err(|reason| PlanError::Inline { name: entry.name.to_owned(), reason })?;
        let counter = CounterId::limit(owner.namespace, entry.name, Subject::Key(owner.key_id), window_ms);
        let (rule, cost) = (Rule::sliding(limit), entry.cost);
        return Ok(Planned { id: "", name: entry.name, rule, auto_apply: false, counter, cost });
    }
    limits.named(entry.name).map(|limit| stored(limit, entry.cost)).ok_or_else(|| PlanError::Unknown {
        name: entry.name.to_owned(),
        key_id: owner.key_id.to_owned(),
        identity: owner.identity.map(|(id, external)| (id.to_owned(), external.to_owned())),
    })
}

fn stored(limit: &Configured, cost: u64) -> Planned<'_> {
    let Terms { name, rule, auto_apply } = &*limit.terms;
    Planned { id: &limit.id, name, rule: *rule, auto_apply: *auto_apply, counter: limit.counter, cost }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OWNER: Owner<'static> =
        Owner { namespace: "team-a", key_id: "key_1", keyspace_id: "api_1", identity: Some(("id_1", "acme")) };

    fn configured(id: &str, name: &str, count: i64, auto_apply: bool, scope: Scope) -> Configured {
        let rule = Rule::sliding(Limit::new(count, 60_000).unwrap());
        Configured::new(id, Arc::new(Terms { name: name.into(), rule, auto_apply }), scope, OWNER)
    }

    fn named(name: &str, cost: u64) -> Requested<'_> {
        Requested { name, cost, limit: None, window_ms: None }
    }

    fn inline(name: &str, limit: i64, window_ms: i64) -> Requested<'_> {
        Requested { name, cost: 1, limit: Some(limit), window_ms: Some(window_ms) }
    }

    fn counter(name: &str, subject: Subject<'_>, window_ms: i64) -> CounterId {
        CounterId::limit("team-a", name, subject, window_ms)
    }

    /// The limits `a` (key, automatic), `b` (identity, automatic), `c` (selected); `a` again in both others, automatic there too.
    fn fixture() -> [Vec<Configured>; 3] {
        [
            vec![configured("k-a", "a", 1, true, Scope::Key)],
            vec![configured("i-a", "a", 2, true, Scope::Identity), configured("i-b", "b", 3, true, Scope::Identity)],
            vec![
                configured("s-a", "a", 4, true, Scope::Key),
                configured("s-c", "c", 5, false, Scope::Keyspace),
                configured("s-c2", "c", 6, true, Scope::Key),
            ],
        ]
    }

    fn outcome(requested: &[Requested<'_>]) -> Result<Vec<(String, String, u64)>, PlanError> {
        let [key, identity, selected] = fixture();
        let limits = Limits { key: &key, identity: &identity, selected: &selected };
        let planned = plan(OWNER, limits, requested)?;
        Ok(planned.into_iter().map(|p| (p.id.to_owned(), p.name.to_owned(), p.cost)).collect())
    }

    #[expect(clippy::unnecessary_wraps, reason = "compared with an outcome")]
    fn rows(rows: &[(&str, &str, u64)]) -> Result<Vec<(String, String, u64)>, PlanError> {
        Ok(rows.iter().map(|(id, name, cost)| ((*id).to_owned(), (*name).to_owned(), *cost)).collect())
    }

    #[test]
    fn automatic_ones_that_nothing_shadows() {
        assert_eq!(
            outcome(&[]),
            rows(&[("k-a", "a", 1), ("i-b", "b", 1)]),
            "c is shadowed by an older one that is not automatic"
        );
    }

    proptest! {
        #[test]
        fn without_a_wish_it_is_the_automatic_ones_that_nothing_shadows(
            names in proptest::collection::vec((0..3_usize, 0..4_usize, any::<bool>()), 0..9),
        ) {
            let mut lists: [Vec<Configured>; 3] = Default::default();
            for (at, (list, name, auto_apply)) in names.into_iter().enumerate() {
                lists[list].push(configured(&format!("l-{at}"), ["a", "b", "c", "d"][name], 1, auto_apply, Scope::Key));
            }
            let [key, identity, selected] = &lists;
            let limits = Limits { key, identity, selected };
            let expected: Vec<_> = limits.unshadowed().filter(|limit| limit.auto_apply).map(|limit| stored(limit, 1)).collect();
            prop_assert_eq!(plan(OWNER, limits, &[]), Ok(expected));
        }
    }

    #[test]
    fn a_request_sets_costs_and_adds_limits() {
        assert_eq!(
            outcome(&[named("c", 7), named("b", 0)]),
            rows(&[("k-a", "a", 1), ("i-b", "b", 0), ("s-c", "c", 7)])
        );
    }

    #[test]
    fn of_one_name_the_last_stands() {
        assert_eq!(
            outcome(&[named("c", 7), inline("d", 5, 1_000), inline("a", 9, 1_000), named("c", 2), named("a", 3)]),
            rows(&[("k-a", "a", 3), ("i-b", "b", 1), ("", "d", 1), ("s-c", "c", 2)])
        );
        assert_eq!(
            outcome(&[named("x", 7), inline("x", 5, 1_000)]).unwrap().len(),
            3,
            "what doesn't stand is not looked up"
        );
    }

    #[test]
    fn each_limit_has_its_owners_counter() {
        let [key, identity, selected] = fixture();
        let limits = Limits { key: &key, identity: &identity, selected: &selected };
        let requested = [inline("b", 9, 60_000), named("c", 1), inline("a", 9, 60_000)];
        let planned = plan(OWNER, limits, &requested).unwrap();
        let [a, b, c] = planned.as_slice() else { panic!("{planned:?}") };
        assert_eq!(a.counter, counter("a", Subject::Key("key_1"), 60_000), "as the stored limit of the key");
        assert_eq!(a.counter, key[0].counter);
        assert_eq!(b.counter, counter("b", Subject::Key("key_1"), 60_000), "not the identity's");
        assert_eq!((b.id, b.auto_apply, b.rule), ("", false, Rule::sliding(Limit::new(9, 60_000).unwrap())));
        assert_eq!(c.counter, counter("c", Subject::Keyspace("api_1"), 60_000));
        assert_eq!(identity[1].counter, counter("b", Subject::Identity("id_1"), 60_000));
    }

    #[test]
    fn by_identity_only_the_keys_own_counters_change() {
        let [key, identity, selected] = fixture();
        let limits = Limits { key: &key, identity: &identity, selected: &selected };
        let requested = [named("c", 1), inline("x", 9, 60_000)];
        let of = |owner| -> Vec<CounterId> {
            let planned = plan(owner, limits, &requested).unwrap();
            planned.into_iter().map(|planned| planned.by_identity(owner).counter).collect()
        };
        let identity = |name| counter(name, Subject::Identity("id_1"), 60_000);
        let keyspace = counter("c", Subject::Keyspace("api_1"), 60_000);
        assert_eq!(of(OWNER), [identity("a"), identity("b"), keyspace, identity("x")]);
        let alone = of(Owner { identity: None, ..OWNER });
        assert_eq!(alone, [key[0].counter, identity("b"), keyspace, counter("x", Subject::Key("key_1"), 60_000)]);
    }

    #[test]
    fn a_scope_says_whose() {
        let alone = Owner { identity: None, ..OWNER };
        assert_eq!(Scope::Identity.subject(OWNER), Subject::Identity("id_1"));
        assert_eq!(Scope::Identity.subject(alone), Subject::Key("key_1"));
        assert_eq!(Scope::Key.subject(OWNER), Subject::Key("key_1"));
        assert_eq!(Scope::Keyspace.subject(OWNER), Subject::Keyspace("api_1"));
        assert_eq!(Scope::Namespace.subject(OWNER), Subject::Namespace);
    }

    #[test]
    fn half_an_inline_limit_is_ignored() {
        let half = |limit, window_ms| Requested { limit, window_ms, ..named("c", 1) };
        let expected = rows(&[("k-a", "a", 1), ("i-b", "b", 1), ("s-c", "c", 1)]);
        assert_eq!(outcome(&[half(Some(9), None)]), expected);
        assert_eq!(outcome(&[half(None, Some(9))]), expected);
    }

    #[test]
    fn errors_name_the_limit_and_the_key() {
        let unknown =
            |identity| plan(Owner { identity, ..OWNER }, Limits::default(), &[named("x", 1)]).unwrap_err().to_string();
        assert_eq!(
            unknown(Some(("id_1", "acme"))),
            "ratelimit 'x' was requested but does not exist for key 'key_1' nor for its identity 'id_1' with external id 'acme'"
        );
        assert_eq!(
            unknown(None),
            "ratelimit 'x' was requested but does not exist for key 'key_1' and there is no identity connected to the key"
        );
        let short = outcome(&[inline("x", 1, 500)]).unwrap_err();
        assert_eq!(short, PlanError::Inline { name: "x".to_owned(), reason: LimitError::ShortWindow(500) });
        assert_eq!(short.to_string(), "ratelimits entry 'x': duration is 500 ms; it must be at least 1000 ms");
        assert!(outcome(&[inline("x", 0, 1_000)]).is_ok(), "a limit of 0 is honoured: it denies");
    }

    /// The reference's words as maps: merge by name, then lay the request over the automatic ones.
    fn slow(
        limits: Limits<'_>,
        requested: &[Requested<'_>],
    ) -> Option<std::collections::BTreeSet<(String, String, u64)>> {
        let mut merged = std::collections::BTreeMap::new();
        for limit in limits.selected.iter().rev().chain(limits.identity.iter().rev()).chain(limits.key.iter().rev()) {
            merged.insert(limit.name.to_string(), limit);
        }
        let auto = merged.values().filter(|limit| limit.auto_apply).map(|limit| limit.name.to_string());
        let mut wanted: std::collections::BTreeMap<String, Requested<'_>> =
            auto.map(|name| (name, Requested { name: "", cost: 1, limit: None, window_ms: None })).collect();
        for entry in requested {
            wanted.insert(entry.name.to_owned(), *entry);
        }
        let row = |(name, entry): (String, Requested<'_>)| match (entry.limit, entry.window_ms) {
            (Some(_), Some(_)) => Some((String::new(), name, entry.cost)),
            _ => merged.get(&name).map(|limit| (limit.id.to_string(), name, entry.cost)),
        };
        wanted.into_iter().map(row).collect()
    }

    proptest! {
        #[test]
        fn agrees_with_the_reference_in_maps(
            configs in prop::collection::vec((0..3_usize, 0..5_usize, any::<bool>()), 0..8),
            asks in prop::collection::vec((0..6_usize, 0..4_u64, prop::option::of(1..9_i64), prop::option::of(Just(1_000_i64))), 0..8),
        ) {
            const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
            let mut levels = [vec![], vec![], vec![]];
            for (number, (level, name, auto)) in configs.into_iter().enumerate() {
                levels[level].push(configured(&number.to_string(), NAMES[name], 1, auto, Scope::Key));
            }
            let limits = Limits { key: &levels[0], identity: &levels[1], selected: &levels[2] };
            let requested: Vec<_> = asks.into_iter()
                .map(|(name, cost, limit, window_ms)| Requested { name: NAMES[name], cost, limit, window_ms }).collect();
            let planned = plan(OWNER, limits, &requested);
            if let Ok(planned) = &planned {
                let names: std::collections::BTreeSet<_> = planned.iter().map(|p| p.name).collect();
                prop_assert_eq!(names.len(), planned.len(), "no name twice");
            }
            let rows = planned.ok().map(|planned| {
                planned.into_iter().map(|p| (p.id.to_owned(), p.name.to_owned(), p.cost)).collect()
            });
            prop_assert_eq!(rows, slow(limits, &requested));
        }
    }
}
