//! The three ways to count.

use super::Limit;

/// How requests are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// The current window and the share of the one before that still lies within a window's length. Unkey's, and the default.
    #[default]
    SlidingWindow,
    /// Evenly spaced, with a burst: a bucket that leaks `limit` per window.
    Gcra {
        /// How much cost may come at once. `None`: the limit.
        burst: Option<u64>,
    },
    /// Each window from 0. Twice the limit can pass around a window's end.
    FixedWindow,
}

/// A limit and how it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// How much, per how long.
    pub limit: Limit,
    /// Counted how.
    pub algorithm: Algorithm,
}

impl Rule {
    /// The limit counted by the default algorithm.
    pub const fn sliding(limit: Limit) -> Self {
        Self { limit, algorithm: Algorithm::SlidingWindow }
    }
}
