//! Running counts: behind one trait, so that sharing them between pods later changes no verification.
//!
//! A batch is decided as one: everything in it is counted, or nothing is. An implementation that has what it needs answers at once; one
//! that must first get a lease from a counter's owner says so, and the caller (which may wait) asks again. What it does inside, such as
//! reserving on each counter and then committing or releasing, is its own affair.

mod account;
mod local;

use keyplane_core::counter_id::CounterId;
use keyplane_core::limit::{Batch, Item};
use keyplane_core::time::Millis;

pub use account::Account;
pub use local::{Held, Hot, Local, Refused};

/// Counters of one process or of many.
pub trait Counters: Send + Sync + 'static {
    /// Decides about all items at once, exactly as [`keyplane_core::limit::evaluate_all`] does. Counters that begin with it are on this
    /// account; where it may have no more, the whole batch is denied.
    ///
    /// # Errors
    /// [`NeedsLease`]: nothing was counted; get the leases and ask again.
    fn evaluate(&self, account: Account, items: &[Item], now: Millis) -> Result<Batch, NeedsLease>;
}

/// Counters of which this process may not give out more without asking their owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeedsLease(pub Vec<CounterId>);
