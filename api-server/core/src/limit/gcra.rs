//! The generic cell rate algorithm, in its equal form of a bucket that leaks: `limit` per window, no more than `burst` in it.
//!
//! The usual form keeps one theoretical arrival time; a limit that doesn't divide the window then rounds every step, and a changed limit
//! changes what was counted. Here the bucket's level is kept as a whole number and a fraction over the window's length, so that
//! nothing is ever rounded and a changed limit acts on the same level. In any span of `t` milliseconds at most
//! `burst + limit * t / window` is admitted.
#![expect(clippy::cast_possible_truncation, reason = "each cast says or shows why its value fits")]

use super::{Decision, Limit};
use crate::time::Millis;

/// How full the bucket was, and when. 24 bytes, exact for every limit; see [`Self::pack`] for one word of 128 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcraState {
    /// When the level was noted, in milliseconds since the epoch.
    pub noted: i64,
    /// Whole units of cost in the bucket.
    pub level: u64,
    /// The rest, in parts of the window's length in milliseconds; below that length.
    pub fraction: u64,
}

const PACKED_LEVEL_BITS: u32 = 44;
const PACKED_FRACTION_BITS: u32 = 36;
const PACKED_NOTED_BITS: u32 = 48;

impl GcraState {
    /// The largest burst of which every reachable state fits [`Self::pack`], for windows of at most [`Self::PACKED_WINDOW_MAX`].
    pub const PACKED_MAX: u64 = (1 << PACKED_LEVEL_BITS) - 1;
    /// The longest window, in milliseconds (795 days), of which every state fits [`Self::pack`].
    pub const PACKED_WINDOW_MAX: u64 = (1 << PACKED_FRACTION_BITS) - 1;

    /// A bucket with this level at this time.
    pub(super) const fn new(level: u64, noted: Millis) -> Self {
        Self { noted: noted.0, level, fraction: 0 }
    }

    /// 128 bits: time (48, until the year 6429), level (44), fraction (36), from the top. `None` when one doesn't fit.
    pub fn pack(self) -> Option<u128> {
        let half = 1_i64 << (PACKED_NOTED_BITS - 1);
        if self.level > Self::PACKED_MAX
            || self.fraction > Self::PACKED_WINDOW_MAX
            || !(-half..half).contains(&self.noted)
        {
            return None;
        }
        let noted = u128::from(self.noted.cast_unsigned() & ((1 << PACKED_NOTED_BITS) - 1));
        let rest = u128::from(self.level) << PACKED_FRACTION_BITS | u128::from(self.fraction);
        Some(noted << (PACKED_LEVEL_BITS + PACKED_FRACTION_BITS) | rest)
    }

    /// The state that [`Self::pack`] wrote.
    pub const fn unpack(packed: u128) -> Self {
        let noted = ((packed >> (PACKED_LEVEL_BITS + PACKED_FRACTION_BITS)) as u64) << (64 - PACKED_NOTED_BITS);
        Self {
            noted: noted.cast_signed() >> (64 - PACKED_NOTED_BITS),
            level: (packed >> PACKED_FRACTION_BITS) as u64 & Self::PACKED_MAX,
            fraction: packed as u64 & Self::PACKED_WINDOW_MAX,
        }
    }

    /// The level at `now` in parts of the window, and the time that this is about: `now`, or the later time the state is from.
    pub(super) fn drained(self, limit: Limit, now: Millis) -> (u128, i64) {
        // At most (2^64 - 1) * 2^63 + 2^64, and 2^63 * 2^64 below: neither can pass 128 bits.
        let level = u128::from(self.level) * u128::from(limit.window()) + u128::from(self.fraction);
        if level == 0 || now.0 < self.noted {
            return (level, if level == 0 { now.0 } else { self.noted });
        }
        let leaked = u128::from(limit.count()) * u128::from(now.0.abs_diff(self.noted));
        (level.saturating_sub(leaked), now.0)
    }

    /// When a bucket with `level` parts at `time` will have run empty. One that never leaks says the end of the window.
    pub(super) fn empty_at(level: u128, time: i64, limit: Limit) -> Millis {
        if limit.count() == 0 {
            return Millis(time).plus(limit.window_ms());
        }
        let wait = level.div_ceil(u128::from(limit.count()));
        Millis(time).plus(i64::try_from(wait).unwrap_or(i64::MAX))
    }
}

