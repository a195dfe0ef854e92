//! A key's credits: spending them, and refilling them by the calendar.
//!
//! The functions say what a balance becomes; where it is kept is another's affair.

use crate::calendar::Date;
use crate::counter_id::CounterId;
use crate::time::Millis;

/// What a pod must know of one key's credits. The running balance is not here: it outlives the record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CreditsRecord {
    /// The balance's counter: [`CounterId::credits`].
    pub counter: CounterId,
    /// With how much the balance starts, or is set anew.
    pub opening: Opening,
    /// When it is filled up.
    pub refill: Option<Refill>,
    /// When the key was made, if that is known: refills since then count for a balance that no one asked for before.
    pub created: Option<Millis>,
    /// Which writing of the object this is, higher for a later one; 0 where writings are not counted. It tells a record that was read
    /// a moment before a change from a change back.
    pub generation: i64,
}

/// A balance as its owner wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Opening {
    /// Credits.
    pub remaining: u64,
    /// A marker that tells two equal openings apart.
    pub set_at: Option<Millis>,
}

impl Opening {
    /// Whether this opening sets a balance that was set from `former`: it has another value, or the same with another marker. A marker
    /// that was taken away sets nothing.
    pub fn sets_anew(self, former: Self) -> bool {
        self.remaining != former.remaining || self.set_at.is_some_and(|marker| former.set_at != Some(marker))
    }
}

/// The outcome of spending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spend {
    /// Spent; this is left.
    Granted(u64),
    /// Not enough: nothing was spent, this is still there.
    Refused(u64),
}

/// Spends `cost` of a balance: all of it or nothing. A cost of 0 is always granted, also of an empty balance.
pub const fn spend(balance: u64, cost: u64) -> Spend {
    match balance.checked_sub(cost) {
        Some(left) => Spend::Granted(left),
        None => Spend::Refused(balance),
    }
}

/// When and to how much a balance is filled up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Refill {
    interval: Interval,
    amount: u64,
}

/// How often a balance is filled up, always at 00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interval {
    /// Every day.
    Daily,
    /// On this day of every month, 1 to 31; on the last day of a month that is shorter.
    Monthly(u8),
}

/// Numbers that are no refill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefillError {
    /// Below 1.
    #[error("refill.amount is {0}; it must be at least 1")]
    Amount(i64),
    /// Not a day of a month.
    #[error("refill.day is {0}; it must be from 1 to 31")]
    Day(i64),
}

/// What the calendar says about a balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// No refill has come since the last one that was considered.
    No,
    /// One has come and the balance already holds as much or more: nothing changes, but the refill is over. Note `now` as
    /// considered, or the balance would be filled up later in the day when it has fallen.
    Enough,
    /// One has come: the balance is to be set to this. Note `now` as considered.
    Set(u64),
}

impl Refill {
    /// Every day, up to `amount`.
    pub const fn daily(amount: i64) -> Result<Self, RefillError> {
        Self::new(Interval::Daily, amount)
    }

    /// Every month on `day` (or on the last day of a shorter month), up to `amount`.
    pub fn monthly(amount: i64, day: i64) -> Result<Self, RefillError> {
        match u8::try_from(day) {
            Ok(day @ 1..=31) => Self::new(Interval::Monthly(day), amount),
            _ => Err(RefillError::Day(day)),
        }
    }

    const fn new(interval: Interval, amount: i64) -> Result<Self, RefillError> {
        match amount {
            ..1 => Err(RefillError::Amount(amount)),
            _ => Ok(Self { interval, amount: amount.unsigned_abs() }),
        }
    }

    /// The same amount at other times.
    #[must_use]
    pub const fn with_interval(self, interval: Interval) -> Self {
        Self { interval, ..self }
    }

    /// How often.
    pub const fn interval(self) -> Interval {
        self.interval
    }

    /// What a lower balance is set to. At least 1.
    pub const fn amount(self) -> u64 {
        self.amount
    }

    /// The latest refill at or before `now`.
    fn latest(self, now: Millis) -> Millis {
        let today = Date::of(now);
        let date = match self.interval {
            Interval::Daily => today,
            Interval::Monthly(day) if today.with_day(day) <= today => today.with_day(day),
            Interval::Monthly(day) => today.previous_month().with_day(day),
        };
        date.midnight()
    }

    /// The first refill after `now`: until then [`refill_due`] says [`Due::No`], so a hot path compares with this one number.
    pub fn next_after(self, now: Millis) -> Millis {
        let today = Date::of(now);
        let date = match self.interval {
            Interval::Daily => today.next_day(),
            Interval::Monthly(day) if today.with_day(day) > today => today.with_day(day),
            Interval::Monthly(day) => today.next_month().with_day(day),
        };
        date.midnight()
    }
}

