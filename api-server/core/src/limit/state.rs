//! One counter, whatever its algorithm: the state that outlives a change of limit, algorithm or record.

use super::gcra::{self, GcraState};
use super::{Algorithm, Decision, Limit, Rule, WindowState, fixed, sliding};
use crate::time::Millis;

/// What a counter holds between requests. A counter's id says nothing of limit and algorithm, so either may change under it; the
/// count then goes on: windows become a bucket with the effective count as its level, a bucket's level (rounded up) becomes the count
/// of the current window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterState {
    /// Counted by windows, sliding or fixed.
    Window(WindowState),
    /// A leaking bucket.
    Bucket(GcraState),
}

impl Default for CounterState {
    fn default() -> Self {
        Self::Window(WindowState::default())
    }
}

impl CounterState {
    /// Decides about one request by this rule. A denied request and a peek leave the state as it was, its form included.
    /// Cost: that of the algorithm.
    pub fn decide(self, rule: &Rule, cost: u64, now: Millis) -> (Self, Decision) {
        let limit = rule.limit;
        let (state, decision) = match rule.algorithm {
            Algorithm::SlidingWindow => {
                wrap(sliding::decide(self.as_windows(limit, now), limit, cost, now), Self::Window)
            }
            Algorithm::FixedWindow => wrap(fixed::decide(self.as_windows(limit, now), limit, cost, now), Self::Window),
            Algorithm::Gcra { burst } => {
                let burst = burst.unwrap_or(limit.count());
                wrap(gcra::decide(self.as_bucket(limit, now), limit, burst, cost, now), Self::Bucket)
            }
        };
        (if decision.allowed && cost > 0 { state } else { self }, decision)
    }

    /// From when on forgetting the state changes no decision by this rule: what a sweep may go by. For a bucket under a limit of 0,
    /// which never leaks, one window from its last change.
    pub fn forgettable_from(self, rule: &Rule) -> Millis {
        match self {
            Self::Window(state) => Millis(state.window.saturating_add(2).saturating_mul(rule.limit.window_ms())),
            Self::Bucket(state) => {
                let (level, time) = state.drained(rule.limit, Millis(state.noted));
                GcraState::empty_at(level, time, rule.limit)
            }
        }
    }

    fn as_windows(self, limit: Limit, now: Millis) -> WindowState {
        match self {
            Self::Window(state) => state,
            Self::Bucket(state) => {
                let (level, time) = state.drained(limit, now);
                let current = u64::try_from(level.div_ceil(u128::from(limit.window()))).unwrap_or(u64::MAX);
                WindowState { window: time.div_euclid(limit.window_ms()), current, previous: 0 }
            }
        }
    }

    fn as_bucket(self, limit: Limit, now: Millis) -> GcraState {
        match self {
            Self::Bucket(state) => state,
            Self::Window(state) => {
                let start = Millis(state.window.saturating_mul(limit.window_ms()));
                let time = if state == WindowState::default() { now } else { now.max(start) };
                GcraState::new(sliding::effective(state, limit, now), time)
            }
        }
    }
}

fn wrap<S>((state, decision): (S, Decision), form: impl FnOnce(S) -> CounterState) -> (CounterState, Decision) {
    (form(state), decision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALGORITHMS: [Algorithm; 4] = [
        Algorithm::SlidingWindow,
        Algorithm::FixedWindow,
        Algorithm::Gcra { burst: None },
        Algorithm::Gcra { burst: Some(3) },
    ];

    fn rule(algorithm: Algorithm, count: i64) -> Rule {
        Rule { limit: Limit::new(count, 1_000).unwrap(), algorithm }
    }

    #[test]
    fn a_change_of_algorithm_keeps_the_count() {
        for from in ALGORITHMS {
            for to in ALGORITHMS {
                let (state, _) = CounterState::default().decide(&rule(from, 3), 2, Millis(5_000));
                let (state, decision) = state.decide(&rule(to, 3), 1, Millis(5_000));
                assert_eq!((decision.allowed, decision.remaining), (true, 0), "{from:?} to {to:?}");
                assert!(!state.decide(&rule(from, 3), 1, Millis(5_000)).1.allowed, "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn a_window_weighs_in_the_bucket_what_it_weighed() {
        let windows = CounterState::Window(WindowState { window: 5, current: 1, previous: 4 });
        let (state, decision) = windows.decide(&rule(Algorithm::Gcra { burst: None }, 10), 1, Millis(5_500));
        assert_eq!((state, decision.remaining), (CounterState::Bucket(GcraState::new(4, Millis(5_500))), 6));
    }

    #[test]
    fn a_bucket_counts_as_its_level_rounded_up() {
        let bucket = CounterState::Bucket(GcraState::new(3, Millis(5_000)));
        let sliding = rule(Algorithm::SlidingWindow, 3);
        assert!(!bucket.decide(&sliding, 1, Millis(5_100)).1.allowed, "2.7 of 3");
        assert!(bucket.decide(&sliding, 1, Millis(5_400)).1.allowed, "1.8 of 3");
    }

    #[test]
    fn a_window_ahead_of_the_clock_becomes_a_bucket_ahead_of_it() {
        let windows = CounterState::Window(WindowState { window: 5, current: 2, previous: 0 });
        let (state, _) = windows.decide(&rule(Algorithm::Gcra { burst: None }, 3), 1, Millis(1_000));
        assert_eq!(state, CounterState::Bucket(GcraState::new(3, Millis(5_000))));
    }

    proptest! {
        #[test]
        fn what_is_forgettable_changes_nothing(
            index in 0..4_usize, count in 1..9_i64, costs in prop::collection::vec((0..4_u64, 0..900_i64), 1..20), later in 0..3_000_i64,
        ) {
            let rule = rule(ALGORITHMS[index], count);
            let (mut state, mut now) = (CounterState::default(), 0);
            for (cost, step) in costs {
                now += step;
                state = state.decide(&rule, cost, Millis(now)).0;
            }
            let then = state.forgettable_from(&rule).plus(later);
            for cost in 0..10 {
                prop_assert_eq!(state.decide(&rule, cost, then).1, CounterState::default().decide(&rule, cost, then).1);
            }
        }
    }
}