/// Decides about one request; `burst` is how much may be in the bucket. A burst of 0 denies all but peeks.
/// Cost: two or three 128-bit divisions, some tens of nanoseconds. No allocation.
pub fn decide(state: GcraState, limit: Limit, burst: u64, cost: u64, now: Millis) -> (GcraState, Decision) {
    let window = u128::from(limit.window());
    let (drained, time) = state.drained(limit, now);
    let (raised, capacity) = (drained.saturating_add(u128::from(cost) * window), u128::from(burst) * window);
    if limit.count() == 0 || raised > capacity {
        return (state, Decision { allowed: false, remaining: 0, reset: GcraState::empty_at(drained, time, limit) });
    }
    // Within the burst, so the parts fit their words.
    let after = GcraState { noted: time, level: (raised / window) as u64, fraction: (raised % window) as u64 };
    let remaining = ((capacity - raised) / window) as u64;
    let decision = Decision { allowed: true, remaining, reset: GcraState::empty_at(raised, time, limit) };
    (if cost > 0 { after } else { state }, decision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit(count: i64) -> Limit {
        Limit::new(count, 1_000).unwrap()
    }

    fn allowed(state: &mut GcraState, limit: Limit, burst: u64, cost: u64, now: i64) -> bool {
        let (after, decision) = decide(*state, limit, burst, cost, Millis(now));
        *state = after;
        decision.allowed
    }

    #[test]
    fn a_burst_then_evenly_spaced() {
        let mut state = GcraState::default();
        let mut ask = |now| allowed(&mut state, limit(10), 3, 1, now);
        assert!(ask(0) && ask(0) && ask(0) && !ask(0));
        assert!(!ask(99) && ask(100) && !ask(199) && ask(200));
    }

    #[test]
    fn a_limit_that_does_not_divide_the_window_is_exact() {
        let mut state = GcraState::default();
        let admitted = (0..30_000).filter(|now| allowed(&mut state, limit(3), 1, 1, *now)).count();
        // 0, 334, 668 (one at a time, each waits for an empty bucket); the next waits for 1002.
        assert_eq!(admitted, 90);
    }

    #[test]
    fn remaining_and_reset_are_of_the_bucket() {
        let (state, decision) = decide(GcraState::default(), limit(10), 20, 5, Millis(1_000));
        assert_eq!(decision, Decision { allowed: true, remaining: 15, reset: Millis(1_500) });
        let (_, decision) = decide(state, limit(10), 20, 0, Millis(1_001));
        assert_eq!(decision, Decision { allowed: true, remaining: 15, reset: Millis(1_500) }, "15.01 are free");
        let (after, decision) = decide(state, limit(10), 20, 16, Millis(1_099));
        assert_eq!((after, decision), (state, Decision { allowed: false, remaining: 0, reset: Millis(1_500) }));
    }

    #[test]
    fn reset_is_never_early() {
        assert_eq!(
            decide(GcraState::default(), limit(3), 3, 1, Millis(0)).1.reset,
            Millis(334),
            "a third of a second is 333.3 ms"
        );
    }

    #[test]
    fn a_limit_of_zero_denies_and_says_a_window() {
        let denied = Decision { allowed: false, remaining: 0, reset: Millis(1_007) };
        assert_eq!(decide(GcraState::default(), limit(0), 5, 0, Millis(7)), (GcraState::default(), denied));
    }

    #[test]
    fn a_clock_that_goes_back_leaks_nothing() {
        let full = GcraState::new(3, Millis(10_000));
        assert!(!decide(full, limit(3), 3, 1, Millis(0)).1.allowed);
        let (after, _) = decide(full, limit(3), 4, 1, Millis(0));
        assert_eq!(after, GcraState::new(4, Millis(10_000)), "what is added counts at the later time");
    }

    #[test]
    fn the_largest_numbers_are_exact() {
        let (most, widest) = (i64::MAX as u64, Limit::new(i64::MAX, i64::MAX).unwrap());
        let (state, decision) = decide(GcraState::default(), widest, most, most - 1, Millis(i64::MIN));
        assert_eq!((decision.allowed, decision.remaining, state.level), (true, 1, most - 1));
        assert!(!decide(state, widest, most, 2, Millis(i64::MIN)).1.allowed);
        assert!(!decide(state, widest, u64::MAX, u64::MAX, Millis(i64::MIN)).1.allowed);
        assert!(decide(state, widest, most, most, Millis(i64::MAX)).1.allowed, "all of it has leaked away");
    }

    #[test]
    fn a_changed_limit_acts_on_the_same_level() {
        let state = GcraState::new(8, Millis(0));
        assert_eq!(decide(state, limit(10), 10, 0, Millis(0)).1.remaining, 2);
        assert!(!decide(state, limit(5), 5, 0, Millis(0)).1.allowed, "8 of 5: even a peek is denied");
        assert_eq!(decide(state, limit(100), 100, 0, Millis(0)).1.remaining, 92);
    }

    proptest! {
        /// A bucket that is emptied millisecond by millisecond, in parts of the window.
        #[test]
        fn agrees_with_a_leaking_bucket(
            window in 1_000..5_000_i64,
            asks in prop::collection::vec((1..40_i64, 0..40_u64, 0..12_u64, prop_oneof![4 => 0..50_i64, 1 => 0..2_000_i64]), 1..40),
        ) {
            let (mut bucket, mut state, mut now) = (0_i128, GcraState::default(), 0_i64);
            for (count, burst, cost, step) in asks {
                let limit = Limit::new(count, window).unwrap();
                now += step;
                for _ in 0..step {
                    bucket = (bucket - i128::from(count)).max(0);
                }
                let room = i128::from(burst) * i128::from(window) - bucket - i128::from(cost) * i128::from(window);
                // The state leaks by the limit of this request since it last changed: let it note the time under this limit.
                let (drained, time) = state.drained(limit, Millis(now));
                let (after, decision) = decide(state, limit, burst, cost, Millis(now));
                prop_assert_eq!((i128::try_from(drained).unwrap(), time), (bucket, now));
                prop_assert_eq!(decision.allowed, room >= 0);
                prop_assert_eq!(i128::from(decision.remaining), room.max(0) / i128::from(window));
                if decision.allowed && cost > 0 {
                    bucket += i128::from(cost) * i128::from(window);
                } else {
                    prop_assert_eq!(after, state);
                }
                // Denied requests and peeks don't note the time, so the next limit must not leak for the past: fix the limit's change here.
                let w = u128::from(window.unsigned_abs());
                let level = u128::try_from(bucket).unwrap();
                state = GcraState { noted: now, level: (level / w) as u64, fraction: (level % w) as u64 };
                if decision.allowed && cost > 0 {
                    prop_assert_eq!(after, state);
                }
            }
        }

        #[test]
        fn no_span_admits_more_than_burst_and_rate(
            count in 1..20_i64,
            burst in 1..20_u64,
            asks in prop::collection::vec((0..4_u64, -200..600_i64), 1..60),
        ) {
            let (mut state, mut now, mut latest, mut log) = (GcraState::default(), 10_000, 0, Vec::new());
            for (cost, step) in asks {
                now += step;
                if allowed(&mut state, limit(count), burst, cost, now) && cost > 0 {
                    latest = state.noted;
                    log.push((latest, cost));
                }
            }
            for (index, (start, _)) in log.iter().enumerate() {
                let sum: u64 = log[index..].iter().map(|(_, cost)| cost).sum();
                prop_assert!(sum * 1_000 <= burst * 1_000 + count.unsigned_abs() * start.abs_diff(latest));
            }
        }

        #[test]
        fn packing_loses_nothing(
            noted in -(1_i64 << 47)..(1 << 47),
            level in 0..=GcraState::PACKED_MAX,
            fraction in 0..=GcraState::PACKED_WINDOW_MAX,
        ) {
            let state = GcraState { noted, level, fraction };
            prop_assert_eq!(GcraState::unpack(state.pack().unwrap()), state);
            prop_assert_eq!(GcraState { level: GcraState::PACKED_MAX + 1, ..state }.pack(), None);
            prop_assert_eq!(GcraState { fraction: GcraState::PACKED_WINDOW_MAX + 1, ..state }.pack(), None);
            prop_assert_eq!(GcraState { noted: 1 << 47, ..state }.pack(), None);
        }
    }
}
