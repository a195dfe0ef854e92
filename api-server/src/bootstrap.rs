//! The first keys of a standalone server: a root key to call with, and a sample key to try.
//!
//! A plain key leaves the process once, on standard output, to the person who started it; the store gets its hash.

use keyplane_api::{ApiKey, ApiKeySpec, HashKey, KeySource, RootKey, RootKeySpec};
use keyplane_core::hash::KeyHash;
use keyplane_core::key::{DEFAULT_BYTE_LENGTH, PlainKey};

use crate::registry::{Kind, Object, ObjectKey, Registry, RegistryError, Source};

/// The prefix of root keys, so that people and secret scanners recognise one.
const ROOT_PREFIX: &str = "keyplane";
const SAMPLE: &str = "sample";

/// Why the first keys could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The store refused.
    #[error("failed to store the first keys")]
    Registry(#[from] RegistryError),
    /// The operating system has no randomness.
    #[error("failed to get randomness from the operating system: {0}")]
    Randomness(getrandom::Error),
}

/// What a first start hands over.
#[derive(Debug)]
pub struct FirstKeys {
    /// The caller.
    pub root_key: PlainKey,
    /// A key to verify.
    pub sample_key: PlainKey,
}

/// Ensures that this root key exists, enabled and with all permissions. Returns whether something was written.
pub async fn ensure_root_key(registry: &dyn Registry, workspace: &str, key: &PlainKey) -> Result<bool, BootstrapError> {
    let wanted = bootstrap_root_key(workspace, key);
    match registry.get(&Object::from(wanted.clone()).key()).await {
        Ok(Object::RootKey(present)) if present.spec == wanted.spec => Ok(false),
        Ok(mut present) => {
            // Someone disabled it or took permissions away; the environment says that it must work.
            if let Object::RootKey(root_key) = &mut present {
                root_key.spec = wanted.spec;
            }
            registry.update(present).await?;
            Ok(true)
        }
        Err(RegistryError::NotFound(_)) => {
            registry.create(wanted.into()).await?;
            Ok(true)
        }
        Err(error) => Err(error.into()),
    }
}

/// The object of a bootstrap root key. Its name comes from the hash: another key is another object.
pub fn bootstrap_root_key(workspace: &str, key: &PlainKey) -> RootKey {
    let hash = key.hash();
    let name = format!("bootstrap-{}", &hash.to_hex()[..12]);
    root_key(workspace, &name, "Bootstrap root key", hash)
}

/// On a store without any root key: makes one and a sample key. `None` when there is a root key already, because then someone has it.
pub async fn first_start(registry: &dyn Registry, workspace: &str) -> Result<Option<FirstKeys>, BootstrapError> {
    if !registry.list(&Source { kind: Kind::RootKey, namespace: None }).await?.is_empty() {
        return Ok(None);
    }
    // The sample first: a crash in between must not leave a store that has a root key nobody was told.
    let (root_key_plain, sample_key) = (generate(Some(ROOT_PREFIX))?, generate(Some(SAMPLE))?);
    replace(registry, sample(workspace, sample_key.hash()).into()).await?;
    replace(registry, root_key(workspace, "first", "Made at the first start", root_key_plain.hash()).into()).await?;
    Ok(Some(FirstKeys { root_key: root_key_plain, sample_key }))
}

/// What the person who started the server sees: the keys, once, and a command that works when pasted.
pub fn instructions(keys: &FirstKeys, address: std::net::SocketAddr) -> String {
    format!(
        "\nKeyplane is running. This is its root key; it is shown this once and can't be recovered:\n\n  {root}\n\n\
         Verify the sample key:\n\n  \
         curl -sS http://{address}/v2/keys.verifyKey \\\n    \
         -H 'Authorization: Bearer {root}' \\\n    \
         -H 'Content-Type: application/json' \\\n    \
         -d '{{\"key\":\"{sample}\"}}'\n",
        root = keys.root_key.expose(),
        sample = keys.sample_key.expose(),
    )
}

async fn replace(registry: &dyn Registry, object: Object) -> Result<(), RegistryError> {
    let key: ObjectKey = object.key();
    match registry.delete(&key).await {
        Ok(()) | Err(RegistryError::NotFound(_)) => registry.create(object).await.map(drop),
        Err(error) => Err(error),
    }
}

fn generate(prefix: Option<&str>) -> Result<PlainKey, BootstrapError> {
    let mut entropy = [0_u8; DEFAULT_BYTE_LENGTH as usize];
    getrandom::fill(&mut entropy).map_err(BootstrapError::Randomness)?;
    Ok(PlainKey::generate(prefix, &entropy))
}

fn root_key(workspace: &str, name: &str, display_name: &str, hash: KeyHash) -> RootKey {
    let spec = RootKeySpec {
        display_name: Some(display_name.to_owned()),
        permissions: vec![format!("unkey:v1:{workspace}:**#*")],
        key: KeySource::Hash(HashKey { sha256: hash.to_hex() }),
        ..RootKeySpec::default()
    };
    let mut object = RootKey::new(name, spec);
    object.metadata.namespace = Some(workspace.to_owned());
    object
}

fn sample(workspace: &str, hash: KeyHash) -> ApiKey {
    let spec = ApiKeySpec {
        display_name: Some("Sample key".to_owned()),
        key: KeySource::Hash(HashKey { sha256: hash.to_hex() }),
        ..ApiKeySpec::default()
    };
    let mut object = ApiKey::new(SAMPLE, spec);
    object.metadata.namespace = Some(workspace.to_owned());
    object
}
