//! What is kept of an object: what it says of names, and what its status shows. A hundredth of a key with large metadata.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use keyplane_api::condition::{READY, REFERENCES_RESOLVED};
use keyplane_api::limit_record::{self, Applies};
use keyplane_api::record::seniority;
use keyplane_api::{
    API_FIELD_MANAGER, ApiKey, AppliesTo, Identity, KeyPermission, KeyRole, Keyspace, MANAGED_BY_LABEL, RateLimit,
    RateLimitOverride, RateLimitStatus,
};
use keyplane_core::limit::Limit;
use keyplane_core::record::Seniority;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::status::{Counts, Shown};

/// The kinds that name others or are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    ApiKey,
    RateLimit,
    RateLimitOverride,
    Keyspace,
    Identity,
    KeyRole,
    KeyPermission,
}

impl Kind {
    /// How many there are.
    pub(super) const COUNT: usize = 7;

    /// The kind as people write it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "ApiKey",
            Self::RateLimit => "RateLimit",
            Self::RateLimitOverride => "RateLimitOverride",
            Self::Keyspace => "Keyspace",
            Self::Identity => "Identity",
            Self::KeyRole => "KeyRole",
            Self::KeyPermission => "KeyPermission",
        }
    }
}

/// An object within its namespace. Ordered by kind and then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) kind: Kind,
    pub(super) name: Arc<str>,
}

/// An object as it is kept.
#[derive(Clone, Debug)]
pub(super) struct Object {
    /// `metadata.uid`.
    pub(super) uid: Box<str>,
    /// `metadata.generation`.
    pub(super) generation: Option<i64>,
    /// Of two objects with one name the older counts.
    pub(super) age: Seniority,
    /// The HTTP API made it, so its name is its id.
    pub(super) made_by_api: bool,
    /// What its spec says of names.
    pub(super) says: Says,
    /// What its status shows.
    pub(super) shown: Shown,
}

/// What a spec says of names.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Says {
    Key(KeySays),
    Limit(Box<LimitSays>),
    Override(OverrideSays),
    /// Its name is the object's.
    Keyspace,
    /// An external id.
    Identity(String),
    /// The name of a role.
    Role(String),
    /// The slug of a permission.
    Permission(String),
}

/// What an `ApiKey` names, and what limits select it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeySays {
    pub(super) keyspace: String,
    pub(super) external_id: Option<String>,
    pub(super) roles: Vec<String>,
    /// Not as a map: the smallest one takes half a KiB, and there are as many as keys.
    labels: Box<[(Box<str>, Box<str>)]>,
}

impl KeySays {
    /// Its labels as selectors want them. Cost: a new map.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        self.labels.iter().map(|(name, value)| (String::from(&**name), String::from(&**value))).collect()
    }
}

/// What an override is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OverrideSays {
    pub(super) limit: String,
    pub(super) identifier: String,
    /// Why verify pods pass it over.
    pub(super) invalid: Option<String>,
}

/// What a `RateLimit` names and selects.
#[derive(Clone, Debug)]
pub(super) struct LimitSays {
    /// The name in use.
    pub(super) name: String,
    pub(super) applies_to: Option<AppliesTo>,
    /// The same, compiled; `None` also for a limit that verify pods pass over.
    pub(super) applies: Option<Applies>,
    /// The identifiers of the overrides that stand in it.
    pub(super) identifiers: Vec<String>,
    /// Why verify pods pass the limit over.
    pub(super) invalid: Option<String>,
    /// Identifiers of overrides that verify pods pass over.
    pub(super) unusable: Vec<String>,
}

impl PartialEq for LimitSays {
    /// Without what is compiled, which follows from the rest.
    fn eq(&self, other: &Self) -> bool {
        let rest = |says: &Self| (says.name.clone(), says.invalid.clone());
        rest(self) == rest(other)
            && self.applies_to == other.applies_to
            && self.identifiers == other.identifiers
            && self.unusable == other.unusable
    }
}

impl LimitSays {
    /// The keyspaces that it names.
    pub(super) fn keyspaces(&self) -> &[String] {
        self.applies_to.as_ref().map(|applies_to| applies_to.keyspaces.as_slice()).unwrap_or_default()
    }
}

impl Says {
    /// The kind of object that says so.
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Key(_) => Kind::ApiKey,
            Self::Limit(_) => Kind::RateLimit,
            Self::Override(_) => Kind::RateLimitOverride,
            Self::Keyspace => Kind::Keyspace,
            Self::Identity(_) => Kind::Identity,
            Self::Role(_) => Kind::KeyRole,
            Self::Permission(_) => Kind::KeyPermission,
        }
    }

    /// The name that this gives to the object called `object`; `None` for what nobody names.
    pub(super) fn claimed<'a>(&'a self, object: &'a str) -> Option<&'a str> {
        match self {
            Self::Key(_) | Self::Override(_) => None,
            Self::Limit(limit) => Some(&limit.name),
            Self::Keyspace => Some(object),
            Self::Identity(name) | Self::Role(name) | Self::Permission(name) => Some(name),
        }
    }

    /// What it names.
    pub(super) fn named(&self) -> Vec<(Kind, &str)> {
        match self {
            Self::Key(key) => {
                let roles = key.roles.iter().map(|role| (Kind::KeyRole, role.as_str()));
                let identity = key.external_id.iter().map(|id| (Kind::Identity, id.as_str()));
                roles.chain(identity).chain([(Kind::Keyspace, key.keyspace.as_str())]).collect()
            }
            Self::Limit(limit) => limit.keyspaces().iter().map(|name| (Kind::Keyspace, name.as_str())).collect(),
            Self::Override(given) => vec![(Kind::RateLimit, &given.limit)],
            Self::Keyspace | Self::Identity(_) | Self::Role(_) | Self::Permission(_) => Vec::new(),
        }
    }
}

