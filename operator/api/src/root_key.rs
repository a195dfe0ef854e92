//! `RootKey`: a caller of the HTTP API.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{CurrentKey, KeySource, PreviousKey, Rotation};

/// Who may call the HTTP API, and for what.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "keyplane.dev",
    version = "v1alpha1",
    kind = "RootKey",
    plural = "rootkeys",
    shortname = "rk",
    category = "keyplane",
    namespaced,
    status = "RootKeyStatus",
    derive = "PartialEq",
    doc = "A caller of the HTTP API: a key that may verify and manage the keys of its namespace, as its permissions say. \
           A kind of its own, so that Kubernetes RBAC can let a tenant make ApiKeys and not RootKeys.",
    selectable = ".spec.enabled",
    printcolumn(name = "Display name", type_ = "string", json_path = ".spec.displayName"),
    printcolumn(name = "Start", type_ = "string", json_path = ".status.start"),
    printcolumn(name = "Enabled", type_ = "boolean", json_path = ".spec.enabled"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Propagated", type_ = "string", json_path = ".status.conditions[?(@.type==\"Propagated\")].status"),
    printcolumn(name = "Pods", type_ = "string", json_path = ".status.verifyPods"),
    // Not of type date: kubectl shows how long ago a date was, and "<invalid>" for one in the future.
    printcolumn(name = "Expires", type_ = "string", json_path = ".spec.expires"),
    printcolumn(name = "Last used", type_ = "date", json_path = ".status.lastUsed"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "KeyId", type_ = "string", json_path = ".status.keyId", priority = 1),
    printcolumn(name = "Next rotation", type_ = "string", json_path = ".status.nextRotation", priority = 1),
    validation = Rule::new("self.metadata.name.size() <= 63")
        .message("the name must have at most 63 characters, because it labels the key's Secret"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.rotation) || !has(self.key) || has(self.key.generate)")
        .message("rotation is only for a generated key: Keyplane cannot replace a key that comes from elsewhere")
        .field_path(".rotation"),
)]
pub struct RootKeySpec {
    /// A name for people, up to 255 characters. Absent: the key has none.
    #[schemars(length(min = 1, max = 255))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,

    /// Whether calls with the key are accepted. Default true.
    #[serde(default = "enabled")]
    pub enabled: bool,

    /// From this time on calls with the key are refused. Absent: never.
    // Not in the past: see `ApiKeySpec::expires` for why that is no rule here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,

    /// What the caller may do, up to 1000 permissions in either dialect: tuples such as api.*.verify_key, or URNs such as
    /// unkey:v1:team-a:**#*. Absent or empty: nothing.
    #[schemars(length(max = 1000), inner(length(min = 1, max = 512), regex(pattern = r"^[!-~]+$")))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,

    /// Where the secret comes from: exactly one of generate, secretRef, hash and prefixedHash. Default: generate. The kind
    /// of source cannot be changed.
    #[serde(default)]
    pub key: KeySource,

    /// When a generated key is replaced. Absent: only when the annotation keyplane.dev/rotate gets a new value; the replaced
    /// key is then valid for 24h more, and a deleted Secret is not made again by itself, because nobody is known to read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
}

impl Default for RootKeySpec {
    /// What `spec: {}` means: a generated key that may do nothing.
    fn default() -> Self {
        Self {
            display_name: None,
            enabled: true,
            expires: None,
            permissions: Vec::new(),
            key: KeySource::default(),
            rotation: None,
        }
    }
}

fn enabled() -> bool {
    true
}

/// What is known of a root key, written by the operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RootKeyStatus {
    /// The id of the key, derived from the object's uid; the same for as long as the object exists.
    #[schemars(length(max = 64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The prefix and the first four characters of the current key, to recognise it by.
    #[schemars(length(max = 64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// The key that is valid now. Absent: none was issued or found yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<CurrentKey>,
    /// The key that was replaced and is valid for a while still; verify pods end it by themselves. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousKey>,
    /// When the next key will be issued. Absent: no rotation is due, or the key expires before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_rotation: Option<Time>,
    /// The value of the annotation keyplane.dev/rotate that was acted on last, or the SHA-256 of a value of more than 64
    /// characters. Absent: there was none.
    #[schemars(length(max = 64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled_rotate: Option<String>,
    /// The Secret that holds the key. Absent: only its hash is known.
    #[schemars(length(max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// When a call with the key was last accepted, as pods last reported it, minutes apart. Absent: not seen yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Time>,
    /// How many verify pods hold the current generation, of how many: 5/5.
    #[schemars(length(max = 32))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_pods: Option<String>,
    /// Ready: calls with the key can be accepted. Propagated: the verify pods hold this generation.
    #[schemars(schema_with = "crate::embedded::conditions")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
