//! What a pod must know of one key or one caller, resolved: names of roles and keyspaces have become what they stand for.
//!
//! There are a million of them, so their size is their price: what many keys have in common stands in shared pieces ([`Place`],
//! [`PermissionSet`], [`IdentityRecord`], [`Terms`](crate::plan::Terms)), and a key's own texts in one block. The test below keeps the sizes.

mod permissions;
mod seniority;
mod texts;

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

use serde_json::value::RawValue;

pub use self::permissions::{PermissionList, PermissionSet};
pub use self::seniority::{Seniority, Uid};
use self::texts::Texts;
use crate::address::AllowList;
use crate::credits::CreditsRecord;
use crate::hash::KeyHash;
use crate::id::Id;
use crate::last_used::LastUsed;
use crate::permission::Grants;
use crate::plan::{Configured, Limits, Owner};
use crate::time::Millis;

/// One key, as verification reads it. Its namespace, keyspace and allowed addresses are read from its [`Place`].
///
/// **Shape**: 144 bytes, one block with its texts, and 48 bytes for each of its limits; the rest is shared with other keys.
#[derive(Clone, PartialEq)]
pub struct KeyRecord {
    texts: Texts,
    /// Where it belongs.
    pub place: Arc<Place>,
    /// Its permissions and roles.
    pub permission_set: Arc<PermissionSet>,
    /// Whose key it is.
    pub identity: Option<Arc<IdentityRecord>>,
    /// Its own limits, and behind them those of the `RateLimit`s that apply to it, the oldest first.
    limits: Box<[Configured]>,
    /// How many of `limits` are its own.
    own_limits: u8,
    /// `false` answers `DISABLED`.
    pub enabled: bool,
    /// When it was last used; verifications write it. A record that takes its place carries it on.
    pub last_used: LastUsed,
    /// SHA-256 of the plain key; `None` while it waits for its Secret.
    pub hash: Option<KeyHash>,
    /// A second hash: the one that it had before it was rotated, until the overlap ends, or the one under which it was imported. Boxed: few keys
    /// have two.
    pub former: Option<Box<ServedHash>>,
    /// After this point the answer is `EXPIRED`.
    pub expires: Option<Millis>,
    /// Its credits; `None` for a key that may be used without end. Boxed: most keys have none.
    pub credits: Option<Box<CreditsRecord>>,
}

/// What the keys of one keyspace have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The workspace: keys of other namespaces never see this one.
    pub namespace: Arc<str>,
    /// The name of the keyspace.
    pub keyspace: Box<str>,
    /// `api_…`, the id of the keyspace.
    pub keyspace_id: Box<str>,
    /// From where the keys may be used; `None` for anywhere.
    pub allowed: Option<Arc<AllowList>>,
}

impl Deref for KeyRecord {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

impl KeyRecord {
    /// An enabled key that has nothing yet but this. `display_name` is what people gave it, `meta` any JSON object.
    pub fn new(
        id: &str,
        object_name: &str,
        display_name: Option<&str>,
        meta: Option<&RawValue>,
        place: Arc<Place>,
        permission_set: Arc<PermissionSet>,
    ) -> Self {
        Self {
            texts: Texts::new(id, object_name, display_name, meta),
            place,
            permission_set,
            identity: None,
            limits: Box::default(),
            own_limits: 0,
            enabled: true,
            last_used: LastUsed::default(),
            hash: None,
            former: None,
            expires: None,
            credits: None,
        }
    }

    /// A key of the keyspace with this id, and nothing more.
    pub fn bare(id: &str, namespace: Arc<str>, object_name: &str, keyspace_id: &str) -> Self {
        let place = Place { namespace, keyspace: "".into(), keyspace_id: keyspace_id.into(), allowed: None };
        Self::new(id, object_name, None, None, Arc::new(place), Arc::default())
    }

    /// `key_…`, what HTTP clients see.
    pub fn id(&self) -> &str {
        self.texts.id()
    }

    /// The name of the `ApiKey` object.
    pub fn object_name(&self) -> &str {
        self.texts.object_name()
    }

    /// The name that people gave it.
    pub fn display_name(&self) -> Option<Cow<'_, str>> {
        self.texts.display_name()
    }

    /// The same as a JSON string, with its quotes.
    pub fn name_json(&self) -> Option<&str> {
        self.texts.display_name_json()
    }

    /// Any JSON object, returned as it was written.
    pub fn meta_json(&self) -> Option<&str> {
        self.texts.meta_json()
    }

    /// The same for serde. Cost: it is parsed; an answer that is in a hurry copies [`Self::meta_json`].
    pub fn meta(&self) -> Option<&RawValue> {
        self.meta_json().and_then(|json| serde_json::from_str(json).ok())
    }

    /// All permissions without duplicates: first the key's own, in their order, then those that its roles add.
    pub fn permissions(&self) -> &[Arc<str>] {
        &self.permission_set.permissions
    }

