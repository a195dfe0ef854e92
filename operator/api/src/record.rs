//! What verify pods make of the objects: custom resource in, core record out.
//!
//! Everyone who must agree on an id, on who came first or on which hash is served (the operator, every pod, the standalone server) calls
//! these functions.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use keyplane_core::address::{AllowList, Cidr};
use keyplane_core::hash::KeyHash;
use keyplane_core::id::{self, Kind};
use keyplane_core::permission::Grants;
use keyplane_core::plan::{Owner, Scope, Terms};
use keyplane_core::prefixed;
use keyplane_core::record::{
    IdentityRecord, KeyRecord, PermissionList, PermissionSet, Place, RootRecord, Seniority, ServedHash, Uid,
};
use keyplane_core::time::Millis;
use serde_json::value::RawValue;

use crate::credits_record::credits_record;
use crate::limit_record::own_limits;
use crate::{
    API_FIELD_MANAGER, ApiKey, CurrentKey, Identity, KeyRole, KeySource, Keyspace, MANAGED_BY_LABEL, Meta,
    PrefixedHashKey, PreviousKey, RootKey,
};

/// Where the one copy lies of what many keys have in common. Whoever keeps a million records implements it; [`Unshared`] is for one.
pub trait Sharing {
    /// A keyspace and what it says of its keys.
    fn place(&mut self, namespace: &str, keyspace: &str) -> Arc<Place>;
    /// A key's own permissions, and with them what its roles stand for.
    fn permissions(&mut self, namespace: &str, own: &[String], roles: &[String]) -> Arc<PermissionSet>;
    /// The identity of this external id.
    fn identity(&mut self, namespace: &str, external_id: &str) -> Arc<IdentityRecord>;
    /// What a limit says.
    fn terms(&mut self, terms: Terms) -> Arc<Terms>;
}

/// Shares nothing and knows nothing that names stand for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unshared;

impl Sharing for Unshared {
    fn place(&mut self, namespace: &str, keyspace: &str) -> Arc<Place> {
        let keyspace_id = keyspace_id(namespace, keyspace).into();
        Arc::new(Place { namespace: namespace.into(), keyspace: keyspace.into(), keyspace_id, allowed: None })
    }

    fn permissions(&mut self, _: &str, own: &[String], roles: &[String]) -> Arc<PermissionSet> {
        let texts = |texts: &[String]| texts.iter().map(|text| Arc::from(text.as_str())).collect();
        Arc::new(PermissionList { permissions: texts(own), own: own.len(), roles: texts(roles) }.into())
    }

    fn identity(&mut self, namespace: &str, external_id: &str) -> Arc<IdentityRecord> {
        Arc::new(bare_identity(namespace, external_id))
    }

    fn terms(&mut self, terms: Terms) -> Arc<Terms> {
        Arc::new(terms)
    }
}

/// A `RootKey` as a record.
#[derive(Clone, Debug)]
pub struct ResolvedRoot {
    /// The caller.
    pub record: RootRecord,
    /// The hashes under which it is found: none while it waits for its Secret, two during an overlap.
    pub hashes: Vec<ServedHash>,
    /// Decides between two objects with one hash.
    pub seniority: Seniority,
}

/// The id of a key: from its uid; for one that the HTTP API made, from its name.
pub fn key_id(metadata: &ObjectMeta) -> String {
    own_id(Kind::Key, metadata)
}

/// The id of a root key, by the same rule.
pub fn root_key_id(metadata: &ObjectMeta) -> String {
    own_id(Kind::RootKey, metadata)
}

/// The id of a keyspace, from its name: `default` has one without an object, and making the object must not change it.
pub fn keyspace_id(namespace: &str, name: &str) -> String {
    id::from_object_name(Kind::Keyspace, name).unwrap_or_else(|| id::from_name(Kind::Keyspace, namespace, name))
}

/// The id of an identity, from its external id: it has one without an object, and making the object must not change it.
pub fn identity_id(namespace: &str, external_id: &str) -> String {
    id::from_name(Kind::Identity, namespace, external_id)
}

