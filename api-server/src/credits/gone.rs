//! Balances whose keys are gone, until they are forgotten.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use keyplane_core::counter_id::CounterId;
use keyplane_core::time::Millis;

/// A balance is kept for a day after its key is gone, in milliseconds. A key of the same id that returns in that time (a manifest that was
/// moved, an object restored) goes on with what was left and is not given its opening again; requests that still hold the key's record
/// are long over.
const KEPT_MS: i64 = 86_400_000;
/// Keys remembered as gone. 24 bytes each, in a table that is at worst half empty 50: 200 MB. Of more than that in a day the balances stay
/// until the next start, which errs on the side of not giving twice.
const MOST: usize = 4_000_000;

/// See the module.
#[derive(Default)]
pub(super) struct Gone(Mutex<HashMap<CounterId, Millis>>);

impl Gone {
    pub(super) fn mark(&self, counters: impl Iterator<Item = CounterId>, now: Millis) {
        let mut marks = self.marks();
        for counter in counters {
            if marks.len() < MOST {
                marks.entry(counter).or_insert(now);
            }
        }
    }

    pub(super) fn unmark(&self, counters: impl Iterator<Item = CounterId>) {
        let mut marks = self.marks();
        for counter in counters {
            marks.remove(&counter);
        }
    }

    /// Hands those to `forget` that were gone for long enough. No key of them can return meanwhile: its mark is taken under the same lock.
    pub(super) fn forget(&self, now: Millis, mut forget: impl FnMut(CounterId)) {
        self.marks().retain(|counter, since| {
            // A clock that went back keeps them longer.
            let stays = now < since.plus(KEPT_MS);
            if !stays {
                forget(*counter);
            }
            stays
        });
    }

    fn marks(&self) -> MutexGuard<'_, HashMap<CounterId, Millis>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
