//! Running balances of credits: exact, in memory, and on a standalone server on the disk too.
//!
//! ```text
//! verify path -> table (balances behind locks) -> queue -> one thread -> credits.redb
//!                spends what the disk gave up     ahead    one flush for all
//! ```
//! A balance outlives its key's record: changes of the index lose nothing. It is set anew when its owner writes another opening, filled
//! up by the calendar, and forgotten a day after the last key that it belongs to is gone ([`Balances::gone`]).
//!
//! **What a crash costs.** The disk gives credits up in blocks before memory spends them (see `entry.rs`), so nothing is ever given twice.
//! After `kill -9` the owner has lost at most the blocks that were not used up: 3/32 of the balance or 6,144 credits, whichever is less,
//! at least 2, and the costs of the requests that were waiting. An orderly stop ([`Balances::close`]) loses nothing.
//!
//! **What waits.** Nothing waits for the disk while blocks are written ahead. The first spending after a start, after a new opening and
//! after a refill waits for one flush, and so does a key that spends blocks faster than the disk takes them: [`Outcome::NotYet`].

mod balance;
mod entry;
mod gone;
mod journal;
mod store;
mod table;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use keyplane_core::counter_id::CounterId;
use keyplane_core::credits::CreditsRecord;
use keyplane_core::time::Millis;
use tokio::sync::watch;

use self::balance::Balance;
use self::entry::{Attempt, Entry};
use self::gone::Gone;
use self::journal::Journal;
pub use self::store::JournalError;
use self::store::Store;
use self::table::{Shard, Table};

/// Balances held at once. One takes about 150 bytes, in a table that is at worst half empty 300: 4 million hold 1.2 GB, beside records
/// that take as much again and more. Beyond it keys that spend for the first time are refused, which errs on the strict side.
const MAX_BALANCES: usize = 4_000_000;

/// See the module.
pub struct Balances {
    table: Arc<Table>,
    journal: Option<Journal>,
    max_per_shard: usize,
    refused: AtomicU64,
    gone: Gone,
}

/// The answer to spending.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Spent; this is left.
    Spent {
        /// Credits.
        remaining: u64,
    },
    /// Not enough: nothing was spent.
    Insufficient {
        /// What is still there.
        remaining: u64,
    },
    /// Nothing was spent yet: the disk must give up more of the balance first. Wait and ask again.
    NotYet(Wait),
}

/// The next flush of the journal.
#[derive(Clone, Debug)]
pub struct Wait(watch::Receiver<u64>);

impl Wait {
    /// Returns after the flush; usually milliseconds. A disk that can't be written lets it wait for ever, so bound it.
    pub async fn flushed(mut self) {
        if self.0.changed().await.is_err() {
            // The balances are being dropped, and with them whatever could answer.
            std::future::pending::<()>().await;
        }
    }
}

/// What is held, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Balances in memory.
    pub balances: usize,
    /// Spendings refused because no new balance could be held.
    pub refused: u64,
}

impl Balances {
    /// Balances of this process alone, which begin at their openings again when it is restarted. Pods of a cluster use it until they
    /// share balances: each of them then gives out the whole opening.
    pub fn in_memory() -> Self {
        Self {
            table: Arc::default(),
            journal: None,
            max_per_shard: Table::share(MAX_BALANCES),
            refused: AtomicU64::new(0),
            gone: Gone::default(),
        }
    }

    /// Balances that are kept in this directory. Reads all of them: about a microsecond each.
    ///
    /// # Errors
    /// When the file can't be opened or read.
    pub fn open(directory: &Path) -> Result<Self, JournalError> {
        let (store, mut balances) = (Store::open(directory)?, Self::in_memory());
        let table = &balances.table;
        let read = store.read(|counter, balance| {
            let entry = Entry::new(counter, balance, table.next_version(), Some(balance.left));
            table.shard(counter).insert(entry);
        });
        read.map_err(|error| JournalError::Open(directory.display().to_string(), Box::new(error)))?;
        balances.journal = Some(Journal::start(store, balances.table.clone())?);
        Ok(balances)
    }