    /// Names of the key's roles, those included that no `KeyRole` describes.
    pub fn roles(&self) -> &[Arc<str>] {
        &self.permission_set.roles
    }

    /// Gives it these limits of its own, as many as 255 of them, and none besides.
    pub fn set_own_limits(&mut self, mut own: Vec<Configured>) {
        own.truncate(u8::MAX.into());
        self.own_limits = u8::try_from(own.len()).unwrap_or(u8::MAX);
        self.limits = own.into();
    }

    /// Puts these in place of the limits that apply to it besides its own.
    pub fn set_selected_limits(&mut self, selected: &[Configured]) {
        if self.selected_limits() != selected {
            self.limits = [self.own_limits(), selected].concat().into();
        }
    }

    /// Limits of the key alone.
    pub fn own_limits(&self) -> &[Configured] {
        self.limits.get(..self.own_limits.into()).unwrap_or_default()
    }

    /// Those of the `RateLimit`s that apply to it, the oldest first.
    pub fn selected_limits(&self) -> &[Configured] {
        self.limits.get(self.own_limits.into()..).unwrap_or_default()
    }

    /// Whose counters its limits run on.
    pub fn owner(&self) -> Owner<'_> {
        Owner {
            namespace: &self.namespace,
            key_id: self.id(),
            keyspace_id: &self.keyspace_id,
            identity: self.identity.as_ref().map(|identity| (&*identity.id, &*identity.external_id)),
        }
    }

    /// All its limits, in the order in which they shadow each other.
    pub fn limits(&self) -> Limits<'_> {
        let identity = self.identity.as_ref().map_or(&[][..], |identity| &identity.limits);
        Limits { key: self.own_limits(), identity, selected: self.selected_limits() }
    }

    /// Whether the key carries exactly this permission. Cost: a comparison with each permission, usually a handful.
    pub fn has_permission(&self, permission: &str) -> bool {
        self.permissions().iter().any(|have| **have == *permission)
    }

    /// The hashes under which it is found: none while it waits for its Secret, two during an overlap.
    pub fn hashes(&self) -> impl Iterator<Item = ServedHash> {
        let current = self.hash.map(|hash| ServedHash { hash, valid_until: None });
        current.into_iter().chain(self.former.as_deref().copied())
    }

    /// Under which of its hashes this is, if under any. Cost: reads the record, no more, unless the key was rotated.
    pub fn serves(&self, hash: &KeyHash) -> Option<ServedHash> {
        self.hashes().find(|served| served.hash == *hash)
    }
}

impl std::fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRecord").field("id", &self.id()).field("place", &self.place).finish_non_exhaustive()
    }
}

/// Whose keys they are: what verification returns as `identity`.
#[derive(Clone, Debug)]
pub struct IdentityRecord {
    /// `id_…`.
    pub id: Id,
    /// The name that the customer's own system uses.
    pub external_id: Box<str>,
    /// `"id":"…","externalId":"…"`, as answers show it.
    pub head_json: Box<str>,
    /// Any JSON object, from the `Identity` object if there is one.
    pub meta: Option<Box<RawValue>>,
    /// Limits that all its keys share, from the `Identity` object if there is one.
    pub limits: Box<[Configured]>,
}

impl IdentityRecord {
    /// An identity that is only an external id.
    pub fn bare(id: &str, external_id: &str) -> Self {
        let (id_json, external_json) = (texts::json_string(id), texts::json_string(external_id));
        // One exact allocation, as for a key's texts.
        let head = ["\"id\":", &id_json, ",\"externalId\":", &external_json].concat();
        let (meta, limits) = (None, Box::default());
        Self { id: id.into(), external_id: external_id.into(), head_json: head.into(), meta, limits }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A million keys: each byte here is a megabyte of a pod.
    #[test]
    fn sizes_are_what_the_documentation_says() {
        assert_eq!(size_of::<KeyRecord>(), 144);
        assert_eq!(size_of::<Texts>(), 32);
        assert_eq!(size_of::<Configured>(), 48);
        assert_eq!(size_of::<IdentityRecord>(), 88);
        assert_eq!(size_of::<Seniority>(), 32);
    }

    #[test]
    fn a_key_is_found_under_each_of_its_hashes() {
        let mut key = KeyRecord::bare("key_1", "n".into(), "k", "api_1");
        let (new, old) = (KeyHash::of("new"), KeyHash::of("old"));
        assert_eq!((key.hashes().count(), key.serves(&new)), (0, None));
        key.hash = Some(new);
        key.former = Some(Box::new(ServedHash { hash: old, valid_until: Some(Millis(7)) }));
        let end = |hash| key.serves(&hash).map(|served| served.valid_until);
        assert_eq!((end(new), end(old), end(KeyHash::of("other"))), (Some(None), Some(Some(Millis(7))), None));
    }
}
