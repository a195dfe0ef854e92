//! The balances on the disk: one file in the data directory (redb), one row a key.

use std::collections::BTreeMap;
use std::path::Path;

use keyplane_core::counter_id::CounterId;
use keyplane_core::credits::{Interval, Opening};
use keyplane_core::time::Millis;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::balance::Balance;
use super::entry::Row;

/// Counter to (left, opening, marker, considered, refills: 0 none, 1 to 31 that day of the month, 255 daily). The number in the name is
/// that of this layout.
const BALANCES: TableDefinition<[u8; 16], Columns> = TableDefinition::new("balances 1");
type Columns = (u64, u64, Option<i64>, i64, u8);
const NO_REFILL: u8 = 0;
const DAILY: u8 = 255;

/// Bytes of the file kept in memory: the inner pages of the tree. Rows are read once, at the start.
const CACHE: usize = 8 * 1024 * 1024;

/// Rows to write; `None` deletes. The latest of each counter, so there are never more than counters.
pub(super) type Rows = BTreeMap<CounterId, Option<Row>>;

/// The journal of credits can't be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The directory can't be made.
    #[error("failed to create the data directory `{0}`")]
    Directory(String, #[source] std::io::Error),
    /// Another process has the file.
    #[error("the journal of credits `{0}` is in use by another process; stop it or choose another --data-dir")]
    InUse(String),
    /// The file can't be read.
    #[error("failed to open the journal of credits `{0}`")]
    Open(String, #[source] Box<redb::Error>),
    /// The file can't be written.
    #[error("failed to write the journal of credits; free space on the disk of --data-dir, or restart if it stays so")]
    Write(#[source] Box<redb::Error>),
    /// The thread that writes could not be started, or is gone.
    #[error("the thread that writes the journal of credits {0}")]
    Thread(String),
}

/// See the module.
pub(super) struct Store(Database);

impl Store {
    pub(super) fn open(directory: &Path) -> Result<Self, JournalError> {
        let path = directory.join("credits.redb");
        let shown = path.display().to_string();
        std::fs::create_dir_all(directory)
            .map_err(|error| JournalError::Directory(directory.display().to_string(), error))?;
        match Database::builder().set_cache_size(CACHE).create(&path) {
            Ok(database) => Ok(Self(database)),
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => Err(JournalError::InUse(shown)),
            Err(error) => Err(JournalError::Open(shown, Box::new(error.into()))),
        }
    }

    /// Hands every balance to `each`.
    pub(super) fn read(&self, mut each: impl FnMut(CounterId, Balance)) -> Result<(), redb::Error> {
        let transaction = self.0.begin_read()?;
        let table = match transaction.open_table(BALANCES) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
            other => other?,
        };
        for row in table.iter()? {
            let (counter, row) = row?;
            let (left, remaining, set_at, considered, refills) = row.value();
            let interval = match refills {
                NO_REFILL => None,
                DAILY => Some(Interval::Daily),
                day => Some(Interval::Monthly(day)),
            };
            let balance = Balance {
                left,
                opening: Opening { remaining, set_at: set_at.map(Millis) },
                considered: Millis(considered),
                interval,
                generation: 0,
                since: Millis(0),
            };
            each(CounterId::from_bytes(counter.value()), balance);
        }
        Ok(())
    }

    /// Writes all rows or none. When this returns they are on the disk.
    pub(super) fn write(&self, rows: &Rows) -> Result<(), redb::Error> {
        let transaction = self.0.begin_write()?;
        let mut table = transaction.open_table(BALANCES)?;
        for (counter, row) in rows {
            match row {
                Some(Row { balance, .. }) => {
                    let refills = match balance.interval {
                        None => NO_REFILL,
                        Some(Interval::Daily) => DAILY,
                        Some(Interval::Monthly(day)) => day,
                    };
                    let opening = balance.opening;
                    let set_at = opening.set_at.map(|marker| marker.0);
                    let row = (balance.left, opening.remaining, set_at, balance.considered.0, refills);
                    table.insert(counter.as_bytes(), row)?;
                }
                None => drop(table.remove(counter.as_bytes())?),
            }
        }
        drop(table);
        Ok(transaction.commit()?)
    }
}
