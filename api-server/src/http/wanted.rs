//! What the bodies of v1 and v2 have in common: costs, and entries of `ratelimits`.

use keyplane_core::plan::Requested;
use serde::Deserialize;

/// What a request costs that doesn't say.
pub(crate) const fn one() -> u64 {
    1
}

/// An entry of `ratelimits`.
#[derive(Deserialize)]
pub(crate) struct WantedLimit {
    name: String,
    #[serde(default = "one")]
    cost: u64,
    limit: Option<i64>,
    /// Milliseconds.
    duration: Option<i64>,
}

impl WantedLimit {
    /// As the engine takes it.
    pub(crate) fn requested(&self) -> Requested<'_> {
        Requested { name: &self.name, cost: self.cost, limit: self.limit, window_ms: self.duration }
    }
}
