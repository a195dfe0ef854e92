//! Issuance of [`RootKey`]s.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use keyplane_api::{KeySource, ROOT_KEY_LABEL, ROOT_KEY_SECRET_TYPE, RootKey, Rotation};
use keyplane_core::id;

use super::kind::{KeyKind, StatusView};

impl KeyKind for RootKey {
    const KIND: &'static str = "RootKey";
    const ID: id::Kind = id::Kind::RootKey;
    const SECRET_TYPE: &'static str = ROOT_KEY_SECRET_TYPE;
    const SECRET_LABEL: &'static str = ROOT_KEY_LABEL;
    // A root key decides the namespace, so it must not be found twice.
    const UNIQUE_IN_CLUSTER: bool = true;
    const NAMES_MIGRATION: bool = false;
    const HAS_KEYSPACE: bool = false;

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
        None
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
