//! Each example manifest says only what its types know, and comes back as it was written.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::{env, fs, path::PathBuf};

use keyplane_api::{
    API_VERSION, ApiKey, Identity, KeyPermission, KeyRole, KeySource, Keyspace, RateLimit, RateLimitOverride, RootKey,
    Served, VerifyPool,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// The objects of all example files, each with its file's name.
fn examples() -> Vec<(String, Value)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let objects = files.flat_map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(path).unwrap();
        let documents = serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap());
        documents.map(|object| (name.clone(), object)).collect::<Vec<_>>()
    });
    objects.filter(|(_, object)| object["apiVersion"] == API_VERSION).collect()
}

fn round_trip<K: DeserializeOwned + Serialize>(object: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<K>(object.clone())?)
}

fn round_trip_by_kind(object: &Value) -> Result<Value, serde_json::Error> {
    match object["kind"].as_str().unwrap() {
        "ApiKey" => round_trip::<ApiKey>(object),
        "Identity" => round_trip::<Identity>(object),
        "KeyPermission" => round_trip::<KeyPermission>(object),
        "KeyRole" => round_trip::<KeyRole>(object),
        "Keyspace" => round_trip::<Keyspace>(object),
        "RateLimit" => round_trip::<RateLimit>(object),
        "RateLimitOverride" => round_trip::<RateLimitOverride>(object),
        "RootKey" => round_trip::<RootKey>(object),
        "VerifyPool" => round_trip::<VerifyPool>(object),
        other => panic!("unknown kind {other}"),
    }
}

/// The path of the first thing in `written` that `back` has not, or has differently. Defaults may be added.
fn lost(path: &str, written: &Value, back: &Value) -> Option<String> {
    match (written, back) {
        (Value::Object(written), Value::Object(back)) => written
            .iter()
            .find_map(|(name, value)| lost(&format!("{path}.{name}"), value, back.get(name).unwrap_or(&Value::Null))),
        (Value::Array(written), Value::Array(back)) if written.len() == back.len() => {
            written.iter().zip(back).enumerate().find_map(|(at, (w, b))| lost(&format!("{path}[{at}]"), w, b))
        }
        _ => (written != back).then(|| format!("{path}: {written} became {back}")),
    }
}

#[test]
fn every_example_says_only_what_the_types_know() {
    let examples = examples();
    for (file, object) in &examples {
        let back = round_trip_by_kind(object).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(lost("", object, &back), None, "{file}");
    }
    let mut kinds: Vec<_> = examples.iter().map(|(_, object)| object["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), 9, "each kind has an example: {kinds:?}");
}

#[test]
fn an_unknown_field_would_be_noticed() {
    let object =
        json!({"apiVersion": API_VERSION, "kind": "ApiKey", "metadata": {"name": "a"}, "spec": {"colour": "red"}});
    assert!(lost("", &object, &round_trip_by_kind(&object).unwrap()).unwrap().starts_with(".spec.colour"));
}

#[test]
fn no_null_is_ever_written() {
    fn nulls(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(values) => values.iter().any(nulls),
            Value::Object(fields) => fields.values().any(nulls),
            _ => false,
        }
    }
    for (file, object) in examples() {
        assert!(!nulls(&round_trip_by_kind(&object).unwrap()), "{file}");
    }
}

#[test]
fn a_minimal_object_is_a_generated_key() {
    let minimal = json!({"apiVersion": API_VERSION, "kind": "ApiKey", "metadata": {"name": "a"}, "spec": {}});
    let key: ApiKey = serde_json::from_value(minimal).unwrap();
    assert!(key.spec.enabled && key.spec.keyspace == "default" && key.spec.key == KeySource::default());
}

#[test]
fn names_default_to_the_object() {
    let limit = |spec: Value| -> RateLimit {
        let metadata = json!({"name": "requests"});
        let object = json!({"apiVersion": API_VERSION, "kind": "RateLimit", "metadata": metadata, "spec": spec});
        serde_json::from_value(object).unwrap()
    };
    assert_eq!(limit(json!({"limit": 1, "window": "60s"})).limit_name(), "requests");
    assert_eq!(limit(json!({"limit": 1, "window": "60s", "name": "Other"})).limit_name(), "Other");
    let role = json!({"apiVersion": API_VERSION, "kind": "KeyRole", "metadata": {"name": "editor"}, "spec": {}});
    assert_eq!(serde_json::from_value::<KeyRole>(role).unwrap().role_name(), "editor");
}

#[test]
fn a_pool_serves_all_unless_it_says_whom() {
    let pool = |spec: Value| -> VerifyPool {
        let object = json!({"apiVersion": API_VERSION, "kind": "VerifyPool", "metadata": {"name": "a"}, "spec": spec});
        serde_json::from_value(object).unwrap()
    };
    assert_eq!(pool(json!({})).spec.served(), Served::All);
    assert_eq!(pool(json!({"serves": {}})).spec.served(), Served::All);
    assert_eq!(pool(json!({"serves": {"namespaces": ["a"]}})).spec.served(), Served::Namespaces(&["a".to_owned()]));
    assert!(matches!(pool(json!({"serves": {"namespaceSelector": {}}})).spec.served(), Served::Selector(_)));
    assert_eq!(pool(json!({})).spec.snapshot_max_age_millis(), 86_400_000);
    assert_eq!(pool(json!({"snapshot": {"maxAge": "90s"}})).spec.snapshot_max_age_millis(), 90_000);
}
