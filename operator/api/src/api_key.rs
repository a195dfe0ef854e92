//! `ApiKey`: one key of one customer.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{Credits, CreditsStatus, CurrentKey, DEFAULT_KEYSPACE, KeySource, Meta, NamedLimit, PreviousKey, Rotation};

/// What a key is and may do. Every field may be absent: `spec: {}` is a working key, generated into a Secret.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "keyplane.dev",
    version = "v1alpha1",
    kind = "ApiKey",
    plural = "apikeys",
    shortname = "ak",
    category = "keyplane",
    namespaced,
    status = "ApiKeyStatus",
    derive = "PartialEq",
    doc = "A key of a customer: whose it is, what it may do, how often, until when, and where its secret comes from. \
           Verify pods of the namespace know it within milliseconds; deleting it revokes it.",
    selectable = ".spec.keyspace",
    selectable = ".spec.externalId",
    selectable = ".spec.enabled",
    printcolumn(name = "Keyspace", type_ = "string", json_path = ".spec.keyspace"),
    printcolumn(name = "Identity", type_ = "string", json_path = ".spec.externalId"),
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
pub struct ApiKeySpec {
    /// Name of the Keyspace that the key belongs to. Default "default", which exists without an object. Cannot be changed.
    #[serde(default = "default_keyspace")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("keyspace cannot be changed; make a new key in the other keyspace")
        .reason(Reason::FieldValueForbidden))]
    pub keyspace: String,

    /// A name for people, up to 255 characters; the HTTP API calls it name. Absent: the key has none.
    #[schemars(length(min = 1, max = 255))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,

    /// Whether the key is accepted. Default true. False answers DISABLED within milliseconds and can be taken back.
    #[serde(default = "enabled")]
    pub enabled: bool,

    /// From this time on the key is EXPIRED. Absent: never. A time in the past is accepted and shows as Ready=False with
    /// the reason Expired.
    // "Not in the past when it changes" is not a CEL rule: CEL in a definition has no clock (no now(), and of the metadata
    // only name and generateName), and a rule on a neighbouring field would only look like one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,

    /// Your own name for the customer or user whose key this is. Keys with the same externalId are one identity; an
    /// Identity object with it adds meta and shared rate limits, but none is needed. Absent: the key has no identity.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[a-zA-Z0-9_.-]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,

    /// Any JSON object, up to 64 KiB, returned as it is on verification. Absent: nothing is returned.
    #[schemars(schema_with = "crate::meta::schema")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Meta>,

    /// What the key may do: up to 1000 slugs such as invoices.read. A slug needs no KeyPermission object. Absent: only what
    /// its roles allow.
    #[schemars(length(max = 1000), inner(length(min = 1, max = 128), regex(pattern = r"^[a-zA-Z0-9_:.*-]+$")))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,

    /// Names of up to 100 KeyRoles whose permissions the key has too. A name without an object adds nothing, shows in a
    /// condition, and takes effect when the object appears. Absent: none.
    #[schemars(length(max = 100), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,

    /// Up to 50 rate limits of this key alone, each with its own name. Absent: only limits that apply from elsewhere.
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<NamedLimit>,

    /// How often the key may be used in all. Absent: without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits: Option<Credits>,

    /// Where the secret comes from: exactly one of generate, secretRef, hash and prefixedHash. Default: generate. The kind
    /// of source cannot be changed.
    #[serde(default)]
    pub key: KeySource,

    /// When a generated key is replaced. Absent: only when the annotation keyplane.dev/rotate gets a new value; the replaced
    /// key is then valid for 24h more, and a deleted Secret is not made again by itself, because nobody is known to read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
}

impl Default for ApiKeySpec {
    /// What `spec: {}` means.
    fn default() -> Self {
        Self {
            keyspace: default_keyspace(),
            display_name: None,
            enabled: true,
            expires: None,
            external_id: None,
            meta: None,
            permissions: Vec::new(),
            roles: Vec::new(),
            rate_limits: Vec::new(),
            credits: None,
            key: KeySource::default(),
            rotation: None,
        }
    }
}

fn default_keyspace() -> String {
    DEFAULT_KEYSPACE.to_owned()
}

fn enabled() -> bool {
    true
}

/// What is known of a key, written by the operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyStatus {
    /// The id that HTTP clients see, derived from the object's uid; the same for as long as the object exists.
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
    /// The balance as verify pods last reported it, minutes apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits: Option<CreditsStatus>,
    /// When the key was last accepted, as verify pods last reported it, minutes apart. Absent: not seen yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Time>,
    /// How many verify pods hold the current generation, of how many: 5/5.
    #[schemars(length(max = 32))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_pods: Option<String>,
    /// Ready: the key can be verified. Propagated: the verify pods hold this generation. ReferencesResolved: its keyspace and
    /// its roles exist; absent while it never named a missing one. The key works without them.
    #[schemars(schema_with = "crate::embedded::conditions")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
