//! `KeyRole`: permissions under one name.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// Permissions under one name. Every field may be absent.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "keyplane.dev",
    version = "v1alpha1",
    kind = "KeyRole",
    plural = "keyroles",
    shortname = "kr",
    category = "keyplane",
    namespaced,
    status = "KeyRoleStatus",
    derive = "PartialEq",
    doc = "Permissions under one name. A key that lists the name in spec.roles has them all.",
    printcolumn(name = "Description", type_ = "string", json_path = ".spec.description"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Name in use", type_ = "string", json_path = ".spec.name", priority = 1),
    printcolumn(name = "Id", type_ = "string", json_path = ".status.id", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct KeyRoleSpec {
    /// The name that keys list in spec.roles, up to 128 characters. Default: the object's name.
    #[schemars(length(min = 1, max = 128))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// What the role is for, up to 512 characters.
    #[schemars(length(max = 512))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,

    /// What a key with this role may do: up to 1000 slugs such as invoices.read. Absent: nothing.
    #[schemars(length(max = 1000), inner(length(min = 1, max = 128), regex(pattern = r"^[a-zA-Z0-9_:.*-]+$")))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
}

impl KeyRole {
    /// The name that keys use: the one in the spec, or the object's.
    pub fn role_name(&self) -> &str {
        self.spec.name.as_deref().or(self.metadata.name.as_deref()).unwrap_or_default()
    }
}

/// What is known of a role, written by the operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRoleStatus {
    /// The id that HTTP clients see, derived from the object's uid.
    #[schemars(length(max = 64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Ready: the role is in use as written. False when an older KeyRole has its name.
    #[schemars(schema_with = "crate::embedded::conditions")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
