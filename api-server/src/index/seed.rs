//! A hash that differs in each process.

use std::hash::{BuildHasher, RandomState};

/// Spreads what is spread already (parts of SHA-256), so that nobody can prepare hashes that crowd one place: an imported key's hash is
/// chosen by whoever imports it.
pub(super) struct Seed {
    before: u64,
    /// Odd: multiplying by it loses nothing.
    factor: u64,
}

impl Default for Seed {
    fn default() -> Self {
        let random = || RandomState::new().hash_one(0_u8);
        Self { before: random(), factor: random() | 1 }
    }
}

impl Seed {
    /// Cost: two multiplications. One leaves patterns of the value in the hash.
    pub(super) fn mix(&self, value: u64) -> u64 {
        self.fold(self.fold(value ^ self.before) ^ self.before)
    }

    /// Both halves of the product: the upper depends on the lower bits of the value, and the other way round.
    fn fold(&self, value: u64) -> u64 {
        let product = u128::from(value) * u128::from(self.factor);
        let [low, high] =
            [product, product >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or_default());
        low ^ high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_spread_over_all_bits() {
        let seed = Seed { before: 0x243f_6a88_85a3_08d3, factor: 0x1319_8a2e_0370_7345 };
        for bit in 0..64 {
            // 4,096 random numbers are in 4,096 * (1 - 1 / e) = 2,589 places of 4,096.
            let mixed = (0..4096_u64).map(|value| seed.mix(value.rotate_left(bit)));
            let mut places: Vec<u64> = mixed.map(|mixed| mixed >> 52).collect();
            places.sort_unstable();
            places.dedup();
            assert!(places.len() > 2400, "{} places for bits from {bit}", places.len());
        }
    }
}
