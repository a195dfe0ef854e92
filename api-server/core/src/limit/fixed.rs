//! Each window from 0: the cheapest count, and the one people can work out in their heads.
//!
//! The state is the sliding one and the previous window's count is kept, so a limit can change to the sliding algorithm and back
//! without losing anything.

use super::{Decision, Limit, WindowState, judge};
use crate::time::Millis;

/// Decides about one request. Cost: one division. No allocation.
pub fn decide(state: WindowState, limit: Limit, cost: u64, now: Millis) -> (WindowState, Decision) {
    let (at, _) = state.at(limit, now);
    let decision = judge(limit, limit.count(), at.current.saturating_add(cost), at.end(limit));
    (if decision.allowed && cost > 0 { at.plus(cost) } else { state }, decision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit(count: i64) -> Limit {
        Limit::new(count, 1_000).unwrap()
    }

    #[test]
    fn each_window_starts_from_zero() {
        let full = WindowState { window: 1, current: 3, previous: 9 };
        assert!(!decide(full, limit(3), 1, Millis(1_999)).1.allowed);
        let (after, decision) = decide(full, limit(3), 1, Millis(2_000));
        assert_eq!(after, WindowState { window: 2, current: 1, previous: 3 });
        assert_eq!(decision, Decision { allowed: true, remaining: 2, reset: Millis(3_000) });
    }

    #[test]
    fn a_clock_that_goes_back_gets_no_new_window() {
        let full = WindowState { window: 5, current: 3, previous: 0 };
        assert_eq!(
            decide(full, limit(3), 1, Millis(1_000)).1,
            Decision { allowed: false, remaining: 0, reset: Millis(6_000) }
        );
    }

    #[test]
    fn a_limit_of_zero_denies_peeks_too() {
        assert!(!decide(WindowState::default(), limit(0), 0, Millis(0)).1.allowed);
    }

    proptest! {
        #[test]
        fn agrees_with_a_sum_per_window(
            asks in prop::collection::vec((0..12_i64, 0..8_u64, prop_oneof![6 => 0..300_i64, 1 => Just(1_000), 1 => 0..2_500_i64]), 1..60),
        ) {
            let (mut admitted, mut state, mut now) = (std::collections::BTreeMap::<i64, u64>::new(), WindowState::default(), 0);
            for (count, cost, step) in asks {
                now += step;
                let sum = admitted.entry(now / 1_000).or_default();
                let allowed = count > 0 && *sum + cost <= count.unsigned_abs();
                let before = state;
                let (after, decision) = decide(state, limit(count), cost, Millis(now));
                state = after;
                prop_assert_eq!(decision.allowed, allowed);
                if allowed {
                    *sum += cost;
                    prop_assert_eq!(decision.remaining, count.unsigned_abs() - *sum);
                } else {
                    prop_assert_eq!((decision.remaining, state), (0, before));
                }
            }
        }
    }
}
