//! Whether an object in the cluster has everything that we want of it already, so that nothing need be sent: pure.
//!
//! The API server adds defaults and other writers add their own, so equality says too little. What we *stopped* wanting is not seen
//! here; that is what [`stamp`] is for: it puts a digest of all we want into an annotation, which then differs.

use data_encoding::HEXLOWER;
use kube::Resource;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The annotation with the digest of what was applied.
pub(super) const APPLIED: &str = "keyplane.dev/applied";

/// Puts the digest of the object into its annotations. Objects are serialised with sorted keys, so the same wish has the same digest.
pub(super) fn stamp<K: Resource + Serialize>(mut object: K) -> Result<K, serde_json::Error> {
    let digest = Sha256::digest(serde_json::to_value(&object)?.to_string().as_bytes());
    let annotations = object.meta_mut().annotations.get_or_insert_default();
    // 64 bits: it tells one wish from the one before, not from an attacker's.
    annotations.insert(APPLIED.to_owned(), HEXLOWER.encode(&digest[..8]));
    Ok(object)
}

/// Whether `live` has all of `desired`. Objects may have more fields. In a list of named things each is looked up by its name and
/// there may be more; other lists must match item by item. Empty and `null` are the same as absent.
pub(super) fn covers(live: &Value, desired: &Value) -> bool {
    match (live, desired) {
        (_, Value::Null) => true,
        (Value::Object(live), Value::Object(desired)) => desired
            .iter()
            .all(|(field, wanted)| live.get(field).map_or_else(|| is_empty(wanted), |found| covers(found, wanted))),
        (Value::Array(live), Value::Array(desired))
            if !desired.is_empty() && desired.iter().all(|item| name(item).is_some()) =>
        {
            desired.iter().all(|wanted| live.iter().any(|found| name(found) == name(wanted) && covers(found, wanted)))
        }
        (Value::Array(live), Value::Array(desired)) => {
            live.len() == desired.len() && live.iter().zip(desired).all(|(found, wanted)| covers(found, wanted))
        }
        (live, desired) => live == desired,
    }
}

fn name(item: &Value) -> Option<&str> {
    item.get("name").and_then(Value::as_str)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ServiceAccount;
    use kube::ResourceExt;
    use serde_json::json;

    #[test]
    fn defaults_and_the_fields_of_others_are_no_difference() {
        let desired = json!({"spec": {"ports": [{"name": "http", "port": 80}], "type": "ClusterIP"}});
        let live = json!({"spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}], "type": "ClusterIP", "clusterIP": "10.0.0.1"}, "status": {}});
        assert!(covers(&live, &desired));
    }

    #[test]
    fn every_changed_missing_or_shortened_value_is_a_difference() {
        let live = json!({"a": 1, "b": {"c": "x"}, "list": ["one", "two"], "named": [{"name": "n", "v": 1}]});
        for desired in [
            json!({"a": 2}),
            json!({"d": 1}),
            json!({"b": {"c": "y"}}),
            json!({"b": {"d": "x"}}),
            json!({"list": ["one"]}),
            json!({"list": ["two", "one"]}),
            json!({"list": []}),
            json!({"named": [{"name": "n", "v": 2}]}),
            json!({"named": [{"name": "m", "v": 1}]}),
        ] {
            assert!(!covers(&live, &desired), "{desired}");
        }
        assert!(covers(&live, &live));
    }

    #[test]
    fn an_injected_sidecar_is_no_difference() {
        let desired = json!([{"name": "verify", "image": "v:1"}]);
        assert!(covers(&json!([{"name": "mesh"}, {"name": "verify", "image": "v:1"}]), &desired));
        assert!(!covers(&json!([{"name": "mesh"}]), &desired));
    }

    #[test]
    fn empty_is_absent() {
        assert!(covers(&json!({}), &json!({"a": {}, "b": [], "c": null, "d": {"e": {}}})));
        assert!(!covers(&json!({}), &json!({"a": ""})), "an empty string is a value");
    }

    #[test]
    fn a_wish_that_was_dropped_changes_the_stamp() {
        let mut account = ServiceAccount { automount_service_account_token: Some(false), ..ServiceAccount::default() };
        let first = stamp(account.clone()).unwrap();
        assert_eq!(first.annotations(), stamp(account.clone()).unwrap().annotations());
        account.automount_service_account_token = None;
        let second = stamp(account).unwrap();
        assert_ne!(first.annotations()[APPLIED], second.annotations()[APPLIED]);
        let (live, desired) = (serde_json::to_value(first).unwrap(), serde_json::to_value(second).unwrap());
        assert!(!covers(&live, &desired));
    }
}
