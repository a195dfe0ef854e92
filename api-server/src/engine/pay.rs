//! Credits: the last step of a verification, and the only one that can be repeated alone.

use keyplane_core::time::Millis;
use keyplane_core::verify::Code;

use super::{Engine, Verdict};
use crate::credits::Outcome;

impl Engine {
    /// Lets the key of a verdict pay, and says in it what came of that. Called for a key that passed everything else: by the verification
    /// itself, and by a wire after the wait that `unpaid` asks for. Limits are not counted again.
    pub fn pay(&self, verdict: &mut Verdict<'_>, cost: u64, now: Millis) {
        let Some(credits) = verdict.key.and_then(|record| record.credits.as_deref()) else { return };
        let (code, balance, unpaid) = match self.balances.spend(credits, cost, now) {
            Outcome::Spent { remaining } => (Code::Valid, remaining, None),
            Outcome::Insufficient { remaining } => (Code::UsageExceeded, remaining, None),
            Outcome::NotYet(wait) => (Code::UsageExceeded, self.balances.peek(credits, now), Some(wait)),
        };
        (verdict.code, verdict.credits, verdict.unpaid) = (code, Some(balance), unpaid);
    }

    /// The balance of a key that something else has refused: it pays nothing.
    pub(super) fn show_balance(&self, verdict: &mut Verdict<'_>, now: Millis) {
        let credits = verdict.key.and_then(|record| record.credits.as_deref());
        verdict.credits = credits.map(|credits| self.balances.peek(credits, now));
    }
}
