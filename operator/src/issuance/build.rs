//! A new key and its Secret: pure, randomness is an argument.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use keyplane_api::{
    GenerateKey, KeyDefaults, MANAGED_BY_LABEL, MANAGED_BY_OPERATOR, REPLACES_ANNOTATION, ROTATE_ANNOTATION,
    SECRET_DATA_KEY, SECRET_DATA_KEY_ID, SECRET_DATA_PREVIOUS_KEY,
};
use keyplane_core::key::{BYTE_LENGTHS, DEFAULT_BYTE_LENGTH, PlainKey};
use kube::ResourceExt;
use kube::api::ObjectMeta;
use serde_json::{Value, json};

use super::generated::{Issue, Over, Untidy};
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
pub(super) fn secret<K: KeyKind>(key: &K, issue: &Issue, id: &str, plain: &PlainKey) -> Secret {
    let request = key.wish().request().map(|request| (ROTATE_ANNOTATION.to_owned(), request));
    let replaces = issue.replaces.clone().map(|hash| (REPLACES_ANNOTATION.to_owned(), hash));
    let annotations: BTreeMap<_, _> = request.into_iter().chain(replaces).collect();
    Secret {
        metadata: ObjectMeta {
            name: Some(issue.secret_name.clone()),
            annotations: (!annotations.is_empty()).then_some(annotations),
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

/// The merge patch that puts the next key into a Secret that is there. Its version makes the API server refuse it when anybody changed the
/// Secret meanwhile, so that no key is overwritten that was not read.
pub(super) fn next_key<K: KeyKind>(key: &K, issue: &Issue, over: &Over, id: &str, plain: &PlainKey) -> Value {
    let bytes = |plain: &PlainKey| json!(ByteString(plain.expose().as_bytes().to_vec()));
    json!({
        "metadata": {
            "resourceVersion": over.resource_version,
            "annotations": {ROTATE_ANNOTATION: key.wish().request(), REPLACES_ANNOTATION: issue.replaces},
        },
        "data": {
            SECRET_DATA_KEY: bytes(plain),
            SECRET_DATA_KEY_ID: ByteString(id.as_bytes().to_vec()),
            SECRET_DATA_PREVIOUS_KEY: over.previous.as_ref().map(bytes),
        },
    })
}

/// The merge patch that sets a Secret right, under the same condition.
pub(super) fn tidy(untidy: &Untidy, id: &str) -> Value {
    let mut data = serde_json::Map::new();
    if untidy.previous_key {
        data.insert(SECRET_DATA_PREVIOUS_KEY.to_owned(), Value::Null);
    }
    if untidy.key_id {
        data.insert(SECRET_DATA_KEY_ID.to_owned(), json!(ByteString(id.as_bytes().to_vec())));
    }
    json!({"metadata": {"resourceVersion": untidy.resource_version}, "data": data})
}

#[cfg(test)]
mod tests {
    use super::super::rotation::Cause;
    use super::*;
    use keyplane_api::{ApiKey, ApiKeySpec};

    fn issue(replaces: Option<&str>) -> Issue {
        let replaces = replaces.map(str::to_owned);
        Issue { secret_name: "acme-key".to_owned(), cause: Cause::First, replaces, over: None }
    }

    #[test]
    fn the_next_key_comes_in_on_a_condition_and_the_one_before_stays_beside_it() {
        let mut key = ApiKey::new("acme", ApiKeySpec::default());
        key.metadata.annotations = Some(BTreeMap::from([(ROTATE_ANNOTATION.to_owned(), "3".to_owned())]));
        let (old, new) = (PlainKey::generate(None, &[7; 24]), PlainKey::generate(None, &[8; 24]));
        let over = Over { resource_version: Some("42".to_owned()), previous: Some(old.clone()) };
        let patch = next_key(&key, &issue(Some("ab")), &over, "key_x", &new);
        assert_eq!(
            patch["metadata"],
            json!({"resourceVersion": "42", "annotations": {"keyplane.dev/rotate": "3", "keyplane.dev/replaces": "ab"}})
        );
        let bytes = |entry: &str| serde_json::from_value::<ByteString>(patch["data"][entry].clone()).unwrap().0;
        assert_eq!((bytes("key"), bytes("previousKey")), (new.expose().into(), old.expose().into()));
        let lost = next_key(&key, &issue(Some("ab")), &Over { previous: None, ..over }, "key_x", &new);
        assert!(lost["data"]["previousKey"].is_null() && lost["data"].as_object().unwrap().len() == 3, "{lost}");
    }

    #[test]
    fn tidying_touches_only_what_is_untidy() {
        let untidy = Untidy { resource_version: Some("42".to_owned()), previous_key: true, key_id: false };
        assert_eq!(
            tidy(&untidy, "key_x"),
            json!({"metadata": {"resourceVersion": "42"}, "data": {"previousKey": null}})
        );
    }

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
        let secret = secret(&key, &issue(None), "key_x", &plain);
        assert_eq!(secret.metadata.annotations, None);
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
