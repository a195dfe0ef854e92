//! Rate limits: who is admitted, how much is left and until when.
//!
//! Each algorithm is one function of (state, limit, cost, `now`) to (state, [`Decision`]). All of them keep these promises:
//!
//! - a denied request and a peek (cost 0) leave the state as it was, bit for bit; a cost above the limit is denied and poisons nothing;
//! - a peek is allowed exactly while the count is within the limit; a limit of 0 denies everything, peeks too;
//! - a changed limit acts on the running count at once; counts saturate, they never wrap;
//! - a clock that goes back is taken as standing still: the state's own time is the latest `now` that it counted at. Seen on that clock no
//!   window admits more than its limit. The price is strictness: until the clock catches up, requests count where the state already is.
//!
//! Counts and costs are `u64` and exact up to `i64::MAX`, the largest limit the API can say; times are milliseconds since the epoch.

mod algorithm;
mod batch;
mod bound;
pub mod fixed;
pub mod gcra;
pub mod sliding;
mod state;
mod window;

pub use algorithm::{Algorithm, Rule};
pub use batch::{Batch, Item, evaluate_all};
pub use bound::{Limit, LimitError};
pub use state::CounterState;
pub use window::WindowState;

use crate::time::Millis;

/// The outcome for one request on one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the request is within the limit.
    pub allowed: bool,
    /// How much more cost the counter would take now, this request included; 0 on a denial.
    pub remaining: u64,
    /// Windows: the end of the current window, which is not when capacity returns. GCRA: when the bucket will have run empty.
    pub reset: Millis,
}

/// What was counted before, plus this request, held against the limit. `effective` includes the cost.
fn judge(limit: Limit, capacity: u64, effective: u64, reset: Millis) -> Decision {
    let allowed = limit.count() > 0 && effective <= capacity;
    Decision { allowed, remaining: if allowed { capacity - effective } else { 0 }, reset }
}
