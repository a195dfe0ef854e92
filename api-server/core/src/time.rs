//! Points in time, as the whole workspace counts them.

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, UTC. What the HTTP API sends and takes, and what every decision gets as `now`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// This point moved by `millis` milliseconds, later or (negative) earlier; stops at the ends of the range.
    #[must_use]
    pub const fn plus(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}
