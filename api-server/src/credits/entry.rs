//! One balance with how much of it the disk has given up. Pure.
//!
//! ```text
//! 0 ........ floor ........ left ........ what the owner wrote
//!            |<- memory may ->|
//!               spend this
//! ```
//! The floor is the balance as it is on the disk: what a crash comes back to. Memory spends down to it and never below, so nothing is
//! given twice; what lies between is what a crash takes from the owner. When half of it is used the next lower floor is written ahead.

use keyplane_core::counter_id::CounterId;
use keyplane_core::credits::{CreditsRecord, Spend, spend};
use keyplane_core::time::Millis;

use super::balance::Balance;

/// A block is this part of what is left, so that a crash costs a few percent and not the whole of a small balance.
const PART: u64 = 16;
/// At a few milliseconds a flush this lets one key spend about a million credits a second without a wait.
const LARGEST_BLOCK: u64 = 4096;

/// What the disk is to hold of one balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// To which state of the entry the row belongs.
    pub(super) version: u64,
    /// The balance with the floor as what is left.
    pub(super) balance: Balance,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) counter: CounterId,
    pub(super) balance: Balance,
    /// Unique in the process; another one with everything that moves the balance but spending. The disk's word about a former version
    /// counts for nothing.
    version: u64,
    /// What the disk holds of this version; `None` while it knows nothing of it.
    floor: Option<u64>,
    /// The lowest floor that the disk was asked for and has not confirmed.
    asked: Option<u64>,
}

/// The outcome of an attempt to spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Spent(u64),
    Insufficient(u64),
    /// The floor must be lowered first.
    TooLow,
}

impl Entry {
    /// `floor`: `Some(0)` where there is no disk to wait for, what the disk holds when it comes from there, otherwise `None`.
    pub(super) const fn new(counter: CounterId, balance: Balance, version: u64, floor: Option<u64>) -> Self {
        Self { counter, balance, version, floor, asked: None }
    }

    /// Sets and refills. A change begins a new version, of which the disk knows nothing yet.
    pub(super) fn settle(
        &mut self,
        credits: &CreditsRecord,
        now: Millis,
        floor: Option<u64>,
        version: impl FnOnce() -> u64,
    ) {
        if self.balance.settle(credits, now) {
            (self.version, self.floor, self.asked) = (version(), floor, None);
        }
    }

    /// Spends what the disk has given up already.
    pub(super) fn spend(&mut self, cost: u64) -> Attempt {
        match spend(self.balance.left, cost) {
            Spend::Refused(left) => Attempt::Insufficient(left),
            Spend::Granted(left) if self.floor.is_some_and(|floor| left >= floor) => {
                self.balance.left = left;
                Attempt::Spent(left)
            }
            Spend::Granted(_) => Attempt::TooLow,
        }
    }

    /// The row to write after an attempt, if any: a lower floor when there is none that lets the cost pass, or ahead of need.
    pub(super) fn reservation(&mut self, attempt: Attempt, cost: u64) -> Option<Row> {
        let left = self.balance.left;
        let wanted = match (attempt, self.floor) {
            // When it was set or refilled is worth keeping, though nothing of it can be spent yet.
            (Attempt::Insufficient(_), None) if self.asked.is_none() => left,
            (Attempt::Insufficient(_), _) | (Attempt::Spent(_), None) => return None,
            (Attempt::TooLow, _) => {
                let after = left.saturating_sub(cost);
                if self.asked.is_some_and(|asked| asked <= after) {
                    return None;
                }
                after.saturating_sub(block_of(after))
            }
            (Attempt::Spent(_), Some(floor)) => {
                let block = block_of(left);
                let half_used = left.saturating_sub(floor) <= block / 2;
                if self.asked.is_some() || floor == 0 || !half_used {
                    return None;
                }
                floor.saturating_sub(block)
            }
        };
        self.asked = Some(wanted);
        Some(self.row(wanted))
    }

    /// The row that gives back what was not spent, if the disk holds less (or was asked to). It is a version of its own: memory can
    /// spend nothing of it.
    pub(super) fn exact(&mut self, version: impl FnOnce() -> u64) -> Option<Row> {
        let left = self.balance.left;
        if self.floor == Some(left) && self.asked.is_none() {
            return None;
        }
        (self.version, self.floor, self.asked) = (version(), None, Some(left));
        Some(self.row(left))
    }

