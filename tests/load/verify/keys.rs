//! The keys of the benchmark: 4 permissions, a role, two limits, 200 bytes of metadata and an identity each.

use keyplane_api::{ApiKey, ApiKeySpec, GoDuration, HashKey, KeyRole, KeyRoleSpec, KeySource, Meta, NamedLimit};
use keyplane_api_server::registry::Object;
use keyplane_core::hash::KeyHash;
use serde_json::json;

const NAMESPACE: &str = "default";
const PERMISSIONS: usize = 40;
const ROLES: usize = 10;
const KEYS_OF_A_CUSTOMER: usize = 4;
/// Bytes of compact JSON.
const META: usize = 200;
/// Both limits are counted in each verification. The busiest key of a Zipf distribution gets a twelfth of all requests, so that no run
/// comes near.
const LIMIT: i64 = 1_000_000_000;

/// What all plain keys begin with.
pub(crate) const PREFIX: &str = "acme_benchmark";
/// Digits after it.
pub(crate) const DIGITS: usize = 13;

/// The plain key: 27 characters, as generated ones have about.
pub(crate) fn plain(number: usize) -> String {
    format!("{PREFIX}{number:0DIGITS$}")
}

/// The roles, and so many keys.
pub(crate) fn all(keys: usize) -> Vec<Object> {
    (0..ROLES).map(|number| role(number).into()).chain((0..keys).map(|number| key(number).into())).collect()
}

pub(crate) fn external_id(number: usize) -> String {
    format!("customer-{:06}", number / KEYS_OF_A_CUSTOMER)
}

pub(crate) fn permissions(number: usize) -> Vec<String> {
    (0..4).map(|step| permission(number * 7 + step)).collect()
}

pub(crate) fn role_name(number: usize) -> String {
    format!("role-{}", number % ROLES)
}

fn permission(number: usize) -> String {
    format!("documents.section-{:02}.read", number % PERMISSIONS)
}

fn role(number: usize) -> KeyRole {
    let permissions = (0..3).map(|step| permission(number * 3 + step)).collect();
    let mut role = KeyRole::new(&role_name(number), KeyRoleSpec { permissions, ..KeyRoleSpec::default() });
    role.metadata.namespace = Some(NAMESPACE.to_owned());
    role
}

fn key(number: usize) -> ApiKey {
    let spec = ApiKeySpec {
        display_name: Some(format!("Key {number}")),
        external_id: Some(external_id(number)),
        meta: Some(meta(number)),
        permissions: permissions(number),
        roles: vec![role_name(number)],
        rate_limits: vec![limit("requests", 60_000), limit("bursts", 1_000)],
        key: KeySource::Hash(HashKey { sha256: KeyHash::of(&plain(number)).to_hex() }),
        ..ApiKeySpec::default()
    };
    let mut key = ApiKey::new(&format!("key-{number:09}"), spec);
    key.metadata.namespace = Some(NAMESPACE.to_owned());
    key
}

fn limit(name: &str, milliseconds: i64) -> NamedLimit {
    let window = GoDuration::from_millis(milliseconds);
    NamedLimit { name: name.to_owned(), limit: LIMIT, window, auto_apply: true }
}

fn meta(number: usize) -> Meta {
    let mut meta = Meta::new();
    meta.insert("plan".to_owned(), json!("professional"));
    meta.insert("invoice".to_owned(), json!(number + 1_000_000));
    meta.insert("note".to_owned(), json!(""));
    let missing = META.saturating_sub(json!(meta).to_string().len());
    meta.insert("note".to_owned(), json!("x".repeat(missing)));
    meta
}
