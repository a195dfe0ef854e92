//! How much a window admits: two numbers that were checked once.

/// The shortest window, in milliseconds.
const SHORTEST_WINDOW: i64 = 1_000;

/// So much cost per window. 16 bytes, copied freely.
///
/// The whole range that the HTTP API can say is representable: a count of 0 (denies always) to `i64::MAX`, a window of one second up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    count: u64,
    window: i64,
}

/// Two numbers that are not a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// Below 0.
    #[error("limit is {0}; it must be 0 (denies always) or more")]
    Negative(i64),
    /// Below one second.
    #[error("duration is {0} ms; it must be at least 1000 ms")]
    ShortWindow(i64),
}

impl Limit {
    /// A limit of `count` per window of `window_ms` milliseconds.
    pub const fn new(count: i64, window_ms: i64) -> Result<Self, LimitError> {
        if count < 0 {
            return Err(LimitError::Negative(count));
        }
        if window_ms < SHORTEST_WINDOW {
            return Err(LimitError::ShortWindow(window_ms));
        }
        Ok(Self { count: count.unsigned_abs(), window: window_ms })
    }

    /// How much cost one window admits. At most `i64::MAX`.
    pub const fn count(self) -> u64 {
        self.count
    }

    /// The length of the window in milliseconds. At least 1000.
    pub const fn window_ms(self) -> i64 {
        self.window
    }

    /// The window's length as the unsigned number that the arithmetic uses.
    pub(super) const fn window(self) -> u64 {
        self.window.unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_the_api_can_say() {
        for (count, window) in [(0, 1_000), (1, 60_000), (i64::MAX, i64::MAX)] {
            let limit = Limit::new(count, window).unwrap();
            assert_eq!((limit.count(), limit.window_ms()), (count.unsigned_abs(), window));
        }
    }

    #[test]
    fn refuses_the_rest_by_name() {
        assert_eq!(Limit::new(-1, 1_000), Err(LimitError::Negative(-1)));
        assert_eq!(Limit::new(1, 999), Err(LimitError::ShortWindow(999)));
        assert_eq!(Limit::new(1, 999).unwrap_err().to_string(), "duration is 999 ms; it must be at least 1000 ms");
    }
}
