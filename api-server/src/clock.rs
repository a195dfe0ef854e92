//! The one real clock. Everything else takes `now` as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

use keyplane_core::time::Millis;

/// The time of the machine. Cost: about 20 ns, no system call.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Millis {
    // A clock before 1970 is a broken clock; 0 makes every expiring key valid no longer than a good clock would.
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let whole = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
    Millis(whole.saturating_mul(1_000).saturating_add(since_epoch.subsec_millis().into()))
}
