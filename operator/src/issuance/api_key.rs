//! Issuance of [`ApiKey`]s.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use keyplane_api::{API_KEY_LABEL, API_KEY_SECRET_TYPE, ApiKey, KeySource, Rotation};
use keyplane_core::id;

use super::kind::{KeyKind, StatusView};

impl KeyKind for ApiKey {
    const KIND: &'static str = "ApiKey";
    const ID: id::Kind = id::Kind::Key;
    const SECRET_TYPE: &'static str = API_KEY_SECRET_TYPE;
    const SECRET_LABEL: &'static str = API_KEY_LABEL;
    // The caller decides the namespace of a lookup, so equal hashes of two namespaces never meet.
    const UNIQUE_IN_CLUSTER: bool = false;
    const NAMES_MIGRATION: bool = true;
    const HAS_KEYSPACE: bool = true;

    fn source(&self) -> &KeySource {
        &self.spec.key
    }

    fn expires(&self) -> Option<&Time> {
        self.spec.expires.as_ref()
    }

    fn rotation(&self) -> Option<&Rotation> {
        self.spec.rotation.as_ref()
    }

    fn keyspace(&self) -> Option<&str> {
        Some(&self.spec.keyspace)
    }

    fn status(&self) -> StatusView<'_> {
        let Some(status) = &self.status else { return StatusView::default() };
        StatusView {
            key_id: status.key_id.as_deref(),
            start: status.start.as_deref(),
            current: status.current.as_ref(),
            previous: status.previous.as_ref(),
            next_rotation: status.next_rotation.as_ref(),
            handled: status.handled_rotate.as_deref(),
            secret_name: status.secret_name.as_deref(),
            conditions: &status.conditions,
        }
    }
}
