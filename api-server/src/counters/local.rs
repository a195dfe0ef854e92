//! Counters of this process alone: exact, in memory, bounded.
//!
//! ```text
//! CounterId -> shard (of 256), each a table behind a lock
//! ```
//! A batch locks the shards of its counters in ascending order, decides, writes and unlocks. No one ever sees half a batch, so the outcome
//! is that of the sequential oracle; locks are held for well under a microsecond and never across a wait. Threads meet only where
//! their counters share a shard.

mod hottest;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use keyplane_core::counter_id::CounterId;
use keyplane_core::limit::{Batch, CounterState, Decision, Item};
use keyplane_core::time::Millis;
use smallvec::SmallVec;

pub use self::hottest::Hot;
use super::account::{Account, Keys, MAX_PER_KEY, Namespaces, Refusal};
use super::{Counters, NeedsLease};

const SHARDS: usize = 256;
/// Counters held at once. An entry takes 65 bytes and a table is 44 to 88 % full: 4 million of them hold 300 to 600 MB, what a flood of
/// made-up identifiers can take at the most. Beyond it new counters are refused, which errs on the strict side; known ones go on.
/// [Accounts](super::account) end at their shares before.
const MAX_COUNTERS: usize = 4_000_000;
/// A counter is kept this long after its time is over, in milliseconds: a clock that is set back by less admits nothing twice.
const KEEP_MS: i64 = 60_000;
/// A shard without room is searched for what is over no more often than this, in milliseconds: a search costs some 50 µs, and a flood
/// would make one for each request.
const SEARCH_EVERY_MS: u64 = 1_000;

/// See the module.
pub struct Local {
    shards: Box<[Mutex<Shard>]>,
    max_per_shard: usize,
    keys: Keys,
    refused: [AtomicU64; 3],
    forgotten: AtomicU64,
}

/// What the counters hold, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Counters with a running count.
    pub counters: usize,
    /// Bytes of the tables that hold them, empty places included.
    pub bytes: usize,
    /// Requests refused because no new counter could be held.
    pub refused: Refused,
    /// Counters forgotten because their time was over.
    pub forgotten: u64,
}

/// Requests refused, by what had no room for another counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// The whole table.
    pub full: u64,
    /// The namespace's share.
    pub namespace: u64,
    /// The key's.
    pub key: u64,
}

struct Shard {
    table: Table,
    namespaces: Namespaces,
    searched: Option<Millis>,
}

type Table = HashMap<CounterId, Counter, BuildHasherDefault<Uniform>>;

struct Counter {
    state: CounterState,
    /// From when on the state changes no decision.
    forget_at: Millis,
    account: Account,
}

impl Default for Local {
    fn default() -> Self {
        Self::with_capacity(MAX_COUNTERS)
    }
}

impl Local {
    /// Holds at most so many counters, in whole hundreds; the usual number is that of [`Self::default`].
    pub fn with_capacity(counters: usize) -> Self {
        Self::with_capacities(counters, MAX_PER_KEY)
    }

    fn with_capacities(counters: usize, per_key: u32) -> Self {
        let shard = || Shard { table: Table::default(), namespaces: Namespaces::default(), searched: None };
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(),
            max_per_shard: counters.div_ceil(SHARDS),
            keys: Keys::new(per_key),
            refused: Default::default(),
            forgotten: AtomicU64::new(0),
        }
    }

    /// What is held now. Cost: takes each lock once.
    pub fn held(&self) -> Held {
        let [full, namespace, key] = self.refused.each_ref().map(|count| count.load(Ordering::Relaxed));
        let mut held = Held {
            refused: Refused { full, namespace, key },
            forgotten: self.forgotten.load(Ordering::Relaxed),
            ..Held::default()
        };
        for shard in &self.shards {
            let shard = lock(shard);
            held.counters += shard.table.len();
            // One byte of the table's own beside each place.
            held.bytes += shard.table.capacity() * (size_of::<(CounterId, Counter)>() + 1);
        }
        held
    }

    /// Forgets counters whose time is over, in one shard of those that `round` counts through: a bounded piece of work, so that no
    /// request waits long for the lock.
    pub fn sweep(&self, round: usize, now: Millis) {
        if let Some(shard) = self.shards.get(round % SHARDS) {
            self.forget_expired(&mut lock(shard), now);
        }
    }

    fn forget_expired(&self, shard: &mut Shard, now: Millis) {
        let Shard { table, namespaces, searched } = shard;
        *searched = Some(now);
        let before = table.len();
        table.retain(|_, counter| {
            let keep = counter.forget_at.plus(KEEP_MS) > now;
            if !keep {
                namespaces.forgotten(counter.account.namespace);
                counter.account.key.iter().for_each(|key| self.keys.forgotten(*key));
            }
            keep
        });
        // A shard that a flood has blown up gives its memory back.
        if table.len() < table.capacity() / 4 {
            table.shrink_to_fit();
        }
        self.forgotten.fetch_add((before - table.len()) as u64, Ordering::Relaxed);
    }
}