    /// The disk holds this floor now.
    pub(super) fn written(&mut self, version: u64, floor: u64) {
        if version != self.version {
            return;
        }
        self.floor = Some(self.floor.map_or(floor, |lower| lower.min(floor)));
        if self.asked == Some(floor) {
            self.asked = None;
        }
    }

    #[cfg(test)]
    pub(super) const fn is_written(&self) -> bool {
        self.asked.is_none()
    }

    const fn row(&self, floor: u64) -> Row {
        Row { version: self.version, balance: Balance { left: floor, ..self.balance } }
    }
}

fn block_of(left: u64) -> u64 {
    (left / PART).clamp(1, LARGEST_BLOCK)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use keyplane_core::credits::Opening;

    use super::*;

    fn entry(left: u64) -> Entry {
        let credits = CreditsRecord {
            counter: CounterId::credits("n", "k"),
            opening: Opening { remaining: left, set_at: None },
            refill: None,
            created: None,
            generation: 0,
        };
        Entry::new(credits.counter, Balance::first(&credits, Millis(0)), 1, None)
    }

    fn spend(entry: &mut Entry, cost: u64) -> (Attempt, Option<Row>) {
        let attempt = entry.spend(cost);
        (attempt, entry.reservation(attempt, cost))
    }

    #[test]
    fn nothing_is_spent_before_the_disk_has_given_it_up() {
        let mut entry = entry(1_600);
        let (attempt, row) = spend(&mut entry, 1);
        let row = row.unwrap();
        assert_eq!((attempt, row.balance.left), (Attempt::TooLow, 1_599 - 99));
        assert_eq!(spend(&mut entry, 1), (Attempt::TooLow, None), "what was asked for is enough for this one too");
        entry.written(row.version + 1, 0);
        assert_eq!(spend(&mut entry, 1).0, Attempt::TooLow, "another version's row says nothing");
        entry.written(row.version, row.balance.left);
        assert_eq!(spend(&mut entry, 100).0, Attempt::Spent(1_500));
        assert_eq!(spend(&mut entry, 1_501), (Attempt::Insufficient(1_500), None), "that is known without the disk");
    }

    #[test]
    fn a_disk_that_is_a_block_behind_is_never_waited_for() {
        let mut entry = entry(100_000);
        let mut rows = VecDeque::new();
        let (_, row) = spend(&mut entry, 1);
        let row = row.unwrap();
        entry.written(row.version, row.balance.left);
        for number in 0..60_000_u32 {
            let (attempt, row) = spend(&mut entry, 1);
            assert!(matches!(attempt, Attempt::Spent(_)), "{number}: {entry:?}");
            rows.extend(row.map(|row| (number, row)));
            // While this many are spent the flush is under way: half of the smallest block.
            while let Some((_, row)) = rows.pop_front_if(|(asked, _)| *asked + 1_250 <= number) {
                entry.written(row.version, row.balance.left);
            }
        }
    }

    #[test]
    fn a_crash_costs_a_small_part() {
        for start in [1, 2, 15, 16, 100, 10_000, 1_000_000] {
            let mut entry = entry(start);
            while entry.balance.left > 0 {
                let (attempt, row) = spend(&mut entry, 1);
                let left = entry.balance.left;
                let floor = row.map_or_else(|| entry.floor.unwrap(), |row| row.balance.left);
                let bound = (left * 3 / 32).clamp(2, 6_144) + u64::from(attempt == Attempt::TooLow);
                assert!(left - floor <= bound, "{left} {floor} {bound}");
                if let Some(row) = row {
                    entry.written(row.version, row.balance.left);
                }
            }
        }
    }

    #[test]
    fn what_is_given_back_cant_be_spent() {
        let mut entry = entry(1_600);
        let row = spend(&mut entry, 1).1.unwrap();
        let back = entry.exact(|| 2).unwrap();
        assert_eq!(back.balance.left, 1_600);
        // Both are flushed, in their order.
        entry.written(row.version, row.balance.left);
        entry.written(back.version, back.balance.left);
        assert_eq!(spend(&mut entry, 1).0, Attempt::TooLow);
        assert!(entry.exact(|| 3).is_some() && entry.floor.is_none());
    }
}
