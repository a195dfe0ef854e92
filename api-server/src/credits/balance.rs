//! One balance and what happens to it by itself: it is set anew, and it is filled up. Pure.

use keyplane_core::credits::{CreditsRecord, Due, Interval, Opening, Refill, refill_due};
use keyplane_core::time::Millis;

/// A record of an earlier writing is passed over for this long after a later one has set the balance, in milliseconds: as long as a request
/// may hold on to the record that it found. Older ones are believed again, for an object can be restored from a backup.
const OVERTAKEN_MS: i64 = 60_000;

/// A running balance with what is needed to go on with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Balance {
    /// Credits left.
    pub(super) left: u64,
    /// From which opening it was set.
    pub(super) opening: Opening,
    /// When a refill was last considered.
    pub(super) considered: Millis,
    /// The refills that were in force then.
    pub(super) interval: Option<Interval>,
    /// The writing that it was last asked with.
    pub(super) generation: i64,
    /// When it was first asked with it.
    pub(super) since: Millis,
}

impl Balance {
    /// The balance of a key that no one asked for before.
    pub(super) fn first(credits: &CreditsRecord, now: Millis) -> Self {
        let considered = credits.created.map_or(now, |created| created.min(now));
        Self { considered, ..Self::set(credits, now) }
    }

    fn set(credits: &CreditsRecord, now: Millis) -> Self {
        Self {
            left: credits.opening.remaining,
            opening: credits.opening,
            considered: now,
            interval: credits.refill.map(Refill::interval),
            generation: credits.generation,
            since: now,
        }
    }

    /// Brings the balance up to date: another opening sets it, a refill that has come fills it up. Returns whether anything changed that
    /// the disk must know before more is spent. Cost: some tens of nanoseconds.
    pub(super) fn settle(&mut self, credits: &CreditsRecord, now: Millis) -> bool {
        if credits.generation < self.generation && now < self.since.plus(OVERTAKEN_MS) {
            return false;
        }
        if credits.opening.sets_anew(self.opening) {
            *self = Self::set(credits, now);
            return true;
        }
        if credits.generation != self.generation {
            (self.generation, self.since) = (credits.generation, now);
        }
        let refilled = self.refill(credits, now);
        self.follow_rule(credits, now) || refilled
    }

    /// Refills that fell due while their rule was in force count, with today's amount.
    fn refill(&mut self, credits: &CreditsRecord, now: Millis) -> bool {
        let (Some(refill), Some(interval)) = (credits.refill, self.interval) else { return false };
        match refill_due(self.left, self.considered, refill.with_interval(interval), now) {
            Due::No => return false,
            Due::Enough => {}
            Due::Set(amount) => self.left = amount,
        }
        self.considered = now;
        true
    }

    /// Another rule begins now: days before it was written bring nothing.
    fn follow_rule(&mut self, credits: &CreditsRecord, now: Millis) -> bool {
        let interval = credits.refill.map(Refill::interval);
        if interval == self.interval {
            return false;
        }
        (self.interval, self.considered) = (interval, self.considered.max(now));
        true
    }
}

#[cfg(test)]
mod tests {
    use keyplane_core::counter_id::CounterId;

    use super::*;

    const DAY: i64 = 86_400_000;

    fn record(remaining: u64, refill: Option<Refill>) -> CreditsRecord {
        let opening = Opening { remaining, set_at: None };
        CreditsRecord { counter: CounterId::credits("n", "k"), opening, refill, created: None, generation: 0 }
    }

    fn daily(amount: i64) -> Option<Refill> {
        Refill::daily(amount).ok()
    }

    #[test]
    fn days_since_the_key_was_made_count_and_those_before_a_new_opening_do_not() {
        let made = CreditsRecord { created: Some(Millis(DAY)), ..record(5, daily(100)) };
        let mut balance = Balance::first(&made, Millis(3 * DAY));
        assert!(balance.settle(&made, Millis(3 * DAY)));
        assert_eq!(balance.left, 100);
        let anew = CreditsRecord { opening: Opening { remaining: 7, set_at: None }, ..made.clone() };
        assert!(balance.settle(&anew, Millis(5 * DAY)), "refilled and then set: set");
        assert_eq!(balance.left, 7);
        assert!(!balance.settle(&anew, Millis(6 * DAY - 1)));
        assert!(balance.settle(&anew, Millis(6 * DAY)));
        assert_eq!(balance.left, 100);
        let future = CreditsRecord { created: Some(Millis(9 * DAY)), ..made };
        assert_eq!(Balance::first(&future, Millis(DAY)).considered, Millis(DAY), "a clock that is behind");
    }

    #[test]
    fn a_refill_that_is_written_later_begins_then() {
        let mut balance = Balance::first(&record(5, None), Millis(0));
        assert!(!balance.settle(&record(5, None), Millis(9 * DAY)));
        assert!(balance.settle(&record(5, daily(100)), Millis(9 * DAY + 1)), "the disk must know the new rule");
        assert_eq!(balance.left, 5, "the days before are no reason for credits");
        assert!(balance.settle(&record(5, daily(100)), Millis(10 * DAY)));
        assert_eq!(balance.left, 100);
        // What fell due under the former rule comes first.
        balance.left = 1;
        assert!(balance.settle(&record(5, Refill::monthly(50, 31).ok()), Millis(11 * DAY)));
        assert_eq!((balance.left, balance.interval), (50, Some(Interval::Monthly(31))));
    }

    #[test]
    fn an_overtaken_record_changes_nothing_for_a_while() {
        let of = |remaining, generation| CreditsRecord { generation, ..record(remaining, None) };
        let mut balance = Balance::first(&of(5, 1), Millis(0));
        assert!(balance.settle(&of(9, 2), Millis(10)));
        assert!(!balance.settle(&of(5, 1), Millis(11)), "read before the change");
        assert_eq!(balance.left, 9);
        assert!(balance.settle(&of(5, 3), Millis(12)), "changed back");
        assert!(balance.settle(&of(9, 1), Millis(12 + OVERTAKEN_MS)), "restored from a backup");
        assert_eq!(balance.left, 9);
    }
}
