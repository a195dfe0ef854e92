//! `Identity`: what the keys of one customer share.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{Meta, NamedLimit};

/// What the keys of one customer share.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "keyplane.dev",
    version = "v1alpha1",
    kind = "Identity",
    plural = "identities",
    shortname = "idn",
    category = "keyplane",
    namespaced,
    status = "IdentityStatus",
    derive = "PartialEq",
    doc = "A customer or user whose keys share meta and rate limits. Keys join by naming its externalId; an identity \
           needs no object unless it has something to share.",
    selectable = ".spec.externalId",
    printcolumn(name = "External id", type_ = "string", json_path = ".spec.externalId"),
    printcolumn(name = "Keys", type_ = "integer", json_path = ".status.keys"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Id", type_ = "string", json_path = ".status.id", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct IdentitySpec {
    /// Your own name for the customer or user: letters, digits, underscores, dots and dashes. Keys with the same
    /// externalId belong to this identity.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[a-zA-Z0-9_.-]+$"))]
    pub external_id: String,

    /// Any JSON object, up to 64 KiB, returned on verification of each of its keys. Absent: nothing is returned.
    #[schemars(schema_with = "crate::meta::schema")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Meta>,

    /// Up to 50 rate limits that all keys of the identity use up together. A limit of the same name on a key comes first.
    /// Absent: none.
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<NamedLimit>,
}

/// What is known of an identity, written by the operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdentityStatus {
    /// The id that HTTP clients see, derived from the namespace and the externalId: an identity needs no object.
    #[schemars(length(max = 64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How many ApiKeys name this identity; 0 for one whose externalId an older object has. Up to 30 seconds old, but at once
    /// when it leaves 0 or becomes 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<i64>,
    /// Ready: the identity is in use as written. False when an older Identity has its externalId.
    #[schemars(schema_with = "crate::embedded::conditions")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
