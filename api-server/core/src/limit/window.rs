//! The state of a counter that counts by windows: two numbers and the window they belong to.
#![expect(clippy::cast_possible_truncation, reason = "each cast says or shows why its value fits")]

use super::Limit;
use crate::time::Millis;

/// What was admitted in a window and in the one before it. Windows are aligned to the epoch: number `n` starts at `n * window_ms`.
///
/// 24 bytes, exact for every limit. Sliding and fixed windows share it, so a limit that changes between the two keeps its count.
/// Where one word is wanted for a compare-and-swap there are two packed forms, [`Self::pack`] (128 bits) and [`Self::pack_word`] (64);
/// both say `None` for a count that they can't hold, and such a counter needs a lock instead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowState {
    /// The number of the window that `current` belongs to.
    pub window: i64,
    /// Cost admitted in that window.
    pub current: u64,
    /// Cost admitted in the window before.
    pub previous: u64,
}

/// [`WindowState::pack`]: 40 bits of window number (34,000 years of one-second windows), two counts of 44 bits.
const PACKED_WINDOW_BITS: u32 = 40;
const PACKED_COUNT_BITS: u32 = 44;
/// [`WindowState::pack_word`]: the low 16 bits of the window number, two counts of 24 bits.
const WORD_WINDOW_BITS: u32 = 16;
const WORD_COUNT_BITS: u32 = 24;

impl WindowState {
    /// The largest limit of which every reachable state fits [`Self::pack`].
    pub const PACKED_MAX: u64 = (1 << PACKED_COUNT_BITS) - 1;
    /// The largest limit of which every reachable state fits [`Self::pack_word`].
    pub const WORD_MAX: u64 = (1 << WORD_COUNT_BITS) - 1;

    /// The state moved on to the window of `now`, and how many milliseconds of that window are over.
    ///
    /// A state that is ahead of `now` stays where it is and counts as at the first millisecond of its window, where the share of the
    /// previous window is greatest: the strict side. An empty state belongs to any window.
    pub(super) fn at(self, limit: Limit, now: Millis) -> (Self, u64) {
        let number = now.0.div_euclid(limit.window_ms());
        let elapsed = now.0.rem_euclid(limit.window_ms()).unsigned_abs();
        if self.current == 0 && self.previous == 0 {
            return (Self { window: number, ..Self::default() }, elapsed);
        }
        match number.saturating_sub(self.window) {
            ..0 => (self, 0),
            0 => (self, elapsed),
            1 => (Self { window: number, current: 0, previous: self.current }, elapsed),
            _ => (Self { window: number, ..Self::default() }, elapsed),
        }
    }

    /// The end of the state's window; stops at the end of the range.
    pub(super) const fn end(self, limit: Limit) -> Millis {
        Millis(self.window.saturating_add(1).saturating_mul(limit.window_ms()))
    }

    /// The state with `cost` more in its current window.
    pub(super) const fn plus(self, cost: u64) -> Self {
        Self { current: self.current.saturating_add(cost), ..self }
    }

    /// 128 bits: window number, previous, current, from the top. `None` when a count is above [`Self::PACKED_MAX`] or the window
    /// number does not fit 40 bits (signed).
    pub fn pack(self) -> Option<u128> {
        let half = 1_i64 << (PACKED_WINDOW_BITS - 1);
        if self.current.max(self.previous) > Self::PACKED_MAX || !(-half..half).contains(&self.window) {
            return None;
        }
        let window = u128::from(self.window.cast_unsigned() & ((1 << PACKED_WINDOW_BITS) - 1));
        let counts = u128::from(self.previous) << PACKED_COUNT_BITS | u128::from(self.current);
        Some(window << (2 * PACKED_COUNT_BITS) | counts)
    }

    /// The state that [`Self::pack`] wrote.
    pub const fn unpack(packed: u128) -> Self {
        let mask = Self::PACKED_MAX as u128;
        // Up against the top of a signed word and down again: the sign comes along.
        let window = ((packed >> (2 * PACKED_COUNT_BITS)) as u64) << (64 - PACKED_WINDOW_BITS);
        Self {
            window: window.cast_signed() >> (64 - PACKED_WINDOW_BITS),
            current: (packed & mask) as u64,
            previous: (packed >> PACKED_COUNT_BITS & mask) as u64,
        }
    }

    /// 64 bits: the low 16 bits of the window number, previous, current, from the top. `None` when a count is above [`Self::WORD_MAX`].
    pub const fn pack_word(self) -> Option<u64> {
        if self.current > Self::WORD_MAX || self.previous > Self::WORD_MAX {
            return None;
        }
        let window = self.window.cast_unsigned() & ((1 << WORD_WINDOW_BITS) - 1);
        Some(window << (2 * WORD_COUNT_BITS) | self.previous << WORD_COUNT_BITS | self.current)
    }

    /// The state that [`Self::pack_word`] wrote, taken to be of the window nearest to number `near` (that of `now`).
    ///
    /// A word that was left alone for 32,768 windows or more (nine hours of one-second windows) can pass for a recent or a coming
    /// one. That is the strict side, as its old counts then still stand, but a sweep must forget idle words long before.
    pub const fn unpack_word(word: u64, near: i64) -> Self {
        let low = (word >> (2 * WORD_COUNT_BITS)) as u16;
        let ahead = low.wrapping_sub(near.cast_unsigned() as u16).cast_signed();
        Self {
            window: near.saturating_add(ahead as i64),
            current: word & Self::WORD_MAX,
            previous: word >> WORD_COUNT_BITS & Self::WORD_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_does_not_fit_is_not_packed() {
        let state = |current, previous| WindowState { window: 1, current, previous };
        assert!(state(WindowState::PACKED_MAX, WindowState::PACKED_MAX).pack().is_some());
        assert_eq!(state(WindowState::PACKED_MAX + 1, 0).pack(), None);
        assert_eq!(state(0, WindowState::PACKED_MAX + 1).pack(), None);
        assert_eq!(WindowState { window: 1 << 39, ..state(1, 1) }.pack(), None);
        assert!(state(WindowState::WORD_MAX, WindowState::WORD_MAX).pack_word().is_some());
        assert_eq!(state(WindowState::WORD_MAX + 1, 0).pack_word(), None);
        assert_eq!(state(0, WindowState::WORD_MAX + 1).pack_word(), None);
    }

    #[test]
    fn a_fresh_word_is_the_empty_state() {
        let limit = Limit::new(1, 1_000).unwrap();
        for packed in [WindowState::unpack(0), WindowState::unpack_word(0, 1_000_000)] {
            assert_eq!(packed.at(limit, Millis(5_500)), (WindowState { window: 5, ..WindowState::default() }, 500));
        }
    }

    proptest! {
        #[test]
        fn packing_loses_nothing(
            window in -(1_i64 << 39)..(1 << 39),
            current in 0..=WindowState::PACKED_MAX,
            previous in 0..=WindowState::PACKED_MAX,
        ) {
            let state = WindowState { window, current, previous };
            prop_assert_eq!(WindowState::unpack(state.pack().unwrap()), state);
        }

        #[test]
        fn a_word_is_read_back_near_its_window(
            near: i64,
            ahead in -32_768_i64..32_768,
            current in 0..=WindowState::WORD_MAX,
            previous in 0..=WindowState::WORD_MAX,
        ) {
            prop_assume!(near.checked_add(ahead).is_some());
            let state = WindowState { window: near + ahead, current, previous };
            prop_assert_eq!(WindowState::unpack_word(state.pack_word().unwrap(), near), state);
        }
    }
}
