//! What verify pods make of limits: those of a key, of an identity, and `RateLimit` objects with their overrides.
//!
//! A limit that no rule can be made of (the API server refuses such a one; a manifest may hold it) is passed over.

use std::collections::BTreeMap;
use std::sync::Arc;

use keyplane_core::id::{self, Kind};
use keyplane_core::limit::{Algorithm as Counting, Limit, Rule};
use keyplane_core::plan::{Configured, Owner, Scope, Terms};
use kube::core::{Selector, SelectorExt};

use crate::{Algorithm, AppliesTo, LimitScope, NamedLimit, RateLimit, RateLimitOverride};

/// A `RateLimit` as verify pods read it; overrides are added by whoever has all of them.
#[derive(Clone, Debug)]
pub struct LimitRecord {
    /// `rlns_…`.
    pub id: String,
    /// The name that verifications use.
    pub name: String,
    /// How much, per how long, counted how.
    pub rule: Rule,
    /// Whose counter it is.
    pub scope: Scope,
    /// Whether every verification of a key that it applies to counts.
    pub auto_apply: bool,
    /// Which keys it applies to; `None` for none.
    pub applies_to: Option<Applies>,
    /// Exceptions that stand in the object itself.
    pub overrides: Vec<OverrideRecord>,
}

/// An exception for an identifier or a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverrideRecord {
    /// `rlor_…`.
    pub id: String,
    /// The identifier, or a pattern with `*`.
    pub identifier: String,
    /// What counts instead.
    pub limit: Limit,
}

/// Which keys a limit applies to.
#[derive(Clone, Debug)]
pub struct Applies {
    keyspaces: Vec<String>,
    selector: Selector,
}

impl Applies {
    /// Whether it applies to a key of this keyspace with these labels. Cost: a walk over the keyspaces and the selector's terms.
    pub fn to_key(&self, keyspace: &str, labels: &BTreeMap<String, String>) -> bool {
        (self.keyspaces.is_empty() || self.keyspaces.iter().any(|name| name == keyspace))
            && self.selector.matches(labels)
    }
}

/// The id of a `RateLimit`, from its name: a name can be limited by without an object, and making the object must not change it.
pub fn rate_limit_id(namespace: &str, name: &str) -> String {
    id::from_name(Kind::RateLimit, namespace, name)
}

/// A `RateLimit` object; `None` when its numbers or its selector are none.
pub fn rate_limit(object: &RateLimit) -> Option<LimitRecord> {
    let (namespace, name) = (object.metadata.namespace.as_deref().unwrap_or_default(), object.limit_name());
    let spec = &object.spec;
    let limit = Limit::new(spec.limit, spec.window.millis()).ok()?;
    let id = rate_limit_id(namespace, name);
    let applies_to = match &spec.applies_to {
        Some(applies_to) => Some(applies(applies_to)?),
        None => None,
    };
    let overrides = spec
        .overrides
        .iter()
        .filter_map(|given| override_record(&id, &given.identifier, given.limit, given.window.millis()));
    Some(LimitRecord {
        rule: Rule { limit, algorithm: algorithm(spec.algorithm, spec.burst) },
        scope: scope(spec.scope),
        auto_apply: spec.auto_apply,
        applies_to,
        overrides: overrides.collect(),
        name: name.to_owned(),
        id,
    })
}

/// A `RateLimitOverride` object: the name of its limit, and the exception.
pub fn rate_limit_override(object: &RateLimitOverride) -> Option<(&str, OverrideRecord)> {
    let (namespace, spec) = (object.metadata.namespace.as_deref().unwrap_or_default(), &object.spec);
    let id = rate_limit_id(namespace, &spec.rate_limit);
    let record = override_record(&id, &spec.identifier, spec.limit, spec.window.millis())?;
    Some((&spec.rate_limit, record))
}

/// Limits of one key or one identity. `of` is the id of that key or identity; `share` returns the one copy of what a limit says.
pub fn own_limits(
    limits: &[NamedLimit],
    of: &str,
    scope: Scope,
    owner: Owner<'_>,
    mut share: impl FnMut(Terms) -> Arc<Terms>,
) -> Vec<Configured> {
    let configured = |given: &NamedLimit| {
        let limit = Limit::new(given.limit, given.window.millis()).ok()?;
        let id = id::from_name(Kind::Limit, of, &given.name);
        let terms =
            Terms { name: given.name.as_str().into(), rule: Rule::sliding(limit), auto_apply: given.auto_apply };
        Some(Configured::new(&id, share(terms), scope, owner))
    };
    // Exact: a list that grows is twice as large, and the allocator keeps the rest of its place.
    let mut own = Vec::with_capacity(limits.len());
    own.extend(limits.iter().filter_map(configured));
    own
}

fn override_record(limit_id: &str, identifier: &str, count: i64, window_ms: i64) -> Option<OverrideRecord> {
    let limit = Limit::new(count, window_ms).ok()?;
    let id = id::from_name(Kind::Override, limit_id, identifier);
    Some(OverrideRecord { id, identifier: identifier.to_owned(), limit })
}

fn applies(applies_to: &AppliesTo) -> Option<Applies> {
    let selector = applies_to.key_selector.clone().unwrap_or_default().try_into().ok()?;
    Some(Applies { keyspaces: applies_to.keyspaces.clone(), selector })
}

fn algorithm(algorithm: Algorithm, burst: Option<i64>) -> Counting {
    match algorithm {
        Algorithm::SlidingWindow => Counting::SlidingWindow,
        Algorithm::Gcra => Counting::Gcra { burst: burst.and_then(|burst| u64::try_from(burst).ok()) },
        Algorithm::FixedWindow => Counting::FixedWindow,
    }
}

const fn scope(scope: LimitScope) -> Scope {
    match scope {
        LimitScope::Key => Scope::Key,
        LimitScope::Identity => Scope::Identity,
        LimitScope::Keyspace => Scope::Keyspace,
        LimitScope::Namespace => Scope::Namespace,
    }
}
