//! `RateLimit` and `RateLimitOverride`: a named limit that many keys share the rule of, and exceptions to it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::GoDuration;

/// A named limit: so many requests per window, for whom, counted how.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "keyplane.dev",
    version = "v1alpha1",
    kind = "RateLimit",
    plural = "ratelimits",
    shortname = "rl",
    category = "keyplane",
    namespaced,
    status = "RateLimitStatus",
    derive = "PartialEq",
    doc = "A named rate limit: so many requests per window. It applies to keys by keyspace and label, and is what \
           ratelimit.limit and gateways name as its namespace.",
    printcolumn(name = "Limit", type_ = "integer", json_path = ".spec.limit"),
    printcolumn(name = "Window", type_ = "string", json_path = ".spec.window"),
    printcolumn(name = "Algorithm", type_ = "string", json_path = ".spec.algorithm"),
    printcolumn(name = "Scope", type_ = "string", json_path = ".spec.scope"),
    printcolumn(name = "Auto", type_ = "boolean", json_path = ".spec.autoApply"),
    printcolumn(name = "Keys", type_ = "integer", json_path = ".status.matchedKeys"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(
        name = "Propagated",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Propagated\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Name in use", type_ = "string", json_path = ".spec.name", priority = 1),
    printcolumn(name = "Overrides", type_ = "integer", json_path = ".status.overrides", priority = 1),
    printcolumn(name = "Id", type_ = "string", json_path = ".status.id", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.burst) || (has(self.algorithm) && self.algorithm == 'Gcra')")
        .message("burst is only for the algorithm Gcra")
        .field_path(".burst"),
)]
pub struct RateLimitSpec {
    /// The name that verifications, ratelimit.limit and gateways use, up to 512 characters. Default: the object's name.
    #[schemars(length(min = 1, max = 512))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// How many requests one window admits, counted by their cost. At least 1; an override can say 0.
    #[schemars(range(min = 1))]
    pub limit: i64,

    /// Length of the window, such as 60s or 24h. At least 1s.
    #[x_kube(validation = crate::duration::at_least_one_second())]
    pub window: GoDuration,

    /// How requests are counted. SlidingWindow (default): the current window and a share of the one before. Gcra: evenly
    /// spaced, with a burst. FixedWindow: each window from 0.
    #[serde(default)]
    pub algorithm: Algorithm,

    /// Only for Gcra: how many requests may come at once. Default: the limit.
    #[schemars(range(min = 1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<i64>,

    /// Whose counter it is. Key (default): each key has its own. Identity, Keyspace, Namespace: all keys of one share one.
    #[serde(default)]
    pub scope: LimitScope,

    /// Whether every verification of a key that it applies to counts. Default false: only verifications that name it do.
    #[serde(default)]
    pub auto_apply: bool,

    /// Which keys it applies to. Absent: none; the limit is then only for ratelimit.limit and for gateways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applies_to: Option<AppliesTo>,

    /// Up to 256 exceptions by identifier. More, or those made through the HTTP API, are RateLimitOverride objects.
    /// Absent: none here.
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["identifier".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
}

impl RateLimit {
    /// The name that verifications use: the one in the spec, or the object's.
    pub fn limit_name(&self) -> &str {
        self.spec.name.as_deref().or(self.metadata.name.as_deref()).unwrap_or_default()
    }
}

/// How requests are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// The current window and a share of the one before.
    #[default]
    SlidingWindow,
    /// Evenly spaced, with a burst.
    Gcra,
    /// Each window from 0.
    FixedWindow,
}

/// Whose counter a limit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LimitScope {
    /// Each key has its own.
    #[default]
    Key,
    /// The keys of an identity share one.
    Identity,
    /// The keys of a keyspace share one.
    Keyspace,
    /// All keys of the namespace share one.
    Namespace,
}

