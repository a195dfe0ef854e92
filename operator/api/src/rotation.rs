//! Regular replacement of a generated key.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::GoDuration;

/// When a generated key is replaced, and for how long the replaced one still works.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(crate::duration::shorter("self.overlap", "self.every"))
        .message("overlap must be shorter than every: an older key must end before the next one is replaced")
        .field_path(".overlap"),
)]
pub struct Rotation {
    /// How long after one key was issued the next one is, such as 2160h. At least 1s.
    #[x_kube(validation = crate::duration::at_least_one_second())]
    pub every: GoDuration,
    /// How long the replaced key is still valid, such as 24h; 0s ends it at once. Must be shorter than every.
    #[x_kube(validation = crate::duration::any_length())]
    pub overlap: GoDuration,
}
