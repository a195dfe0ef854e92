//! What the status says of keys that were issued: never the key, only what verify pods know of it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The key that is valid now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CurrentKey {
    /// SHA-256 of the key; what verify pods find it by.
    #[schemars(length(max = 64))]
    pub sha256: String,
    /// When the key was issued or first seen.
    pub issued_at: Time,
}

/// The key that a rotation replaced, during the overlap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviousKey {
    /// SHA-256 of the key; what verify pods find it by.
    #[schemars(length(max = 64))]
    pub sha256: String,
    /// When the key stops to be valid. It is the word of whoever holds the key: it never moves but to an earlier time, by a
    /// shorter overlap in the spec.
    pub valid_until: Time,
}
