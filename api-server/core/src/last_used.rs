//! When a key was last used, to the minute: four bytes a key, and a write a minute at most.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::time::Millis;

/// Milliseconds of one step.
const GRANULE_MS: i64 = 60_000;

/// The minute in which a key was last used.
///
/// **Shape**: minutes since 1970 in 32 bits, enough for 8,000 years; 0 is never. Threads write it without a lock. **Cost**: a load; a
/// store only in the first use of each minute, so that the line of a hot key stays shared between the cores.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct LastUsed(AtomicU32);

impl LastUsed {
    /// Notes a use. A clock that went back writes nothing: the latest use is what counts.
    pub fn touch(&self, now: Millis) {
        let minute = minute_of(now);
        // Two threads at the turn of a minute may both store it: the same value, unless one of them is a minute late.
        if minute > self.0.load(Ordering::Relaxed) {
            self.0.store(minute, Ordering::Relaxed);
        }
    }

    /// The beginning of the minute of the last use; `None` when there was none that anyone here saw.
    pub fn get(&self) -> Option<Millis> {
        let minute = self.0.load(Ordering::Relaxed);
        (minute != 0).then(|| Millis(i64::from(minute) * GRANULE_MS))
    }

    /// Takes over what a former record of the key knows. A use of the former record that ends later is lost to the new one until the next.
    pub fn carry(&self, from: &Self) {
        self.0.fetch_max(from.0.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Clone for LastUsed {
    fn clone(&self) -> Self {
        Self(AtomicU32::new(self.0.load(Ordering::Relaxed)))
    }
}

/// Always equal: when a key was used is not what it is, and a record that differs in nothing else is no change.
impl PartialEq for LastUsed {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

fn minute_of(now: Millis) -> u32 {
    u32::try_from(now.0.div_euclid(GRANULE_MS).max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_minute_of_the_latest_use() {
        let used = LastUsed::default();
        assert_eq!(used.get(), None);
        used.touch(Millis(119_999));
        assert_eq!(used.get(), Some(Millis(60_000)));
        used.touch(Millis(60_000));
        used.touch(Millis(-1));
        assert_eq!(used.get(), Some(Millis(60_000)), "a clock that went back");
        used.touch(Millis(1_795_000_000_000));
        assert_eq!(used.get(), Some(Millis(1_794_999_960_000)));
    }

    #[test]
    fn what_a_former_record_knew_is_carried_and_nothing_newer_is_lost() {
        let (old, new) = (LastUsed::default(), LastUsed::default());
        old.touch(Millis(600_000));
        new.carry(&old);
        assert_eq!(new.get(), old.get());
        new.touch(Millis(1_200_000));
        new.carry(&old);
        assert_eq!(new.clone().get(), Some(Millis(1_200_000)));
    }

    #[test]
    fn it_takes_four_bytes() {
        assert_eq!(size_of::<LastUsed>(), 4);
    }
}