/// A kind of object that is kept.
pub(super) trait Kept:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
    /// Which.
    const KIND: Kind;
    /// What the spec says of names.
    fn says(&self) -> Says;
    /// What the status shows of what is ours.
    fn shown(&self) -> Shown;
}

/// What is kept of this object.
pub(super) fn kept<K: Kept>(object: &K) -> Object {
    let metadata: &ObjectMeta = object.meta();
    Object {
        uid: metadata.uid.as_deref().unwrap_or_default().into(),
        generation: metadata.generation,
        age: seniority(metadata),
        made_by_api: object.labels().get(MANAGED_BY_LABEL).is_some_and(|by| by == API_FIELD_MANAGER),
        says: object.says(),
        shown: object.shown(),
    }
}

fn object_name(metadata: &ObjectMeta) -> String {
    metadata.name.clone().unwrap_or_default()
}

fn ours(conditions: &[Condition], types: &[&str]) -> Vec<Condition> {
    conditions.iter().filter(|condition| types.contains(&condition.type_.as_str())).cloned().collect()
}

impl Kept for ApiKey {
    const KIND: Kind = Kind::ApiKey;

    fn says(&self) -> Says {
        let spec = &self.spec;
        Says::Key(KeySays {
            keyspace: spec.keyspace.clone(),
            external_id: spec.external_id.clone(),
            roles: spec.roles.clone(),
            labels: self.labels().iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect(),
        })
    }

    fn shown(&self) -> Shown {
        // All else in the status of a key is written by others.
        let conditions = self.status.iter().flat_map(|status| ours(&status.conditions, &[REFERENCES_RESOLVED]));
        Shown { conditions: conditions.collect(), ..Shown::default() }
    }
}

impl Kept for RateLimit {
    const KIND: Kind = Kind::RateLimit;

    fn says(&self) -> Says {
        let spec = &self.spec;
        let record = limit_record::rate_limit(self);
        let numbers = Limit::new(spec.limit, spec.window.millis()).err().map(|error| error.to_string());
        let selector = || "spec.appliesTo.keySelector is no label selector".to_owned();
        let unusable = |given: &&keyplane_api::Override| Limit::new(given.limit, given.window.millis()).is_err();
        Says::Limit(Box::new(LimitSays {
            name: self.limit_name().to_owned(),
            applies_to: spec.applies_to.clone(),
            identifiers: spec.overrides.iter().map(|given| given.identifier.clone()).collect(),
            invalid: record.is_none().then(|| numbers.unwrap_or_else(selector)),
            unusable: spec.overrides.iter().filter(unusable).map(|given| given.identifier.clone()).collect(),
            applies: record.and_then(|record| record.applies_to),
        }))
    }

    fn shown(&self) -> Shown {
        let Some(RateLimitStatus { id, matched_keys, sample, overrides, conditions }) = &self.status else {
            return Shown::default();
        };
        let counts = Counts { keys: *matched_keys, sample: sample.clone(), overrides: *overrides };
        Shown { id: id.clone(), counts, conditions: ours(conditions, &[READY, REFERENCES_RESOLVED]) }
    }
}

impl Kept for RateLimitOverride {
    const KIND: Kind = Kind::RateLimitOverride;

    fn says(&self) -> Says {
        let spec = &self.spec;
        Says::Override(OverrideSays {
            limit: spec.rate_limit.clone(),
            identifier: spec.identifier.clone(),
            invalid: Limit::new(spec.limit, spec.window.millis()).err().map(|error| error.to_string()),
        })
    }

    fn shown(&self) -> Shown {
        let Some(status) = &self.status else { return Shown::default() };
        Shown { id: status.id.clone(), counts: Counts::default(), conditions: ours(&status.conditions, &[READY]) }
    }
}

impl Kept for Keyspace {
    const KIND: Kind = Kind::Keyspace;

    fn says(&self) -> Says {
        Says::Keyspace
    }

    fn shown(&self) -> Shown {
        let Some(status) = &self.status else { return Shown::default() };
        let counts = Counts { keys: status.keys, ..Counts::default() };
        Shown { id: status.id.clone(), counts, conditions: ours(&status.conditions, &[READY]) }
    }
}

impl Kept for Identity {
    const KIND: Kind = Kind::Identity;

    fn says(&self) -> Says {
        Says::Identity(self.spec.external_id.clone())
    }

    fn shown(&self) -> Shown {
        let Some(status) = &self.status else { return Shown::default() };
        let counts = Counts { keys: status.keys, ..Counts::default() };
        Shown { id: status.id.clone(), counts, conditions: ours(&status.conditions, &[READY]) }
    }
}

impl Kept for KeyRole {
    const KIND: Kind = Kind::KeyRole;

    fn says(&self) -> Says {
        Says::Role(self.spec.name.clone().unwrap_or_else(|| object_name(&self.metadata)))
    }

    fn shown(&self) -> Shown {
        let Some(status) = &self.status else { return Shown::default() };
        Shown { id: status.id.clone(), counts: Counts::default(), conditions: ours(&status.conditions, &[READY]) }
    }
}

impl Kept for KeyPermission {
    const KIND: Kind = Kind::KeyPermission;

    fn says(&self) -> Says {
        Says::Permission(self.spec.slug.clone())
    }

    fn shown(&self) -> Shown {
        let Some(status) = &self.status else { return Shown::default() };
        Shown { id: status.id.clone(), counts: Counts::default(), conditions: ours(&status.conditions, &[READY]) }
    }
}
