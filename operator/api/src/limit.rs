//! A rate limit that belongs to one key or one identity.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::GoDuration;

/// A named rate limit: so many requests per window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedLimit {
    /// Name of the limit, unique in this list; what a verification names to ask for it. It shadows a RateLimit object of
    /// the same name for this key.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// How many requests one window admits, counted by their cost. At least 1.
    #[schemars(range(min = 1))]
    pub limit: i64,
    /// Length of the window, such as 60s or 24h. At least 1s.
    #[x_kube(validation = crate::duration::at_least_one_second())]
    pub window: GoDuration,
    /// Whether every verification of the key counts against this limit. Default false: only verifications that name it do.
    #[serde(default)]
    pub auto_apply: bool,
}
