//! `Keyspace`: what the keys of one API have in common.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the keys of one API have in common. Every field may be absent.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "keyplane.dev",
    version = "v1alpha1",
    kind = "Keyspace",
    plural = "keyspaces",
    shortname = "ksp",
    category = "keyplane",
    namespaced,
    status = "KeyspaceStatus",
    derive = "PartialEq",
    doc = "What the keys of one API have in common: defaults for generated keys, allowed callers, protection against \
           deletion. Keys name it in spec.keyspace; the keyspace default exists without an object.",
    printcolumn(name = "Display name", type_ = "string", json_path = ".spec.displayName"),
    printcolumn(name = "Prefix", type_ = "string", json_path = ".spec.keyDefaults.prefix"),
    printcolumn(name = "Keys", type_ = "integer", json_path = ".status.keys"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Id", type_ = "string", json_path = ".status.id", priority = 1),
    printcolumn(name = "Protected", type_ = "boolean", json_path = ".spec.deleteProtection", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct KeyspaceSpec {
    /// A name for people, up to 255 characters. Absent: the object's name serves.
    #[schemars(length(min = 1, max = 255))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,

    /// What generated keys of this keyspace look like unless they say otherwise. Absent: no prefix, 24 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_defaults: Option<KeyDefaults>,

    /// Up to 100 networks, IPv4 or IPv6, from which keys of this keyspace are accepted, such as 10.0.0.0/8 or
    /// 2001:db8::/32. Absent: any address.
    #[schemars(length(max = 100), inner(length(min = 1, max = 64)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(network, isCIDR(network))")
            .message("each entry must be a network such as 10.0.0.0/8 or 2001:db8::/32; write a single address as 192.0.2.1/32")
    )]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_cidrs: Vec<String>,

    /// Whether the HTTP API refuses to delete this keyspace. Default false. kubectl delete still works.
    #[serde(default)]
    pub delete_protection: bool,

    /// Whether plain keys of this keyspace may be stored encrypted, so that they can be shown again. Default false.
    #[serde(default)]
    pub recoverable_keys: bool,
}

/// What generated keys of a keyspace look like unless they say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyDefaults {
    /// What a key starts with, before an underscore: up to 16 letters, digits and underscores. Absent: keys have no prefix.
    #[schemars(length(min = 1, max = 16), regex(pattern = r"^[a-zA-Z0-9_]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// How many random bytes a key has, 16 to 255. Default 24.
    #[schemars(range(min = 16, max = 255))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub byte_length: Option<i64>,
}

/// What is known of a keyspace, written by the operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyspaceStatus {
    /// The id that HTTP clients see, derived from the namespace and the name: keys may be in a keyspace before its object is.
    #[schemars(length(max = 64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How many ApiKeys name this keyspace. Up to 30 seconds old, but at once when it leaves 0 or becomes 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<i64>,
    /// Ready: the keyspace is in use as written.
    #[schemars(schema_with = "crate::embedded::conditions")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
