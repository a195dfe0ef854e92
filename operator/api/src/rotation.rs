//! Regular replacement of a generated key.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::GoDuration;

/// When a generated key is replaced, and for how long the replaced one still works. At most two keys are valid at once: a
/// rotation waits for the end of the overlap before it. Who uses a key that rotates reads its Secret again and again, so when
/// that Secret is deleted or its key edited, a new key is issued at once and the one before is valid for the overlap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(crate::duration::shorter("self.overlap", "self.every"))
        .message("overlap must be shorter than every: an older key must end before the next one is replaced")
        .field_path(".overlap"),
)]
pub struct Rotation {
    /// How long after one key was issued the next one is, such as 2160h. At least 1s. The annotation keyplane.dev/rotate with
    /// any new value has the next one issued now.
    #[x_kube(validation = crate::duration::at_least_one_second())]
    pub every: GoDuration,
    /// How long the replaced key is still valid, such as 24h; 0s ends it at once. Must be shorter than every. Up to a second
    /// longer, because times in a status have whole seconds. A shorter value ends also an overlap in progress sooner; a longer
    /// one is for the next.
    #[x_kube(validation = crate::duration::any_length())]
    pub overlap: GoDuration,
}
