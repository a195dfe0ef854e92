//! Keys that differ as real ones do.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use keyplane_api::{
    ApiKey, ApiKeySpec, GoDuration, HashKey, KeyRole, KeyRoleSpec, KeySource, Meta, NamedLimit, RootKey, RootKeySpec,
};
use keyplane_api_server::registry::Object;
use keyplane_core::hash::KeyHash;
use serde_json::json;

const NAMESPACE: &str = "default";
const PERMISSIONS: usize = 40;
const ROLES: usize = 10;
const KEYS_OF_A_CUSTOMER: usize = 4;
/// Bytes of compact JSON.
const META: usize = 200;
/// Documents in one file: a few hundred kilobytes.
const DOCUMENTS: usize = 500;

/// The plain key: 27 characters, as generated ones have about.
pub(crate) fn plain(number: usize) -> String {
    format!("acme_benchmark{number:013}")
}

/// Every object: the roles, and so many keys. Made one after the other: a million of them together would be gigabytes.
pub(crate) fn all(keys: usize) -> impl Iterator<Item = Object> {
    (0..ROLES).map(|number| role(number).into()).chain((0..keys).map(|number| key(number).into()))
}

/// A caller with this root key, which may verify every key.
pub(crate) fn caller(root_key: &str) -> Object {
    let spec =
        RootKeySpec { permissions: vec!["api.*.verify_key".to_owned()], key: hash(root_key), ..RootKeySpec::default() };
    let mut caller = RootKey::new("benchmark", spec);
    caller.metadata.namespace = Some(NAMESPACE.to_owned());
    caller.into()
}

/// The same as files.
pub(crate) fn write_manifests(directory: &Path, keys: usize) -> Result<()> {
    fs::create_dir(directory).context("make the directory of manifests")?;
    let mut documents: Vec<String> = Vec::with_capacity(DOCUMENTS);
    for number in 0..ROLES {
        documents.push(serde_yaml::to_string(&role(number)).context("render a role")?);
    }
    write(&directory.join("roles.yaml"), &documents)?;
    for first in (0..keys).step_by(DOCUMENTS) {
        documents.clear();
        for number in first..keys.min(first + DOCUMENTS) {
            documents.push(serde_yaml::to_string(&key(number)).context("render a key")?);
        }
        write(&directory.join(format!("keys-{first:09}.yaml")), &documents)?;
    }
    Ok(())
}

fn write(file: &Path, documents: &[String]) -> Result<()> {
    let mut out = BufWriter::new(fs::File::create(file).with_context(|| format!("create {}", file.display()))?);
    let written = documents.iter().try_for_each(|document| write!(out, "---\n{document}"));
    written.and_then(|()| out.flush()).with_context(|| format!("write {}", file.display()))
}

fn permission(number: usize) -> String {
    format!("documents.section-{:02}.read", number % PERMISSIONS)
}

fn role_name(number: usize) -> String {
    format!("role-{}", number % ROLES)
}

fn role(number: usize) -> KeyRole {
    let permissions = (0..3).map(|step| permission(number * 3 + step)).collect();
    let mut role = KeyRole::new(&role_name(number), KeyRoleSpec { permissions, ..KeyRoleSpec::default() });
    role.metadata.namespace = Some(NAMESPACE.to_owned());
    role
}

fn hash(plain: &str) -> KeySource {
    KeySource::Hash(HashKey { sha256: KeyHash::of(plain).to_hex() })
}

/// Two limits of the key itself. Verifications here name none, so that a lookup is a lookup and not the work of counters.
fn limits() -> Vec<NamedLimit> {
    let limit = |name: &str, limit, seconds: i64| NamedLimit {
        name: name.to_owned(),
        limit,
        window: GoDuration::from_millis(seconds * 1_000),
        auto_apply: false,
    };
    vec![limit("requests", 1_000, 60), limit("exports", 20, 86_400)]
}

pub(crate) fn key(number: usize) -> ApiKey {
    let spec = ApiKeySpec {
        display_name: Some(format!("Key {number}")),
        external_id: Some(format!("customer-{:06}", number / KEYS_OF_A_CUSTOMER)),
        meta: Some(meta(number)),
        permissions: (0..4).map(|step| permission(number * 7 + step)).collect(),
        roles: vec![role_name(number)],
        rate_limits: limits(),
        key: hash(&plain(number)),
        ..ApiKeySpec::default()
    };
    let mut key = ApiKey::new(&format!("key-{number:09}"), spec);
    key.metadata.namespace = Some(NAMESPACE.to_owned());
    key
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
