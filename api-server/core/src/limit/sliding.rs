//! The two-window sliding count, Unkey's algorithm to the letter, in integers.
//!
//! ```text
//! effective = current + trunc(previous * (1 - elapsed)) + cost        elapsed = the part of the window that is over, 0 <= elapsed < 1
//! ```
//!
//! Only the weighted previous count is cut off. Unkey computes it in binary floating point, which now and then is one too low or loses
//! the last digits of large counts; here it is `previous * (window - over) / window` in integers, exact for all counts and windows.
#![expect(clippy::cast_possible_truncation, reason = "each cast says or shows why its value fits")]

use super::{Decision, Limit, WindowState, judge};
use crate::time::Millis;

/// Decides about one request. Cost: a few nanoseconds: one division by the window for the number, one for the share; a 128-bit one
/// only when previous count times window exceeds 64 bits (10 billion of a day's window). No allocation.
pub fn decide(state: WindowState, limit: Limit, cost: u64, now: Millis) -> (WindowState, Decision) {
    let (at, over) = state.at(limit, now);
    let effective = counted(at, limit, over).saturating_add(cost);
    let decision = judge(limit, limit.count(), effective, at.end(limit));
    (if decision.allowed && cost > 0 { at.plus(cost) } else { state }, decision)
}

/// What counts against the limit at `now`, without any new request.
pub fn effective(state: WindowState, limit: Limit, now: Millis) -> u64 {
    let (at, over) = state.at(limit, now);
    counted(at, limit, over)
}

fn counted(state: WindowState, limit: Limit, over: u64) -> u64 {
    state.current.saturating_add(share(state.previous, limit.window() - over, limit.window()))
}