/// Which keys a limit applies to: those that every part of it names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.keyspaces) || has(self.keySelector)")
        .message("set keyspaces, keySelector or both; an empty keySelector {} means all keys"),
)]
pub struct AppliesTo {
    /// Names of up to 100 keyspaces: keys of these. Absent: keys of any keyspace.
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keyspaces: Vec<String>,
    /// Keys with these labels on their ApiKey; an empty selector means all. Absent: keys with any labels.
    #[schemars(schema_with = "crate::embedded::label_selector")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_selector: Option<LabelSelector>,
}

/// An exception to a limit, for the identifiers that match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Override {
    /// Whom the exception is for, up to 512 characters; each * stands for any run of characters. An identifier without *
    /// comes before a pattern.
    #[schemars(length(min = 1, max = 512))]
    pub identifier: String,
    /// How many requests one window admits instead, 0 or more. 0 always denies.
    #[schemars(range(min = 0))]
    pub limit: i64,
    /// Length of the window, such as 60s or 24h. At least 1s.
    #[x_kube(validation = crate::duration::at_least_one_second())]
    pub window: GoDuration,
}

/// What is known of a limit, written by the operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitStatus {
    /// The id that HTTP clients see, derived from the namespace and the name in use; the same for as long as the name is.
    #[schemars(length(max = 64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How many ApiKeys spec.appliesTo takes; 0 for a limit whose name an older one has. A key counts too if a limit of its
    /// own or of its identity has the same name and comes first. Up to 30 seconds old, but at once when it leaves 0 or becomes 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched_keys: Option<i64>,
    /// Names of some of these ApiKeys: the first 5 by name. As old as matchedKeys. Absent: there are none.
    #[schemars(length(max = 5), inner(length(min = 1, max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<String>,
    /// How many overrides there are, here and as objects, also those that are not in use. Up to 30 seconds old, as matchedKeys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<i64>,
    /// Ready: the limit is in use as written. ReferencesResolved: the keyspaces that it names exist; absent while it never
    /// named a missing one. Propagated: the verify pods hold this generation.
    #[schemars(schema_with = "crate::embedded::conditions")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// An exception to a limit, as an object of its own.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "keyplane.dev",
    version = "v1alpha1",
    kind = "RateLimitOverride",
    plural = "ratelimitoverrides",
    shortname = "rlo",
    category = "keyplane",
    namespaced,
    status = "RateLimitOverrideStatus",
    derive = "PartialEq",
    doc = "An exception to a RateLimit for the identifiers that match: a higher limit for a customer, or 0 for none.",
    selectable = ".spec.rateLimit",
    printcolumn(name = "RateLimit", type_ = "string", json_path = ".spec.rateLimit"),
    printcolumn(name = "Identifier", type_ = "string", json_path = ".spec.identifier"),
    printcolumn(name = "Limit", type_ = "integer", json_path = ".spec.limit"),
    printcolumn(name = "Window", type_ = "string", json_path = ".spec.window"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Id", type_ = "string", json_path = ".status.id", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitOverrideSpec {
    /// Name of the RateLimit that this is an exception to: its spec.name, or its object's name if it has none. A name
    /// without an object shows in a condition.
    #[schemars(length(min = 1, max = 512))]
    pub rate_limit: String,

    /// Whom the exception is for, up to 512 characters; each * stands for any run of characters. An identifier without *
    /// comes before a pattern.
    #[schemars(length(min = 1, max = 512))]
    pub identifier: String,

    /// How many requests one window admits instead, 0 or more. 0 always denies.
    #[schemars(range(min = 0))]
    pub limit: i64,

    /// Length of the window, such as 60s or 24h. At least 1s.
    #[x_kube(validation = crate::duration::at_least_one_second())]
    pub window: GoDuration,
}

/// What is known of an override, written by the operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitOverrideStatus {
    /// The id that HTTP clients see, derived from the namespace, the limit and the identifier.
    #[schemars(length(max = 64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Ready: the override is in use as written. False when its RateLimit does not exist, or when another override stands
    /// before it for every identifier that it is for.
    #[schemars(schema_with = "crate::embedded::conditions")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
