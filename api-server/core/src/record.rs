//! What a pod must know of one key or one caller, resolved: names of roles and keyspaces have become what they stand for.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::address::AllowList;
use crate::credits::CreditsRecord;
use crate::hash::KeyHash;
use crate::permission::Grants;
use crate::plan::{Configured, Limits, Owner};
use crate::time::Millis;

/// One key, as verification reads it.
///
/// **Shape**: about 200 bytes and its own texts. Texts that many keys share (namespace, permissions, roles, keyspace, identity) are
/// shared, so a hundred thousand keys with the same four permissions hold them once.
#[derive(Clone, Debug)]
pub struct KeyRecord {
    /// `key_…`, what HTTP clients see.
    pub id: Box<str>,
    /// The workspace: keys of other namespaces never see this one.
    pub namespace: Arc<str>,
    /// The name of the `ApiKey` object.
    pub object_name: Box<str>,
    /// `api_…`, the id of the key's keyspace.
    pub keyspace_id: Arc<str>,
    /// The name that people gave it.
    pub display_name: Option<Box<str>>,
    /// `false` answers `DISABLED`.
    pub enabled: bool,
    /// After this point the answer is `EXPIRED`.
    pub expires: Option<Millis>,
    /// From where the key may be used, as its keyspace says; `None` for anywhere.
    pub allowed: Option<Arc<AllowList>>,
    /// Any JSON object, returned as it was written.
    pub meta: Option<Box<RawValue>>,
    /// Whose key it is.
    pub identity: Option<Arc<IdentityRecord>>,
    /// All permissions without duplicates: first the key's own, in their order, then those that its roles add.
    pub permissions: Box<[Arc<str>]>,
    /// How many of `permissions` are the key's own; the rest came with the roles.
    pub own_permissions: usize,
    /// Names of the key's roles, those included that no `KeyRole` describes.
    pub roles: Box<[Arc<str>]>,
    /// Limits of the key alone.
    pub own_limits: Box<[Configured]>,
    /// Those of the `RateLimit`s that apply to it, the oldest first.
    pub selected_limits: Box<[Configured]>,
    /// Its credits; `None` for a key that may be used without end. Boxed: most keys have none.
    pub credits: Option<Box<CreditsRecord>>,
}

impl KeyRecord {
    /// An enabled key that has nothing yet but its names.
    pub fn bare(id: &str, namespace: Arc<str>, object_name: &str, keyspace_id: Arc<str>) -> Self {
        Self {
            id: id.into(),
            namespace,
            object_name: object_name.into(),
            keyspace_id,
            display_name: None,
            enabled: true,
            expires: None,
            allowed: None,
            meta: None,
            identity: None,
            permissions: Box::default(),
            own_permissions: 0,
            roles: Box::default(),
            own_limits: Box::default(),
            selected_limits: Box::default(),
            credits: None,
        }
    }

    /// Whose counters its limits run on.
    pub fn owner(&self) -> Owner<'_> {
        Owner {
            namespace: &self.namespace,
            key_id: &self.id,
            keyspace_id: &self.keyspace_id,
            identity: self.identity.as_ref().map(|identity| (&*identity.id, &*identity.external_id)),
        }
    }

    /// All its limits, in the order in which they shadow each other.
    pub fn limits(&self) -> Limits<'_> {
        let identity = self.identity.as_ref().map_or(&[][..], |identity| &identity.limits);
        Limits { key: &self.own_limits, identity, selected: &self.selected_limits }
    }

    /// Whether the key carries exactly this permission. Cost: a comparison with each permission, usually a handful.
    pub fn has_permission(&self, permission: &str) -> bool {
        self.permissions.iter().any(|have| **have == *permission)
    }
}

/// Whose keys they are: what verification returns as `identity`.
#[derive(Clone, Debug)]
pub struct IdentityRecord {
    /// `id_…`.
    pub id: Box<str>,
    /// The name that the customer's own system uses.
    pub external_id: Box<str>,
    /// Any JSON object, from the `Identity` object if there is one.
    pub meta: Option<Box<RawValue>>,
    /// Limits that all its keys share, from the `Identity` object if there is one.
    pub limits: Box<[Configured]>,
}

impl PartialEq for IdentityRecord {
    fn eq(&self, other: &Self) -> bool {
        let text = |record: &Self| record.meta.as_ref().map(|meta| meta.get().to_owned());
        self.id == other.id
            && self.external_id == other.external_id
            && text(self) == text(other)
            && self.limits == other.limits
    }
}

/// One caller of the API: a `RootKey`.
#[derive(Clone, Debug)]
pub struct RootRecord {
    /// `rk_…`.
    pub id: Box<str>,
    /// The workspace in which the caller acts.
    pub namespace: Arc<str>,
    /// `false` answers 403.
    pub enabled: bool,
    /// After this point the answer is 403.
    pub expires: Option<Millis>,
    /// What the caller may do.
    pub grants: Grants,
}

/// One hash under which a key is found, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServedHash {
    /// SHA-256 of the plain key.
    pub hash: KeyHash,
    /// The end of a rotated-out key's overlap; `None` for the current key.
    pub valid_until: Option<Millis>,
}

/// Which of two objects that claim one hash has it: the older, by creation time and then by uid. Everyone who decides this (operator,
/// every pod) comes to the same answer without asking the other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seniority {
    /// When the object was created.
    pub created: Millis,
    /// Its uid, which decides between two of one second.
    pub uid: Arc<str>,
}