/// `count * left / window`, cut off, for `left <= window`.
fn share(count: u64, left: u64, window: u64) -> u64 {
    match count.checked_mul(left) {
        Some(product) => product / window,
        // At most `count`, so it fits again.
        None => (u128::from(count) * u128::from(left) / u128::from(window)) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW: i64 = 60_000;

    fn limit(count: i64) -> Limit {
        Limit::new(count, WINDOW).unwrap()
    }

    fn state(window: i64, current: u64, previous: u64) -> WindowState {
        WindowState { window, current, previous }
    }

    #[test]
    fn only_the_weighted_part_is_cut_off() {
        // 7 * (1 - 20/60) = 4.67 becomes 4; 3 + 4 + 1 = 8.
        let (after, decision) = decide(state(10, 3, 7), limit(8), 1, Millis(10 * WINDOW + 20_000));
        assert_eq!(decision, Decision { allowed: true, remaining: 0, reset: Millis(11 * WINDOW) });
        assert_eq!(after, state(10, 4, 7));
        assert!(!decide(state(10, 3, 7), limit(7), 1, Millis(10 * WINDOW + 20_000)).1.allowed);
    }

    #[test]
    fn no_share_is_one_too_low() {
        // In binary floating point 10 * (1 - 0.7) is 3.0000000000000004 or 2.9999999999999996, depending on how it is written.
        let at = |count, over| effective(state(1, 0, count), Limit::new(1, 1_000).unwrap(), Millis(1_000 + over));
        for tenth in 0..10 {
            assert_eq!(at(10, i64::from(tenth) * 100), 10 - u64::try_from(tenth).unwrap());
        }
        assert_eq!(at(i64::MAX as u64, 0), i64::MAX as u64, "a float would round it up to 2^63");
    }

    #[test]
    fn windows_follow_the_epoch() {
        let one = |from, now| decide(from, limit(10), 1, Millis(now)).0;
        assert_eq!(one(state(10, 5, 3), 11 * WINDOW - 1), state(10, 6, 3));
        assert_eq!(one(state(10, 5, 3), 11 * WINDOW), state(11, 1, 5));
        assert_eq!(one(state(10, 5, 3), 12 * WINDOW), state(12, 1, 0));
        assert_eq!(one(WindowState::default(), -1), state(-1, 1, 0), "before 1970 windows are cut downwards too");
    }

    #[test]
    fn a_peek_is_allowed_until_the_limit_is_passed() {
        let now = Millis(10 * WINDOW);
        for (count, allowed, remaining) in [(5, true, 0), (6, true, 1), (4, false, 0)] {
            let (after, decision) = decide(state(10, 5, 0), limit(count), 0, now);
            assert_eq!((after, decision.allowed, decision.remaining), (state(10, 5, 0), allowed, remaining), "{count}");
        }
    }

    #[test]
    fn a_limit_of_zero_denies_peeks_too() {
        for cost in [0, 1, u64::MAX] {
            let (after, decision) = decide(WindowState::default(), limit(0), cost, Millis(5));
            assert!(!decision.allowed && after == WindowState::default(), "{cost}");
        }
    }

    #[test]
    fn a_cost_above_the_limit_poisons_nothing() {
        let (after, decision) = decide(state(10, 2, 1), limit(5), 6, Millis(11 * WINDOW));
        assert_eq!((after, decision.allowed, decision.remaining), (state(10, 2, 1), false, 0));
        assert!(!decide(state(10, 2, 1), limit(i64::MAX), u64::MAX, Millis(10 * WINDOW)).1.allowed);
        assert!(decide(state(10, 2, 1), limit(5), 2, Millis(11 * WINDOW)).1.allowed);
    }

    #[test]
    fn the_largest_limit_is_exact() {
        let most = i64::MAX as u64;
        let (after, decision) = decide(WindowState::default(), limit(i64::MAX), most - 1, Millis(0));
        assert_eq!((decision.allowed, decision.remaining), (true, 1));
        let (after, decision) = decide(after, limit(i64::MAX), 1, Millis(0));
        assert_eq!((after.current, decision.allowed, decision.remaining), (most, true, 0));
        assert!(!decide(after, limit(i64::MAX), 1, Millis(0)).1.allowed);
        let far = Limit::new(1, i64::MAX).unwrap();
        assert_eq!(decide(WindowState::default(), far, 1, Millis(0)).1.reset, Millis(i64::MAX));
    }

    #[test]
    fn a_clock_that_goes_back_counts_where_the_state_is() {
        let (after, decision) = decide(state(10, 5, 4), limit(10), 1, Millis(7 * WINDOW + 59_999));
        assert_eq!(after, state(10, 6, 4), "at the start of window 10, with all of the previous count");
        assert_eq!(decision, Decision { allowed: true, remaining: 0, reset: Millis(11 * WINDOW) });
        assert!(!decide(after, limit(10), 1, Millis(7 * WINDOW)).1.allowed);
    }

    /// The slow truth: every admitted request is remembered, and the sum is a fraction over `window`.
    #[derive(Default)]
    struct Log(Vec<(i64, u64)>);

    impl Log {
        fn ask(&mut self, count: i64, window: i64, cost: u64, now: i64) -> (bool, i128) {
            let sum = |number: i64| -> i128 {
                self.0.iter().filter(|(at, _)| at.div_euclid(window) == number).map(|(_, cost)| i128::from(*cost)).sum()
            };
            let number = now.div_euclid(window);
            let (current, previous) = (sum(number), sum(number - 1));
            let over = i128::from(now - number * window);
            // previous - previous * elapsed, the subtracted part rounded up.
            let weighted = previous - (previous * over + i128::from(window) - 1) / i128::from(window);
            let effective = current + weighted + i128::from(cost);
            let allowed = count > 0 && effective <= i128::from(count);
            if allowed {
                self.0.push((now, cost));
            }
            (allowed, if allowed { i128::from(count) - effective } else { 0 })
        }
    }

    fn counts() -> impl Strategy<Value = i64> {
        prop_oneof![5 => 0..20_i64, 2 => 0..2_000_i64, 1 => (i64::MAX - 3)..=i64::MAX]
    }

    fn costs() -> impl Strategy<Value = u64> {
        prop_oneof![8 => 0..4_u64, 2 => 0..30_u64, 1 => (i64::MAX as u64 - 30)..=i64::MAX as u64]
    }

    /// Steps of time as parts of a window in thousandths, many of them exactly on a boundary.
    fn steps() -> impl Strategy<Value = i64> {
        prop_oneof![6 => 0..400_i64, 2 => Just(1_000), 1 => 0..3_500_i64]
    }

    proptest! {
        #[test]
        fn agrees_with_the_log(
            window in prop_oneof![Just(1_000_i64), Just(60_000), 1_000..100_000_i64, Just(2_592_000_000)],
            fixed_count in counts(),
            asks in prop::collection::vec((prop::option::weighted(0.1, counts()), costs(), steps()), 1..60),
        ) {
            let (mut log, mut state, mut now) = (Log::default(), WindowState::default(), 1_700_000_000_000 / window * window);
            for (other_count, cost, step) in asks {
                now += step * window / 1_000;
                let count = other_count.unwrap_or(fixed_count);
                let limit = Limit::new(count, window).unwrap();
                let before = state;
                let (after, decision) = decide(state, limit, cost, Millis(now));
                state = after;
                prop_assert_eq!((decision.allowed, i128::from(decision.remaining)), log.ask(count, window, cost, now));
                prop_assert_eq!(decision.reset, Millis((now / window + 1) * window));
                if !decision.allowed || cost == 0 {
                    prop_assert_eq!(state, before);
                }
            }
        }

        /// On the state's own clock (the latest `now` that was counted at) no window exceeds the limit, wherever the real clock jumps.
        #[test]
        fn no_clock_buys_more_than_the_limit(
            count in 1..50_i64,
            asks in prop::collection::vec((0..6_i64, 0..1_000_i64, 0..10_u64), 1..80),
        ) {
            let limit = Limit::new(count, 1_000).unwrap();
            let (mut state, mut admitted) = (WindowState::default(), std::collections::BTreeMap::<i64, u64>::new());
            for (window, over, cost) in asks {
                let (after, decision) = decide(state, limit, cost, Millis(window * 1_000 + over));
                prop_assert!(state.current == 0 || after.window >= state.window, "the state's clock never goes back");
                state = after;
                if decision.allowed {
                    *admitted.entry(state.window).or_default() += cost;
                }
            }
            prop_assert!(admitted.values().all(|sum| *sum <= limit.count()), "{admitted:?}");
        }

        #[test]
        fn shares_are_exact(count: u64, window in 1_000..=i64::MAX as u64, part: u64) {
            let left = part % (window + 1);
            let (share, exact) = (u128::from(share(count, left, window)), u128::from(count) * u128::from(left));
            let window = u128::from(window);
            prop_assert!(share * window <= exact && exact - share * window < window);
        }
    }
}
