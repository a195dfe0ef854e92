//! Counters of this process alone: exact, in memory, bounded.
//!
//! ```text
//! CounterId -> shard (of 256), each a table behind a lock
//! ```
//! A batch locks the shards of its counters in ascending order, decides, writes and unlocks. No one ever sees half a batch, so the outcome
//! is that of the sequential oracle; locks are held for well under a microsecond and never across a wait. Threads meet only where
//! their counters share a shard.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use keyplane_core::counter_id::CounterId;
use keyplane_core::limit::{Batch, CounterState, Decision, Item};
use keyplane_core::time::Millis;

use super::{Counters, NeedsLease};

const SHARDS: usize = 256;
/// Counters held at once. An entry takes about 100 bytes of table, so 4 million of them hold 400 MB: what a flood of made-up identifiers
/// can take at the most. Beyond it new counters are refused, which errs on the strict side; known ones go on.
const MAX_COUNTERS: usize = 4_000_000;
/// A counter is kept this long after its time is over, in milliseconds: a clock that is set back by less admits nothing twice.
const KEEP_MS: i64 = 60_000;

/// See the module.
pub struct Local {
    shards: Box<[Mutex<Shard>]>,
    max_per_shard: usize,
    refused: AtomicU64,
    forgotten: AtomicU64,
}

/// What the counters hold, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Counters with a running count.
    pub counters: usize,
    /// Requests refused because no new counter could be held.
    pub refused: u64,
    /// Counters forgotten because their time was over.
    pub forgotten: u64,
}

type Shard = HashMap<CounterId, Counter, BuildHasherDefault<Uniform>>;

struct Counter {
    state: CounterState,
    /// From when on the state changes no decision.
    forget_at: Millis,
}

impl Default for Local {
    fn default() -> Self {
        Self::with_capacity(MAX_COUNTERS)
    }
}

impl Local {
    fn with_capacity(counters: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            max_per_shard: counters.div_ceil(SHARDS),
            refused: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
        }
    }

    /// What is held now. Cost: takes each lock once.
    pub fn held(&self) -> Held {
        Held {
            counters: self.shards.iter().map(|shard| lock(shard).len()).sum(),
            refused: self.refused.load(Ordering::Relaxed),
            forgotten: self.forgotten.load(Ordering::Relaxed),
        }
    }

    /// Forgets counters whose time is over, in one shard of those that `round` counts through: a bounded piece of work, so that no
    /// request waits long for the lock.
    pub fn sweep(&self, round: usize, now: Millis) {
        if let Some(shard) = self.shards.get(round % SHARDS) {
            self.forget_expired(&mut lock(shard), now);
        }
    }

    fn forget_expired(&self, shard: &mut Shard, now: Millis) {
        let before = shard.len();
        shard.retain(|_, counter| counter.forget_at.plus(KEEP_MS) > now);
        // A shard that a flood has blown up gives its memory back.
        if shard.len() < shard.capacity() / 4 {
            shard.shrink_to_fit();
        }
        self.forgotten.fetch_add((before - shard.len()) as u64, Ordering::Relaxed);
    }
}

impl Counters for Local {
    fn evaluate(&self, items: &[Item], now: Millis) -> Result<Batch, NeedsLease> {
        let mut locked = Locked::new(&self.shards, items);
        let mut decisions = Vec::with_capacity(items.len());
        let mut passed = true;
        for item in items {
            let decision = locked.decide(item, total_cost(items, item.counter), now).1;
            passed &= decision.allowed;
            decisions.push(decision);
        }
        if passed && !self.make_room(&mut locked, items, now) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let refused =
                |item: &Item| Decision { allowed: false, remaining: 0, reset: now.plus(item.rule.limit.window_ms()) };
            return Ok(Batch { passed: false, items: items.iter().map(refused).collect() });
        }
        if passed {
            locked.count(items, now);
        } else {
            for (item, decision) in items.iter().zip(&mut decisions).filter(|(_, decision)| decision.allowed) {
                // The batch's cost is given back.
                *decision = locked.decide(item, 0, now).1;
            }
        }
        Ok(Batch { passed, items: decisions })
    }
}

impl Local {
    /// Whether every counter that the batch would begin can be held.
    fn make_room(&self, locked: &mut Locked<'_>, items: &[Item], now: Millis) -> bool {
        items.iter().filter(|item| item.cost > 0).all(|item| {
            let max = self.max_per_shard;
            let shard = locked.shard(item.counter);
            if shard.contains_key(&item.counter) || shard.len() < max {
                return true;
            }
            self.forget_expired(shard, now);
            shard.len() < max
        })
    }
}

/// The shards of one batch, locked in ascending order: two batches can't wait for each other in a circle.
struct Locked<'a>(Vec<(usize, MutexGuard<'a, Shard>)>);

impl<'a> Locked<'a> {
    fn new(shards: &'a [Mutex<Shard>], items: &[Item]) -> Self {
        let mut numbers: Vec<usize> = items.iter().map(|item| shard_of(item.counter)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        Self(numbers.into_iter().map(|number| (number, lock(&shards[number]))).collect())
    }

    fn shard(&mut self, counter: CounterId) -> &mut Shard {
        let number = shard_of(counter);
        let at = self.0.iter().position(|(locked, _)| *locked == number).unwrap_or_default();
        &mut self.0[at].1
    }

    fn decide(&mut self, item: &Item, cost: u64, now: Millis) -> (CounterState, Decision) {
        let state = self.shard(item.counter).get(&item.counter).map(|counter| counter.state).unwrap_or_default();
        state.decide(&item.rule, cost, now)
    }

    /// Counts the whole batch. Each item leaves its counter with the batch's total on it, so the states are worked out before any is
    /// written; where two items share a counter the last one's rule gives the form.
    fn count(&mut self, items: &[Item], now: Millis) {
        let states: Vec<CounterState> =
            items.iter().map(|item| self.decide(item, total_cost(items, item.counter), now).0).collect();
        for (item, state) in items.iter().zip(states) {
            if total_cost(items, item.counter) == 0 {
                continue;
            }
            let counter = Counter { state, forget_at: state.forgettable_from(&item.rule) };
            match self.shard(item.counter).entry(item.counter) {
                Entry::Occupied(mut place) => {
                    // A shorter window would forget what a longer one still needs.
                    let forget_at = counter.forget_at.max(place.get().forget_at);
                    place.insert(Counter { forget_at, ..counter });
                }
                Entry::Vacant(place) => drop(place.insert(counter)),
            }
        }
    }
}

/// What the whole batch costs on one counter.
fn total_cost(items: &[Item], counter: CounterId) -> u64 {
    items.iter().filter(|item| item.counter == counter).fold(0, |total, item| total.saturating_add(item.cost))
}

fn shard_of(counter: CounterId) -> usize {
    usize::from(counter.as_bytes()[15]) % SHARDS
}

/// A thread that panicked while it held the lock left a consistent table: states are written whole.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counter ids are uniform already: their first bytes are the hash.
#[derive(Default)]
struct Uniform(u64);

impl Hasher for Uniform {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }
}

#[cfg(test)]
mod tests;