    /// Spends `cost` of a key's balance, all of it or nothing. A cost of 0 is always spent, also of an empty balance, and changes nothing.
    /// Cost: a lock and a search, some 100 ns; never a wait for the disk.
    pub fn spend(&self, credits: &CreditsRecord, cost: u64, now: Millis) -> Outcome {
        if cost == 0 {
            return Outcome::Spent { remaining: self.peek(credits, now) };
        }
        let mut shard = self.table.shard(credits.counter);
        let Some(entry) = self.settled(&mut shard, credits, now) else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Outcome::Insufficient { remaining: 0 };
        };
        let attempt = entry.spend(cost);
        let row = entry.reservation(attempt, cost);
        if let (Some(journal), Some(row)) = (&self.journal, row) {
            journal.put(credits.counter, Some(row));
        }
        match (attempt, &self.journal) {
            (Attempt::Spent(remaining), _) => Outcome::Spent { remaining },
            (Attempt::TooLow, Some(journal)) => Outcome::NotYet(Wait(journal.flushes())),
            (Attempt::Insufficient(remaining), _) => Outcome::Insufficient { remaining },
            // Without a journal the floor is 0.
            (Attempt::TooLow, None) => Outcome::Insufficient { remaining: entry.balance.left },
        }
    }

    /// The balance as it stands, with what the calendar has brought. Changes nothing.
    pub fn peek(&self, credits: &CreditsRecord, now: Millis) -> u64 {
        let held = self.table.shard(credits.counter).get(credits.counter).map(|entry| entry.balance);
        let mut balance = held.unwrap_or_else(|| Balance::first(credits, now));
        balance.settle(credits, now);
        balance.left
    }

    /// The last keys of these balances are gone. They are kept for a day, and go on if a key of theirs returns; [`Balances::forget_gone`] forgets
    /// them then.
    pub fn gone(&self, counters: impl Iterator<Item = CounterId>, now: Millis) {
        self.gone.mark(counters, now);
    }

    /// All balances that are held are of keys that are gone, unless [`Balances::there`] says otherwise: the first word of whoever knows the keys,
    /// about balances that were read from the disk.
    pub fn all_gone(&self, now: Millis) {
        for mut shard in self.table.shards() {
            let counters: Vec<CounterId> = shard.entries().map(|entry| entry.counter).collect();
            // Not under both locks: forgetting takes them the other way round.
            drop(shard);
            self.gone.mark(counters.into_iter(), now);
        }
    }

    /// These balances have a key.
    pub fn there(&self, counters: impl Iterator<Item = CounterId>) {
        self.gone.unmark(counters);
    }

    /// Forgets balances whose keys were gone for a day, in memory and on the disk. Cost: a walk over those that are gone.
    pub fn forget_gone(&self, now: Millis) {
        self.gone.forget(now, |counter| self.forget(counter));
    }

    fn forget(&self, counter: CounterId) {
        let mut shard = self.table.shard(counter);
        if shard.remove(counter)
            && let Some(journal) = &self.journal
        {
            journal.put(counter, None);
        }
    }

    /// What is held now. Cost: takes each lock once.
    pub fn held(&self) -> Held {
        Held {
            balances: self.table.shards().map(|shard| shard.len()).sum(),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// Writes every balance as it is and ends the journal; after it nothing can be spent. Blocks for a flush. Without a journal, and the
    /// second time, nothing happens.
    ///
    /// # Errors
    /// When the disk can't be written: then a restart finds what it would find after a crash.
    pub fn close(&self) -> Result<(), JournalError> {
        let Some(journal) = &self.journal else { return Ok(()) };
        for mut shard in self.table.shards() {
            for entry in shard.entries() {
                if let Some(row) = entry.exact(|| self.table.next_version()) {
                    journal.put(entry.counter, Some(row));
                }
            }
        }
        journal.close()
    }

    /// The entry of a key, up to date; `None` when it would be new and there is no room.
    fn settled<'a>(&self, shard: &'a mut Shard, credits: &CreditsRecord, now: Millis) -> Option<&'a mut Entry> {
        let counter = credits.counter;
        // What a new version may spend: nothing before the disk has it, everything where there is none.
        let floor = if self.journal.is_some() { None } else { Some(0) };
        if shard.get(counter).is_none() {
            if shard.len() >= self.max_per_shard {
                return None;
            }
            shard.insert(Entry::new(counter, Balance::first(credits, now), self.table.next_version(), floor));
        }
        let entry = shard.get_mut(counter)?;
        entry.settle(credits, now, floor, || self.table.next_version());
        Some(entry)
    }
}

#[cfg(test)]
mod tests;
