//! What issuance needs to know of a kind of key; `ApiKey` and `RootKey` differ in nothing else.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use keyplane_api::{CurrentKey, KeySource, MANAGED_BY_LABEL, PreviousKey, ROTATE_ANNOTATION, Rotation};
use keyplane_core::id;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::rotation::Wish;

/// A kind of object that stands for a key.
pub trait KeyKind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
    /// The kind as people write it.
    const KIND: &'static str;
    /// The kind of its ids.
    const ID: id::Kind;
    /// The type of Secrets made for it.
    const SECRET_TYPE: &'static str;
    /// The label on those Secrets that names the object.
    const SECRET_LABEL: &'static str;
    /// Whether one hash may exist once in the whole cluster (a root key decides the namespace) or once in each namespace.
    const UNIQUE_IN_CLUSTER: bool;

    /// Whether a request that presents such a key can name the migration that it was imported with.
    const NAMES_MIGRATION: bool;
    /// Whether objects of this kind name a keyspace.
    const HAS_KEYSPACE: bool;

    /// Where the key comes from.
    fn source(&self) -> &KeySource;
    /// When the key ends.
    fn expires(&self) -> Option<&Time>;
    /// When a generated key is replaced.
    fn rotation(&self) -> Option<&Rotation>;
    /// The keyspace that the object names; `None` for kinds without keyspaces.
    fn keyspace(&self) -> Option<&str>;
    /// The part of the status that issuance owns.
    fn status(&self) -> StatusView<'_>;

    /// What the object says of rotation.
    fn wish(&self) -> Wish<'_> {
        let annotation = self.annotations().get(ROTATE_ANNOTATION).map(String::as_str);
        Wish { rotation: self.rotation(), expires: self.expires(), annotation }
    }

    /// The id that HTTP clients see: in the name of an object that the HTTP API made, else from the uid.
    fn id(&self, uid: &str) -> String {
        let made_by_api = self.labels().get(MANAGED_BY_LABEL).is_some_and(|by| by == keyplane_api::API_FIELD_MANAGER);
        made_by_api
            .then(|| id::from_object_name(Self::ID, &self.name_any()))
            .flatten()
            .unwrap_or_else(|| id::from_uid(Self::ID, uid))
    }
}

/// The part of a key's status that issuance owns, as it is in the object.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StatusView<'a> {
    /// `status.keyId`.
    pub key_id: Option<&'a str>,
    /// `status.start`.
    pub start: Option<&'a str>,
    /// `status.current`.
    pub current: Option<&'a CurrentKey>,
    /// `status.previous`.
    pub previous: Option<&'a PreviousKey>,
    /// `status.nextRotation`.
    pub next_rotation: Option<&'a Time>,
    /// `status.handledRotate`.
    pub handled: Option<&'a str>,
    /// `status.secretName`.
    pub secret_name: Option<&'a str>,
    /// `status.conditions`.
    pub conditions: &'a [Condition],
}