/// Whether a balance is to be filled up: *set* to the amount, not raised by it, and only when it is lower.
///
/// `considered` is when a refill was last considered, or when the balance was set if none ever was. However many refills were missed
/// since, one makes up for all; asking again on the same date changes nothing; a clock that went back to before `considered` refills
/// nothing. Cost: some tens of nanoseconds.
pub fn refill_due(balance: u64, considered: Millis, refill: Refill, now: Millis) -> Due {
    if now <= considered || refill.latest(now) <= considered {
        Due::No
    } else if balance < refill.amount {
        Due::Set(refill.amount)
    } else {
        Due::Enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: i64 = 86_400_000;

    fn at(year: i64, month: u8, day: u8) -> Millis {
        Date { year, month, day }.midnight()
    }

    fn monthly(day: i64) -> Refill {
        Refill::monthly(100, day).unwrap()
    }

    #[test]
    fn an_opening_is_told_from_the_former_by_value_or_marker() {
        let opening = |remaining, marker: Option<i64>| Opening { remaining, set_at: marker.map(Millis) };
        for (now, former, anew) in [
            (opening(5, None), opening(5, None), false),
            (opening(6, None), opening(5, None), true),
            (opening(5, Some(1)), opening(5, Some(1)), false),
            (opening(5, Some(2)), opening(5, Some(1)), true),
            (opening(5, Some(1)), opening(5, None), true),
            (opening(5, None), opening(5, Some(1)), false),
        ] {
            assert_eq!(now.sets_anew(former), anew, "{now:?} after {former:?}");
        }
    }

    #[test]
    fn spending_never_goes_below_zero() {
        assert_eq!(spend(5, 5), Spend::Granted(0));
        assert_eq!(spend(5, 6), Spend::Refused(5));
        assert_eq!(spend(0, 0), Spend::Granted(0));
        assert_eq!(spend(0, u64::MAX), Spend::Refused(0));
        assert_eq!(spend(u64::MAX, 1), Spend::Granted(u64::MAX - 1));
    }

    #[test]
    fn daily_at_midnight_once() {
        let (refill, midnight) = (Refill::daily(100).unwrap(), at(2026, 11, 21));
        assert_eq!(refill_due(7, midnight.plus(-1), refill, midnight), Due::Set(100));
        assert_eq!(refill_due(7, midnight, refill, midnight.plus(DAY - 1)), Due::No);
        assert_eq!(refill_due(7, midnight, refill, midnight.plus(DAY)), Due::Set(100));
        assert_eq!(refill_due(7, midnight, refill, midnight.plus(90 * DAY)), Due::Set(100), "one makes up for ninety");
        assert_eq!(refill_due(7, midnight, refill, midnight.plus(-90 * DAY)), Due::No, "the clock went back");
    }

    #[test]
    fn a_higher_balance_is_left_alone() {
        let (refill, midnight) = (Refill::daily(100).unwrap(), at(2026, 11, 21));
        for balance in [100, 101, u64::MAX] {
            assert_eq!(refill_due(balance, midnight.plus(-1), refill, midnight), Due::Enough);
        }
        assert_eq!(refill_due(99, midnight.plus(-1), refill, midnight), Due::Set(100));
    }

    #[test]
    fn monthly_on_the_last_day_of_a_shorter_month() {
        for (day, due) in [
            (31, at(2026, 2, 28)),
            (29, at(2026, 2, 28)),
            (28, at(2026, 2, 28)),
            (31, at(2028, 2, 29)),
            (30, at(2028, 2, 29)),
            (31, at(2026, 4, 30)),
            (31, at(2026, 1, 31)),
            (1, at(2027, 1, 1)),
        ] {
            assert_eq!(monthly(day).next_after(due.plus(-1)), due, "{day}");
            assert_eq!(refill_due(0, due.plus(-1), monthly(day), due), Due::Set(100), "{day}");
            assert_eq!(refill_due(0, due.plus(-2), monthly(day), due.plus(-1)), Due::No, "{day}");
            assert_eq!(refill_due(0, due, monthly(day), due.plus(27 * DAY)), Due::No, "{day}");
        }
        assert_eq!(monthly(31).next_after(at(2026, 2, 28)), at(2026, 3, 31));
    }

    #[test]
    fn wrong_numbers_name_their_field() {
        assert_eq!(Refill::daily(0), Err(RefillError::Amount(0)));
        assert_eq!(Refill::monthly(5, 0), Err(RefillError::Day(0)));
        assert_eq!(Refill::monthly(5, 257).unwrap_err().to_string(), "refill.day is 257; it must be from 1 to 31");
    }

    /// Walks from 2023-12-01 midnight by midnight, with month lengths written out, and says on which refills fall.
    fn refills_by_hand(refill: Refill, days: i64) -> Vec<Millis> {
        let (start, mut found) = (1_701_388_800_000, Vec::new());
        let (mut year, mut month, mut day) = (2023, 12, 1);
        for number in 0..days {
            let february = if year == 2024 || year == 2028 { 29 } else { 28 };
            let length = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1];
            let falls = match refill.interval() {
                Interval::Daily => true,
                Interval::Monthly(wanted) => wanted == day || (day == length && wanted > day),
            };
            if falls {
                found.push(Millis(start + number * DAY));
            }
            (year, month, day) = match (day == length, month) {
                (false, _) => (year, month, day + 1),
                (true, 12) => (year + 1, 1, 1),
                (true, _) => (year, month + 1, 1),
            };
        }
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn agrees_with_the_calendar_walked_by_hand(
            day in prop::option::of(1..=31_i64),
            considered in 100 * DAY..1_700 * DAY,
            passed in prop_oneof![0..3 * DAY, 0..70 * DAY],
            on_the_minute in any::<bool>(),
            balance in 0..200_u64,
        ) {
            let refill = day.map_or_else(|| Refill::daily(100), |day| Refill::monthly(100, day)).unwrap();
            let start = 1_701_388_800_000;
            let rounded = |ms: i64| Millis(start + if on_the_minute { ms / DAY * DAY } else { ms });
            let (considered, now) = (rounded(considered), rounded(considered + passed));
            let refills = refills_by_hand(refill, 2_000);
            let mut after = balance;
            let mut any = false;
            for _ in refills.iter().filter(|at| considered < **at && **at <= now) {
                (after, any) = (after.max(100), true);
            }
            let expected = if !any { Due::No } else if after == balance { Due::Enough } else { Due::Set(after) };
            prop_assert_eq!(refill_due(balance, considered, refill, now), expected);
            prop_assert_eq!(Some(refill.next_after(now)), refills.into_iter().find(|at| *at > now));
            prop_assert_eq!(refill_due(after, now, refill, now), Due::No, "asking again changes nothing");
        }
    }
}