/// Who came first. An object without a creation time (from a manifest) is older than all others.
pub fn seniority(metadata: &ObjectMeta) -> Seniority {
    Seniority {
        created: metadata.creation_timestamp.as_ref().map_or(Millis(0), millis),
        uid: Uid::from(metadata.uid.as_deref().unwrap_or_default()),
    }
}

/// An `ApiKey` as verify pods read it. What names in it stand for is as `shared` knows it; limits that select the key by its labels are
/// to be added.
pub fn key_record(key: &ApiKey, shared: &mut impl Sharing) -> KeyRecord {
    let (metadata, spec) = (&key.metadata, &key.spec);
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let (current, previous) =
        key.status.as_ref().map_or((None, None), |status| (status.current.as_ref(), status.previous.as_ref()));
    let mut record = KeyRecord::new(
        &key_id(metadata),
        metadata.name.as_deref().unwrap_or_default(),
        spec.display_name.as_deref(),
        spec.meta.as_ref().and_then(raw).as_deref(),
        shared.place(namespace, &spec.keyspace),
        shared.permissions(namespace, &spec.permissions, &spec.roles),
    );
    record.enabled = spec.enabled;
    record.expires = spec.expires.as_ref().map(millis);
    record.identity = spec.external_id.as_deref().map(|external_id| shared.identity(namespace, external_id));
    let own = own_limits(&spec.rate_limits, record.id(), Scope::Key, record.owner(), |terms| shared.terms(terms));
    record.set_own_limits(own);
    record.credits = credits_record(key, record.id()).map(Box::new);
    for served in served_hashes(&spec.key, current, previous) {
        match served.valid_until {
            // A key imported by its long token: what it was found under before stays beside the whole key's hash.
            None => {
                let before = record.hash.replace(served.hash).filter(|before| *before != served.hash);
                record.former = before.map(|hash| Box::new(ServedHash { hash, valid_until: None }));
            }
            // Of a key that was rotated back to itself the hash without an end counts.
            Some(_) if record.hash == Some(served.hash) => {}
            Some(_) => record.former = Some(Box::new(served)),
        }
    }
    record
}

/// A `RootKey` as verify pods read it.
pub fn resolved_root(key: &RootKey) -> ResolvedRoot {
    let (metadata, spec) = (&key.metadata, &key.spec);
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let record = RootRecord {
        id: root_key_id(metadata).into(),
        namespace: namespace.into(),
        enabled: spec.enabled,
        expires: spec.expires.as_ref().map(millis),
        grants: Grants::new(namespace, spec.permissions.iter().map(String::as_str)),
    };
    ResolvedRoot { record, hashes: served_root_hashes(key), seniority: seniority(metadata) }
}

/// From where the keys of a keyspace may be used; `None` for anywhere.
///
/// An entry that is no network is passed over and the rest counts; if nothing is left, nobody is allowed. The API server refuses such a
/// list, and a manifest that has one must not open the door.
pub fn allowed_addresses(keyspace: &Keyspace) -> Option<AllowList> {
    /// The unspecified address, which no client has.
    const NOBODY: &str = "::/128";
    let networks = &keyspace.spec.allowed_cidrs;
    let good = networks.iter().map(String::as_str).filter(|network| Cidr::parse(network).is_ok());
    (!networks.is_empty()).then(|| AllowList::parse(good.chain([NOBODY])).unwrap_or_default())
}

/// An identity that has an object.
pub fn identity(identity: &Identity) -> IdentityRecord {
    let namespace = identity.metadata.namespace.as_deref().unwrap_or_default();
    let mut record = bare_identity(namespace, &identity.spec.external_id);
    record.meta = identity.spec.meta.as_ref().and_then(raw);
    // Only the identity's own id is in the counters of its limits, so that all its keys share them.
    let owner = Owner { namespace, key_id: "", keyspace_id: "", identity: Some((&record.id, &record.external_id)) };
    record.limits = own_limits(&identity.spec.rate_limits, &record.id, Scope::Identity, owner, Arc::new).into();
    record
}

/// An identity that is only an external id so far.
pub fn bare_identity(namespace: &str, external_id: &str) -> IdentityRecord {
    IdentityRecord::bare(&identity_id(namespace, external_id), external_id)
}

