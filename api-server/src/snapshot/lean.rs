//! An object without what verification never reads: who wrote which field, annotations, conditions. Most of a watched object is that.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use keyplane_api::{ApiKeyStatus, RootKeyStatus};

use crate::registry::Object;

/// Takes it out. What stays gives the same record: the name, age and labels, the spec, and the hashes in the status. The
/// `resourceVersion` goes too, so that a status that only says when a key was last used changes nothing on the disk.
pub(crate) fn strip(object: &mut Object) {
    let metadata = std::mem::take(object.metadata_mut());
    *object.metadata_mut() = ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        // Part of a balance's opening.
        generation: metadata.generation,
        creation_timestamp: metadata.creation_timestamp,
        labels: metadata.labels,
        ..ObjectMeta::default()
    };
    match object {
        Object::ApiKey(key) => {
            key.status = key.status.take().map(|status| ApiKeyStatus {
                current: status.current,
                previous: status.previous,
                ..ApiKeyStatus::default()
            });
        }
        Object::RootKey(key) => {
            key.status = key.status.take().map(|status| RootKeyStatus {
                current: status.current,
                previous: status.previous,
                ..RootKeyStatus::default()
            });
        }
        Object::Keyspace(object) => object.status = None,
        Object::Identity(object) => object.status = None,
        Object::KeyRole(object) => object.status = None,
        Object::KeyPermission(object) => object.status = None,
        Object::RateLimit(object) => object.status = None,
        Object::RateLimitOverride(object) => object.status = None,
    }
}

#[cfg(test)]
mod tests {
    use keyplane_api::ApiKey;
    use keyplane_api::{credits_record, record};
    use serde_json::json;

    use super::*;
    use crate::registry::Kind;

    #[test]
    fn a_stripped_key_is_the_same_to_a_verification_and_much_smaller() {
        let hash = "a".repeat(64);
        let whole = json!({
            "apiVersion": "keyplane.dev/v1alpha1", "kind": "ApiKey",
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z",
                "resourceVersion": "7", "generation": 3, "labels": {"tier": "gold"},
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x".repeat(500)},
                "managedFields": [{"manager": "kubectl", "operation": "Update"}], "finalizers": ["f"]},
            "spec": {"displayName": "ACME", "permissions": ["a.b"], "credits": {"remaining": 5}, "meta": {"k": "v"}},
            "status": {"keyId": "key_1", "current": {"sha256": hash, "issuedAt": "2026-01-01T00:00:00Z"},
                "conditions": [{"type": "Ready", "status": "True", "reason": "Issued", "message": "m".repeat(100),
                    "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        });
        let Ok(Object::ApiKey(whole)) = Object::from_value(Kind::ApiKey, whole) else { panic!("an ApiKey") };
        let mut lean = Object::ApiKey(whole.clone());
        strip(&mut lean);
        let Object::ApiKey(stripped) = &lean else { panic!("an ApiKey") };
        let read = |key: &ApiKey| {
            let (metadata, status) = (key.metadata.clone(), key.status.clone().unwrap());
            let name = (metadata.name.clone(), metadata.namespace.clone(), metadata.labels.clone());
            let credits = credits_record::credits_record(key, "key_1");
            (name, record::seniority(&metadata), credits, key.spec.clone(), (status.current, status.previous))
        };
        assert_eq!(read(stripped), read(&whole));
        assert!(lean.to_json().unwrap().len() * 2 < Object::ApiKey(whole).to_json().unwrap().len());
    }
}
