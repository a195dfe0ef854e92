//! Where the secret of a key comes from: exactly one of four sources.

use std::borrow::Cow;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// Where the secret of a key comes from. In YAML an object with exactly one field, named like the variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "KeySourceFields", into = "KeySourceFields")]
pub enum KeySource {
    /// The operator makes the key and puts it into a Secret.
    Generate(GenerateKey),
    /// The key is in a Secret that somebody else made.
    SecretRef(SecretKeyRef),
    /// Only the hash of the key is known.
    Hash(HashKey),
    /// Only the hash of the long token of a prefixed key is known.
    PrefixedHash(PrefixedHashKey),
}

impl Default for KeySource {
    fn default() -> Self {
        Self::Generate(GenerateKey::default())
    }
}

/// How the operator generates a key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GenerateKey {
    /// Name of the Secret that gets the key. Default: the name of this object with "-key" behind it. A Secret of that name
    /// that belongs to something else is left alone.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// What the key starts with, before an underscore: up to 16 letters, digits and underscores. Default: the keyspace's
    /// prefix; without one the key has none.
    #[schemars(length(min = 1, max = 16), regex(pattern = r"^[a-zA-Z0-9_]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// How many random bytes the key has, 16 to 255. Default: the keyspace's; without one 24.
    #[schemars(range(min = 16, max = 255))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub byte_length: Option<i64>,
}

/// A key that is in a Secret of the same namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret, in the namespace of this object.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// The entry of the Secret's data that holds the key, which must have at least 16 characters. Default "key".
    #[serde(default = "default_secret_entry")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

fn default_secret_entry() -> String {
    crate::SECRET_DATA_KEY.to_owned()
}

/// A key of which only the hash is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HashKey {
    /// SHA-256 of the whole key, as 64 hexadecimal characters or as 44 characters of standard base64.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9a-fA-F]{64}|[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=?)$')")
        .message("must be a SHA-256: 64 hexadecimal characters, or 44 characters of standard base64"))]
    pub sha256: String,
}

/// A key of the form `prefix_short_long` of which only the hash of the long token is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrefixedHashKey {
    /// SHA-256 of the long token, the part behind the last underscore, as 64 hexadecimal characters.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9a-fA-F]{64}$')")
        .message("must be a SHA-256 as 64 hexadecimal characters"))]
    pub sha256: String,
    /// The migration that a verification must name for the key to be found and re-hashed.
    #[schemars(length(min = 3, max = 255))]
    pub migration_id: String,
}

/// An object that names no source of its key, or more than one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "key must set exactly one of generate, secretRef, hash and prefixedHash, found {found}; leave key out for a generated one"
)]
pub struct KeySourceError {
    found: usize,
}

/// The YAML form of [`KeySource`]. An externally tagged enum would read the same from JSON, but YAML libraries write it with
/// a tag, and its schema would refuse mistakes with "must validate one and only one schema".
#[derive(Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.generate), has(self.secretRef), has(self.hash), has(self.prefixedHash)].exists_one(set, set)")
        .message("set exactly one of generate, secretRef, hash and prefixedHash; leave key out for a generated one"),
    validation = Rule::new("has(self.generate) == has(oldSelf.generate) && has(self.secretRef) == has(oldSelf.secretRef) \
        && has(self.hash) == has(oldSelf.hash) && has(self.prefixedHash) == has(oldSelf.prefixedHash)")
        .message("the source of a key cannot be changed to another kind; make a new object for a new key")
        .reason(Reason::FieldValueForbidden),
)]
struct KeySourceFields {
    /// The operator makes the key and puts it into a Secret, the only place where it is ever readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generate: Option<GenerateKey>,
    /// Bring your own key: it is read from a Secret and hashed again whenever that changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret_ref: Option<SecretKeyRef>,
    /// A key whose owner has it already: imported, or made through the HTTP API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<HashKey>,
    /// An imported key in the format prefix_short_long of which only the long token was hashed. It is hashed anew, as a
    /// whole, at its first use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefixed_hash: Option<PrefixedHashKey>,
}

impl TryFrom<KeySourceFields> for KeySource {
    type Error = KeySourceError;

    fn try_from(fields: KeySourceFields) -> Result<Self, Self::Error> {
        let KeySourceFields { generate, secret_ref, hash, prefixed_hash } = fields;
        let mut sources = [
            generate.map(Self::Generate),
            secret_ref.map(Self::SecretRef),
            hash.map(Self::Hash),
            prefixed_hash.map(Self::PrefixedHash),
        ]
        .into_iter()
        .flatten();
        match (sources.next(), sources.count()) {
            (Some(source), 0) => Ok(source),
            (first, more) => Err(KeySourceError { found: usize::from(first.is_some()) + more }),
        }
    }
}

impl From<KeySource> for KeySourceFields {
    fn from(source: KeySource) -> Self {
        let mut fields = Self { generate: None, secret_ref: None, hash: None, prefixed_hash: None };
        match source {
            KeySource::Generate(generate) => fields.generate = Some(generate),
            KeySource::SecretRef(secret_ref) => fields.secret_ref = Some(secret_ref),
            KeySource::Hash(hash) => fields.hash = Some(hash),
            KeySource::PrefixedHash(prefixed_hash) => fields.prefixed_hash = Some(prefixed_hash),
        }
        fields
    }
}

impl JsonSchema for KeySource {
    fn schema_name() -> Cow<'static, str> {
        "KeySource".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        KeySourceFields::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json, to_value};

    #[test]
    fn exactly_one_source_is_read_and_written_back() {
        for source in [
            json!({"generate": {}}),
            json!({"generate": {"prefix": "pay", "byteLength": 24}}),
            json!({"secretRef": {"name": "mine", "key": "apiKey"}}),
            json!({"hash": {"sha256": "ab"}}),
            json!({"prefixedHash": {"sha256": "ab", "migrationId": "seam"}}),
        ] {
            let read: KeySource = from_value(source.clone()).unwrap();
            assert_eq!(to_value(read).unwrap(), source);
        }
        assert_eq!(to_value(KeySource::default()).unwrap(), json!({"generate": {}}));
    }

    #[test]
    fn none_and_two_sources_are_refused() {
        for (source, found) in [(json!({}), "found 0"), (json!({"generate": {}, "hash": {"sha256": "ab"}}), "found 2")]
        {
            let error = from_value::<KeySource>(source).unwrap_err().to_string();
            assert!(error.contains(found), "{error}");
        }
    }
}
