//! `RateLimit`s and their overrides: which apply to a key, and which a caller can name.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use keyplane_api::limit_record::{LimitRecord, OverrideRecord};
use keyplane_core::limit::Rule;
use keyplane_core::overrides::Overrides;
use keyplane_core::plan::{Configured, Terms};
use keyplane_core::record::{KeyRecord, Seniority};

use super::slots::Labels;
use crate::index::{Exception, NamedLimit, NamedLimits};
use crate::registry::ObjectKey;

/// By age, so that of two limits with one name the older stands everywhere.
type ByAge<T> = BTreeMap<(Seniority, Arc<ObjectKey>), T>;

#[derive(Default)]
pub(super) struct Limits {
    namespaces: HashMap<String, Namespace>,
    ages: HashMap<Arc<ObjectKey>, Seniority>,
    /// Until everything has been listed nothing is compiled: each of a hundred thousand overrides would compile all before it.
    live: bool,
}

#[derive(Default)]
struct Namespace {
    limits: ByAge<LimitRecord>,
    overrides: ByAge<(String, OverrideRecord)>,
    /// What follows from the two: one limit a name, with all its overrides, the oldest first.
    compiled: Vec<Compiled>,
}

struct Compiled {
    limit: LimitRecord,
    overrides: Overrides<Exception>,
}

impl Limits {
    /// Everything has been listed: compiles, now and after every change.
    pub(super) fn go_live(&mut self) {
        self.live = true;
        self.namespaces.values_mut().for_each(Namespace::compile);
    }

    /// Takes a `RateLimit`; `None` for one that no rule can be made of. Returns whether anything may have changed.
    pub(super) fn put_limit(&mut self, object: &Arc<ObjectKey>, age: Seniority, limit: Option<LimitRecord>) -> bool {
        let removed = self.remove(object);
        let Some(limit) = limit else { return removed };
        let namespace = self.namespaces.entry(object.namespace.clone()).or_default();
        namespace.limits.insert((age.clone(), object.clone()), limit);
        if self.live {
            namespace.compile();
        }
        self.ages.insert(object.clone(), age);
        true
    }

    /// Takes a `RateLimitOverride`, as [`Self::put_limit`].
    pub(super) fn put_override(
        &mut self,
        object: &Arc<ObjectKey>,
        age: Seniority,
        given: Option<(&str, OverrideRecord)>,
    ) -> bool {
        let removed = self.remove(object);
        let Some((limit, exception)) = given else { return removed };
        let namespace = self.namespaces.entry(object.namespace.clone()).or_default();
        namespace.overrides.insert((age.clone(), object.clone()), (limit.to_owned(), exception));
        if self.live {
            namespace.compile();
        }
        self.ages.insert(object.clone(), age);
        true
    }

    /// Forgets either. Returns whether it was known.
    pub(super) fn remove(&mut self, object: &ObjectKey) -> bool {
        let Some((object, age)) = self.ages.remove_entry(object) else { return false };
        if let Some(namespace) = self.namespaces.get_mut(&object.namespace) {
            let key = (age, object);
            namespace.limits.remove(&key);
            namespace.overrides.remove(&key);
            if self.live {
                namespace.compile();
            }
        }
        true
    }

    /// The limits that apply to a key, the oldest first. An override for its identity's external id counts, or, for a key without an
    /// identity, one for its id. `share` returns the one copy of what a limit says.
    pub(super) fn of_key(
        &self,
        record: &KeyRecord,
        labels: &Labels,
        mut share: impl FnMut(Terms) -> Arc<Terms>,
    ) -> Vec<Configured> {
        let Some(namespace) = self.namespaces.get(&*record.namespace) else { return Vec::new() };
        let owner = record.owner();
        let identifier = owner.identity.map_or(owner.key_id, |(_, external_id)| external_id);
        let applies = |compiled: &&Compiled| {
            compiled.limit.applies_to.as_ref().is_some_and(|applies_to| applies_to.to_key(&record.keyspace, labels))
        };
        let configured = |Compiled { limit, overrides }: &Compiled| {
            let rule = overrides
                .lookup(identifier)
                .map_or(limit.rule, |(_, exception)| Rule { limit: exception.limit, ..limit.rule });
            let terms = Terms { name: limit.name.as_str().into(), rule, auto_apply: limit.auto_apply };
            Configured::new(&limit.id, share(terms), limit.scope, owner)
        };
        namespace.compiled.iter().filter(applies).map(configured).collect()
    }

    /// What callers can name in one namespace.
    pub(super) fn named_in(&self, namespace: &str) -> Arc<NamedLimits> {
        Arc::new(self.namespaces.get(namespace).map(Namespace::named).unwrap_or_default())
    }

    /// What callers can name in each namespace.
    pub(super) fn named(&self) -> impl Iterator<Item = (&str, Arc<NamedLimits>)> {
        self.namespaces.iter().map(|(name, namespace)| (name.as_str(), Arc::new(namespace.named())))
    }
}

impl Namespace {
    /// Cost: all limits and overrides of the namespace, sorted.
    fn compile(&mut self) {
        let mut compiled: Vec<Compiled> = Vec::with_capacity(self.limits.len());
        for limit in self.limits.values() {
            if compiled.iter().any(|older| older.limit.name == limit.name) {
                continue;
            }
            // Those in the limit itself first: of two for one identifier the first stands.
            let objects = self.overrides.values().filter(|(name, _)| *name == limit.name).map(|(_, given)| given);
            let given = limit.overrides.iter().chain(objects);
            let overrides = Overrides::compile(given.map(|given| {
                (given.identifier.as_str().into(), Exception { id: given.id.as_str().into(), limit: given.limit })
            }));
            compiled.push(Compiled { limit: limit.clone(), overrides });
        }
        self.compiled = compiled;
    }

    fn named(&self) -> NamedLimits {
        let limits = self.compiled.iter().map(|Compiled { limit, overrides }| NamedLimit {
            id: limit.id.as_str().into(),
            name: limit.name.as_str().into(),
            algorithm: limit.rule.algorithm,
            overrides: overrides.clone(),
        });
        NamedLimits::new(limits.collect())
    }
}
