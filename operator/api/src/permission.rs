//! `KeyPermission`: a description of a slug.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// A description of a permission slug.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "keyplane.dev",
    version = "v1alpha1",
    kind = "KeyPermission",
    plural = "keypermissions",
    shortname = "kp",
    category = "keyplane",
    namespaced,
    status = "KeyPermissionStatus",
    derive = "PartialEq",
    doc = "Describes a permission slug for people. Optional: a slug needs no object to be given to keys and roles.",
    selectable = ".spec.slug",
    printcolumn(name = "Slug", type_ = "string", json_path = ".spec.slug"),
    printcolumn(name = "Permission", type_ = "string", json_path = ".spec.name"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Id", type_ = "string", json_path = ".status.id", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct KeyPermissionSpec {
    /// The slug that keys and roles list and that a verification asks for, such as invoices.read.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-zA-Z0-9_:.*-]+$"))]
    pub slug: String,

    /// A name for people, up to 512 characters. Absent: the slug serves.
    #[schemars(length(min = 1, max = 512))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// What the permission allows, up to 512 characters.
    #[schemars(length(max = 512))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What is known of a permission, written by the operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyPermissionStatus {
    /// The id that HTTP clients see, derived from the object's uid.
    #[schemars(length(max = 64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Ready: the permission is in use as written. False when an older KeyPermission has its slug.
    #[schemars(schema_with = "crate::embedded::conditions")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
