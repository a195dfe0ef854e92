//! Objects of any of our kinds, from their kind's name and a spec.

use keyplane_tests::Namespace;
use kube::Api;
use kube::api::{DynamicObject, TypeMeta};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

/// The objects of a kind in a namespace.
///
/// # Panics
/// When the kind is none of ours.
pub(super) fn api_of(kind: &str, namespace: &Namespace) -> Api<DynamicObject> {
    Api::namespaced_with(namespace.client(), namespace.name(), &resource(kind))
}

/// An object.
pub(super) fn object(kind: &str, name: &str, spec: Value) -> DynamicObject {
    let resource = resource(kind);
    let mut object = DynamicObject::new(name, &resource).data(json!({ "spec": spec }));
    object.types = Some(TypeMeta { api_version: resource.api_version, kind: resource.kind });
    object
}

fn resource(kind: &str) -> ApiResource {
    let crds = keyplane_api::all_crds();
    let crd = crds.iter().find(|crd| crd.spec.names.kind == kind).unwrap_or_else(|| panic!("no kind {kind}"));
    let kind = GroupVersionKind::gvk(keyplane_api::GROUP, keyplane_api::VERSION, kind);
    ApiResource::from_gvk_with_plural(&kind, &crd.spec.names.plural)
}

/// A spec in YAML's short form.
pub(super) fn spec(yaml: &str) -> Value {
    serde_yaml::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"))
}