/// The name by which keys refer to this role, and what it adds to them.
pub fn role(role: &KeyRole) -> (&str, &[String]) {
    let name = role.spec.name.as_deref().or(role.metadata.name.as_deref());
    (name.unwrap_or_default(), &role.spec.permissions)
}

/// The hashes under which a key is found now.
///
/// A hash that stands in the spec is served from there: the operator need not have seen the object. A key whose secret lies in a Secret
/// is served from the status, which is where the operator says what it found. A prefixed hash is no hash of a whole key: it is served under
/// its lookup hash, which only a verification with the migration leads to, and once the whole key's hash is in the status under that too.
/// Both stay, so that there is no moment in which the key is under neither. Unreadable hashes are passed over; the operator's condition names them.
fn served_hashes(source: &KeySource, current: Option<&CurrentKey>, previous: Option<&PreviousKey>) -> Vec<ServedHash> {
    let read = |text: &str, valid_until| KeyHash::parse(text).ok().map(|hash| ServedHash { hash, valid_until });
    match source {
        KeySource::Hash(hash) => read(&hash.sha256, None).into_iter().collect(),
        KeySource::PrefixedHash(key) => {
            let lookup = prefixed_lookup(key).map(|hash| ServedHash { hash, valid_until: None });
            let whole = current.and_then(|current| read(&current.sha256, None));
            // The long token alone is no key.
            let whole = whole.filter(|whole| KeyHash::parse(&key.sha256) != Ok(whole.hash));
            lookup.into_iter().chain(whole).collect()
        }
        KeySource::Generate(_) | KeySource::SecretRef(_) => {
            let current = current.and_then(|key| read(&key.sha256, None));
            let previous = previous.and_then(|key| read(&key.sha256, Some(millis(&key.valid_until))));
            current.into_iter().chain(previous).collect()
        }
    }
}

/// Under which hash a key is found that was imported by its long token; `None` when that can't be read.
pub fn prefixed_lookup(key: &PrefixedHashKey) -> Option<KeyHash> {
    KeyHash::parse(&key.sha256).ok().map(|long_token| prefixed::lookup(&key.migration_id, long_token))
}

/// As [`served_hashes`]. A caller names no migration, so a root key that was imported by its long token is found under nothing.
fn served_root_hashes(key: &RootKey) -> Vec<ServedHash> {
    let status = key.status.as_ref();
    let (current, previous) = (status.and_then(|s| s.current.as_ref()), status.and_then(|s| s.previous.as_ref()));
    match &key.spec.key {
        KeySource::PrefixedHash(_) => Vec::new(),
        source => served_hashes(source, current, previous),
    }
}

fn own_id(kind: Kind, metadata: &ObjectMeta) -> String {
    let made_by_api = metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(MANAGED_BY_LABEL))
        .is_some_and(|by| by == API_FIELD_MANAGER);
    let from_name = made_by_api.then(|| id::from_object_name(kind, metadata.name.as_deref()?)).flatten();
    from_name.unwrap_or_else(|| id::from_uid(kind, metadata.uid.as_deref().unwrap_or_default()))
}

fn millis(time: &Time) -> Millis {
    Millis(time.0.as_millisecond())
}