impl Counters for Local {
    fn evaluate(&self, account: Account, items: &[Item], now: Millis) -> Result<Batch, NeedsLease> {
        let mut locked = Locked::new(&self.shards, items);
        // What each counter will hold if everything passes: worked out once, before anything is written.
        let mut judged: Few<Judged> =
            items.iter().map(|item| locked.judge(item, total_cost(items, item), now)).collect();
        let mut passed = judged.iter().all(|judged| judged.decision.allowed);
        if let Some(refusal) = passed.then(|| self.no_room(&mut locked, account, items, &judged, now)).flatten() {
            self.refused[refusal as usize].fetch_add(1, Ordering::Relaxed);
            for (item, judged) in items.iter().zip(&mut judged) {
                judged.decision =
                    Decision { allowed: false, remaining: 0, reset: now.plus(item.rule.limit.window_ms()) };
            }
            passed = false;
        } else if passed {
            self.count(&mut locked, account, items, &judged);
        } else {
            for (item, judged) in items.iter().zip(&mut judged).filter(|(_, judged)| judged.decision.allowed) {
                // The batch's cost is given back.
                judged.decision = locked.judge(item, 0, now).decision;
            }
        }
        Ok(Batch { passed, items: judged.iter().map(|judged| judged.decision).collect() })
    }
}

/// An item with the whole batch on its counter.
struct Judged {
    total: u64,
    /// Whether the counter exists.
    known: bool,
    /// What it holds then.
    state: CounterState,
    decision: Decision,
}

/// A list of which the usual length takes no allocation: few keys have more than four limits.
type Few<T> = SmallVec<[T; 4]>;

impl Local {
    /// Why a counter that the batch would begin can't be held, if one can't.
    fn no_room(
        &self,
        locked: &mut Locked<'_>,
        account: Account,
        items: &[Item],
        judged: &[Judged],
        now: Millis,
    ) -> Option<Refusal> {
        let begin = items.iter().zip(judged).filter(|(item, judged)| item.cost > 0 && !judged.known);
        begin.map(|(item, _)| item).find_map(|item| {
            let shard = locked.shard(item.counter);
            let refusal = self.refusal(shard, account)?;
            if shard.searched.is_some_and(|searched| searched.0.abs_diff(now.0) < SEARCH_EVERY_MS) {
                return Some(refusal);
            }
            self.forget_expired(shard, now);
            self.refusal(shard, account)
        })
    }

    fn refusal(&self, shard: &Shard, account: Account) -> Option<Refusal> {
        let free = self.max_per_shard.saturating_sub(shard.table.len());
        if free == 0 {
            Some(Refusal::Full)
        } else if !shard.namespaces.has_room(account.namespace, free) {
            Some(Refusal::Namespace)
        } else if account.key.is_some_and(|key| !self.keys.has_room(key)) {
            Some(Refusal::Key)
        } else {
            None
        }
    }

    /// Counts the whole batch. Each item leaves its counter with the batch's total on it; where two items share a counter the last one's
    /// rule gives the form.
    fn count(&self, locked: &mut Locked<'_>, account: Account, items: &[Item], judged: &[Judged]) {
        for (item, Judged { total, state, .. }) in items.iter().zip(judged) {
            if *total == 0 {
                continue;
            }
            let (state, forget_at) = (*state, state.forgettable_from(&item.rule));
            let Shard { table, namespaces, .. } = locked.shard(item.counter);
            match table.entry(item.counter) {
                Entry::Occupied(mut place) => {
                    let counter = place.get_mut();
                    counter.state = state;
                    // A shorter window would forget what a longer one still needs.
                    counter.forget_at = counter.forget_at.max(forget_at);
                }
                Entry::Vacant(place) => {
                    place.insert(Counter { state, forget_at, account });
                    namespaces.begun(account.namespace);
                    account.key.iter().for_each(|key| self.keys.begun(*key));
                }
            }
        }
    }
}

/// The shards of one batch, locked in ascending order: two batches can't wait for each other in a circle.
struct Locked<'a>(Few<(usize, MutexGuard<'a, Shard>)>);

impl<'a> Locked<'a> {
    fn new(shards: &'a [Mutex<Shard>], items: &[Item]) -> Self {
        let mut numbers: Few<usize> = items.iter().map(|item| shard_of(item.counter)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        Self(numbers.into_iter().map(|number| (number, lock(&shards[number]))).collect())
    }

    fn shard(&mut self, counter: CounterId) -> &mut Shard {
        let number = shard_of(counter);
        let at = self.0.iter().position(|(locked, _)| *locked == number).unwrap_or_default();
        &mut self.0[at].1
    }

    /// The item, with this cost on its counter.
    fn judge(&mut self, item: &Item, total: u64, now: Millis) -> Judged {
        let counter = self.shard(item.counter).table.get(&item.counter).map(|counter| counter.state);
        let (state, decision) = counter.unwrap_or_default().decide(&item.rule, total, now);
        Judged { total, known: counter.is_some(), state, decision }
    }
}

/// What the whole batch costs on the counter of this item.
fn total_cost(items: &[Item], item: &Item) -> u64 {
    let same = items.iter().filter(|other| other.counter == item.counter);
    same.fold(0, |total, other| total.saturating_add(other.cost))
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
