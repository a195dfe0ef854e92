//! Every read of one reconcile, side by side, into one value. No decisions.

use k8s_openapi::api::core::v1::Secret;
use keyplane_api::{
    DEFAULT_KEYSPACE, KeyDefaults, KeySource, Keyspace, REPLACES_ANNOTATION, ROTATE_ANNOTATION, SECRET_DATA_KEY_ID,
    SECRET_DATA_PREVIOUS_KEY,
};
use keyplane_core::key::PlainKey;
use kube::{Api, Client};

use super::decide::{Found, Held, secret_to_read};
use super::kind::KeyKind;
use crate::drive::Error;

/// What was read for one object.
pub(super) struct Gathered<K> {
    /// The object: from the watch, or read again where an old copy could do harm.
    pub key: K,
    /// The Secret and the entry that were looked for, and what was found.
    pub secret: Option<(String, String, Found)>,
    /// The keyspace that the object names; `Missing` never for `default`, which exists without an object.
    pub keyspace: NamedKeyspace,
}

/// What is known of the keyspace that a key names.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum NamedKeyspace {
    /// The kind has none.
    None,
    /// It exists, with or without an object.
    Exists(KeyDefaults),
    /// There is no object of this name.
    Missing(String),
}

/// How far the copy from the watch is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// For an object with a current key: as long as the Secret holds that very key, nothing was issued since.
    Copy,
    /// The object is read again, and only then its Secret: so the Secret is as new as the status or ahead of it, never behind.
    Nothing,
}

/// Reads what is needed for `cached`, an object from the watch. `None`: it is gone or being deleted.
///
/// An object without a current key in its copy is read again: a copy that is behind must never lead to a second key. The
/// requests go side by side, so the cost is one round trip; for an issued key in the default keyspace, one `GET` of its Secret.
pub(super) async fn gather<K: KeyKind>(
    client: &Client,
    cached: &K,
    trust: Trust,
) -> Result<Option<Gathered<K>>, Error> {
    let (Some(name), Some(namespace)) = (&cached.meta().name, &cached.meta().namespace) else {
        return Err(Error::Incomplete("name or namespace"));
    };
    if trust == Trust::Nothing {
        let Some(key) = live(client, cached, namespace, name, trust).await? else { return Ok(None) };
        let (secret, keyspace) =
            futures::try_join!(secret(client, &key, namespace, name), keyspace(client, &key, namespace, trust))?;
        return Ok(Some(Gathered { key, secret, keyspace }));
    }
    let (live, secret, keyspace) = futures::try_join!(
        live(client, cached, namespace, name, trust),
        secret(client, cached, namespace, name),
        keyspace(client, cached, namespace, trust),
    )?;
    let Some(key) = live else { return Ok(None) };
    // The copy was behind, and the Secret that counts is another one than it said.
    let wanted = secret_to_read(&key, name);
    let read = secret.as_ref().map(|(name, entry, _)| (name.clone(), entry.clone()));
    let secret = if wanted == read { secret } else { self::secret(client, &key, namespace, name).await? };
    Ok(Some(Gathered { key, secret, keyspace }))
}

async fn live<K: KeyKind>(
    client: &Client,
    cached: &K,
    namespace: &str,
    name: &str,
    trust: Trust,
) -> Result<Option<K>, Error> {
    let key = if trust == Trust::Copy && cached.status().current.is_some() {
        Some(cached.clone())
    } else {
        let api = Api::<K>::namespaced(client.clone(), namespace);
        api.get_opt(name).await.map_err(Error::api("read the object again"))?
    };
    // Another uid: deleted and made again, which the watch will say.
    Ok(key.filter(|key| key.meta().uid == cached.meta().uid && key.meta().deletion_timestamp.is_none()))
}

async fn secret<K: KeyKind>(
    client: &Client,
    key: &K,
    namespace: &str,
    name: &str,
) -> Result<Option<(String, String, Found)>, Error> {
    let Some((secret_name, entry)) = secret_to_read(key, name) else { return Ok(None) };
    let api = Api::<Secret>::namespaced(client.clone(), namespace);
    let secret = api.get_opt(&secret_name).await.map_err(Error::secret("read the key's Secret"))?;
    let uid = key.meta().uid.as_deref();
    let found = secret.map_or(Found::Absent, |secret| Found::Present(Box::new(held(secret, &entry, uid))));
    Ok(Some((secret_name, entry, found)))
}

fn held(secret: Secret, entry: &str, uid: Option<&str>) -> Held {
    let (mut meta, data) = (secret.metadata, secret.data.unwrap_or_default());
    let ours = meta.owner_references.iter().flatten().any(|owner| Some(owner.uid.as_str()) == uid);
    let mut annotation = |name: &str| meta.annotations.as_mut().and_then(|annotations| annotations.remove(name));
    let plain = |entry: &str| data.get(entry).map(|bytes| PlainKey::from_bytes(&bytes.0));
    Held {
        ours,
        replaces: annotation(REPLACES_ANNOTATION),
        request: annotation(ROTATE_ANNOTATION),
        created: meta.creation_timestamp,
        resource_version: meta.resource_version,
        key: plain(entry),
        previous: plain(SECRET_DATA_PREVIOUS_KEY),
        key_id: data.get(SECRET_DATA_KEY_ID).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok()),
    }
}

async fn keyspace<K: KeyKind>(client: &Client, key: &K, namespace: &str, trust: Trust) -> Result<NamedKeyspace, Error> {
    let Some(name) = key.keyspace() else { return Ok(NamedKeyspace::None) };
    let is_default = name == DEFAULT_KEYSPACE;
    let may_generate = trust == Trust::Nothing || key.status().current.is_none();
    let generates = may_generate && matches!(key.source(), KeySource::Generate(_));
    if is_default && !generates {
        return Ok(NamedKeyspace::Exists(KeyDefaults::default()));
    }
    let api = Api::<Keyspace>::namespaced(client.clone(), namespace);
    let found = api.get_opt(name).await.map_err(Error::api("read the key's Keyspace"))?;
    Ok(match found {
        Some(keyspace) => NamedKeyspace::Exists(keyspace.spec.key_defaults.unwrap_or_default()),
        None if is_default => NamedKeyspace::Exists(KeyDefaults::default()),
        None => NamedKeyspace::Missing(name.to_owned()),
    })
}

#[cfg(test)]
#[path = "gather_tests.rs"]
mod tests;