fn raw(meta: &Meta) -> Option<Box<RawValue>> {
    // Empty metadata is as good as none: the API leaves out what is empty.
    (!meta.is_empty()).then(|| serde_json::value::to_raw_value(meta).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const OTHER: &str = "cb8379ac2098aa165029e3938a51da0bcecfc008fd6795f401178647f96c5b34";

    fn record(yaml: &str) -> KeyRecord {
        key_record(&serde_yaml::from_str(yaml).unwrap(), &mut Unshared)
    }

    fn served(source: &str, status: &str) -> Vec<(String, Option<i64>)> {
        let yaml = format!(
            "{{apiVersion: keyplane.dev/v1alpha1, kind: ApiKey, metadata: {{name: a, namespace: n, uid: u}}, spec: {{key: {source}}}, status: {status}}}"
        );
        record(&yaml).hashes().map(|h| (h.hash.to_hex(), h.valid_until.map(|t| t.0))).collect()
    }

    #[test]
    fn a_generated_key_is_served_from_the_status() {
        let current = format!("current: {{sha256: {HASH}, issuedAt: \"2026-01-01T00:00:00Z\"}}");
        let previous = format!("previous: {{sha256: {OTHER}, validUntil: \"1970-01-01T00:00:01Z\"}}");
        assert_eq!(served("{generate: {}}", "{}"), []);
        assert_eq!(served("{generate: {}}", &format!("{{{current}}}")), [(HASH.to_owned(), None)]);
        let both = served("{secretRef: {name: s}}", &format!("{{{current}, {previous}}}"));
        assert_eq!(both, [(HASH.to_owned(), None), (OTHER.to_owned(), Some(1000))]);
        let back = format!("{{{current}, previous: {{sha256: {HASH}, validUntil: \"1970-01-01T00:00:01Z\"}}}}");
        assert_eq!(served("{secretRef: {name: s}}", &back), [(HASH.to_owned(), None)], "rotated back to itself");
    }

    #[test]
    fn a_hash_is_served_from_the_spec_whatever_the_status_says() {
        let status = format!("{{current: {{sha256: {OTHER}, issuedAt: \"2026-01-01T00:00:00Z\"}}}}");
        assert_eq!(served(&format!("{{hash: {{sha256: {HASH}}}}}"), &status), [(HASH.to_owned(), None)]);
        assert_eq!(served("{hash: {sha256: nonsense}}", &status), []);
    }

    #[test]
    fn a_prefixed_hash_is_served_under_its_lookup_hash_and_later_under_the_whole_keys_too() {
        let source = format!("{{prefixedHash: {{sha256: {HASH}, migrationId: seam}}}}");
        let lookup = prefixed::lookup("seam", KeyHash::parse(HASH).unwrap()).to_hex();
        assert_eq!(served(&source, "{}"), [(lookup.clone(), None)]);
        let status = format!("{{current: {{sha256: {OTHER}, issuedAt: \"2026-01-01T00:00:00Z\"}}}}");
        assert_eq!(served(&source, &status), [(OTHER.to_owned(), None), (lookup.clone(), None)]);
        let long_token = status.replace(OTHER, HASH);
        assert_eq!(served(&source, &long_token), [(lookup, None)], "the long token alone is no key");
    }

    #[test]
    fn a_root_key_is_not_found_by_a_long_token() {
        let yaml = format!(
            "{{apiVersion: keyplane.dev/v1alpha1, kind: RootKey, metadata: {{name: a, namespace: n}}, spec: {{key: {{prefixedHash: {{sha256: {HASH}, migrationId: seam}}}}}}}}"
        );
        assert_eq!(resolved_root(&serde_yaml::from_str(&yaml).unwrap()).hashes, []);
    }

    #[test]
    fn a_list_of_addresses_that_cannot_be_read_opens_no_door() {
        let allows = |networks: &[&str], address: &str| {
            let spec = crate::KeyspaceSpec {
                allowed_cidrs: networks.iter().map(|network| (*network).to_owned()).collect(),
                ..crate::KeyspaceSpec::default()
            };
            let allowed = allowed_addresses(&Keyspace::new("k", spec));
            allowed.is_none_or(|allowed| allowed.allows(Some(address.parse().unwrap())))
        };
        assert!(allows(&[], "192.0.2.1"));
        assert!(allows(&["10.0.0.0/8", "nonsense"], "10.1.2.3"));
        assert!(!allows(&["10.0.0.0/8", "nonsense"], "192.0.2.1"));
        assert!(!allows(&["nonsense"], "192.0.2.1"));
    }

    #[test]
    fn only_an_object_of_the_api_has_its_id_in_its_name() {
        let metadata = |label: bool| ObjectMeta {
            name: Some("key-4f9k2m7q1x8w3z5a".to_owned()),
            uid: Some("u".to_owned()),
            labels: label.then(|| [(MANAGED_BY_LABEL.to_owned(), API_FIELD_MANAGER.to_owned())].into()),
            ..ObjectMeta::default()
        };
        assert_eq!(key_id(&metadata(true)), "key_4f9k2m7q1x8w3z5a");
        assert_eq!(key_id(&metadata(false)), id::from_uid(Kind::Key, "u"));
    }
}
