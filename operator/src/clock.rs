//! The one place of the operator that asks what time it is; everything else gets `now` as an argument.

use k8s_openapi::jiff::Timestamp;
use keyplane_core::time::Millis;

/// The present, UTC.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A Kubernetes timestamp as the core counts time.
pub fn to_millis(time: Timestamp) -> Millis {
    Millis(time.as_millisecond())
}
