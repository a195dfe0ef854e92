//! A new key and its Secret: pure, randomness is an argument.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use keyplane_api::{
    GenerateKey, KeyDefaults, MANAGED_BY_LABEL, MANAGED_BY_OPERATOR, SECRET_DATA_KEY, SECRET_DATA_KEY_ID,
};
use keyplane_core::key::{BYTE_LENGTHS, DEFAULT_BYTE_LENGTH, PlainKey};
use kube::ResourceExt;
use kube::api::ObjectMeta;

use super::kind::KeyKind;

/// How a new key looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// What stands before the underscore.
    pub prefix: Option<String>,
    /// Random bytes.
    pub byte_length: u16,
}

/// The key's own wish, else the keyspace's default, else no prefix and 24 bytes. A length outside 16 to 255 (which the
/// schema refuses) is moved to the nearer end.
pub(super) fn shape(wish: &GenerateKey, defaults: &KeyDefaults) -> Shape {
    let byte_length = wish.byte_length.or(defaults.byte_length).map_or(DEFAULT_BYTE_LENGTH, |wanted| {
        let wanted = wanted.clamp(i64::from(*BYTE_LENGTHS.start()), i64::from(*BYTE_LENGTHS.end()));
        u16::try_from(wanted).unwrap_or(DEFAULT_BYTE_LENGTH)
    });
    Shape { prefix: wish.prefix.clone().or_else(|| defaults.prefix.clone()), byte_length }
}

/// The Secret that hands the plain key to its owner: owned by the object, so that it goes with it.
pub(super) fn secret<K: KeyKind>(key: &K, secret_name: &str, id: &str, plain: &PlainKey) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(secret_name.to_owned()),
            namespace: key.namespace(),
            labels: Some(BTreeMap::from([
                (MANAGED_BY_LABEL.to_owned(), MANAGED_BY_OPERATOR.to_owned()),
                (K::SECRET_LABEL.to_owned(), key.name_any()),
            ])),
            owner_references: key.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some(K::SECRET_TYPE.to_owned()),
        data: Some(BTreeMap::from([
            (SECRET_DATA_KEY.to_owned(), ByteString(plain.expose().as_bytes().to_vec())),
            (SECRET_DATA_KEY_ID.to_owned(), ByteString(id.as_bytes().to_vec())),
        ])),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyplane_api::{ApiKey, ApiKeySpec};

    #[test]
    fn the_keys_own_wish_goes_before_the_keyspaces_default() {
        let defaults = KeyDefaults { prefix: Some("pay".to_owned()), byte_length: Some(32) };
        assert_eq!(shape(&GenerateKey::default(), &KeyDefaults::default()), Shape { prefix: None, byte_length: 24 });
        let from_keyspace = Shape { prefix: Some("pay".to_owned()), byte_length: 32 };
        assert_eq!(shape(&GenerateKey::default(), &defaults), from_keyspace);
        let wish = GenerateKey { prefix: Some("own".to_owned()), byte_length: Some(9999), secret_name: None };
        assert_eq!(shape(&wish, &defaults), Shape { prefix: Some("own".to_owned()), byte_length: 255 });
    }

    #[test]
    fn the_secret_is_owned_labelled_and_of_our_type() {
        let mut key = ApiKey::new("acme", ApiKeySpec::default());
        key.metadata.namespace = Some("team-a".to_owned());
        key.metadata.uid = Some("uid-1".to_owned());
        let plain = PlainKey::generate(None, &[7; 24]);
        let secret = secret(&key, "acme-key", "key_x", &plain);
        assert_eq!(secret.type_.as_deref(), Some("keyplane.dev/api-key"));
        assert_eq!(secret.metadata.namespace.as_deref(), Some("team-a"));
        let labels = secret.metadata.labels.unwrap();
        assert_eq!(labels["keyplane.dev/apikey"], "acme");
        assert_eq!(labels["app.kubernetes.io/managed-by"], "keyplane-operator");
        let owner = &secret.metadata.owner_references.unwrap()[0];
        assert_eq!((owner.kind.as_str(), owner.uid.as_str(), owner.controller), ("ApiKey", "uid-1", Some(true)));
        let data = secret.data.unwrap();
        assert_eq!(
            (data["key"].0.as_slice(), data["keyId"].0.as_slice()),
            (plain.expose().as_bytes(), b"key_x".as_slice())
        );
    }
}
