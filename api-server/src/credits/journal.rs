//! Writing balances behind the verify path: one thread, one flush for all that has gathered while the last one was under way.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use keyplane_core::counter_id::CounterId;
use tokio::sync::watch;

use super::entry::Row;
use super::store::{JournalError, Rows, Store};
use super::table::Table;

/// A disk that can't be written is tried again after this time.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// See the module. Dropped without [`Journal::close`] it leaves what is queued unwritten, as a crash does.
pub(super) struct Journal {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<Result<(), JournalError>>>>,
}

struct Queue {
    pending: Mutex<Pending>,
    work: Condvar,
    /// Raised after each flush, when its rows are known in the table.
    flushes: watch::Sender<u64>,
}

#[derive(Default)]
struct Pending {
    rows: Rows,
    end: Option<End>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// What is queued is written first.
    Orderly,
    AtOnce,
}

impl Journal {
    /// Starts the thread, which tells `table` what the disk holds.
    pub(super) fn start(store: Store, table: Arc<Table>) -> Result<Self, JournalError> {
        let queue = Arc::new(Queue { pending: Mutex::default(), work: Condvar::new(), flushes: watch::Sender::new(0) });
        let writing = queue.clone();
        let thread = thread::Builder::new()
            .name("credits-journal".to_owned())
            .spawn(move || writing.write_all(&store, &table))
            .map_err(|error| JournalError::Thread(format!("can't be started: {error}")))?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)) })
    }

    /// Queues a row in place of an earlier one of the counter. Called with the counter's shard locked, so that rows of one counter come
    /// in order. Never waits for the disk.
    pub(super) fn put(&self, counter: CounterId, row: Option<Row>) {
        self.queue.pending().rows.insert(counter, row);
        self.queue.work.notify_one();
    }

    /// Sees every flush from now on. Taken with the counter's shard locked, it misses none that writes a row queued by then.
    pub(super) fn flushes(&self) -> watch::Receiver<u64> {
        self.queue.flushes.subscribe()
    }

    /// Writes what is queued and ends. Blocks for a flush.
    pub(super) fn close(&self) -> Result<(), JournalError> {
        self.end(End::Orderly)
    }

    fn end(&self, end: End) -> Result<(), JournalError> {
        self.queue.pending().end = Some(end);
        self.queue.work.notify_one();
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| Err(JournalError::Thread("panicked".to_owned())))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Err(error) = self.end(End::AtOnce) {
            tracing::error!(error = &error as &dyn std::error::Error, "the journal of credits did not end well");
        }
    }
}

impl Queue {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread.
    fn write_all(&self, store: &Store, table: &Table) -> Result<(), JournalError> {
        loop {
            let (rows, end) = self.next();
            if end == Some(End::AtOnce) || rows.is_empty() {
                return Ok(());
            }
            match store.write(&rows) {
                Ok(()) => {
                    announce(&rows, table);
                    self.flushes.send_modify(|flush| *flush += 1);
                }
                Err(error) => {
                    let error = JournalError::Write(Box::new(error));
                    if end.is_some() {
                        return Err(error);
                    }
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "verifications of keys with credits wait for the disk"
                    );
                    self.put_back(rows);
                }
            }
        }
    }

    /// Waits for rows or for the end. No rows: the end.
    fn next(&self) -> (Rows, Option<End>) {
        let mut pending = self.pending();
        while pending.rows.is_empty() && pending.end.is_none() {
            pending = self.work.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        (mem::take(&mut pending.rows), pending.end)
    }

    /// Keeps rows for the next attempt, unless later ones have come, and waits a while.
    fn put_back(&self, rows: Rows) {
        let mut pending = self.pending();
        for (counter, row) in rows {
            pending.rows.entry(counter).or_insert(row);
        }
        let ends = |pending: &mut Pending| pending.end.is_none();
        drop(self.work.wait_timeout_while(pending, RETRY_AFTER, ends));
    }
}

fn announce(rows: &Rows, table: &Table) {
    for (counter, row) in rows {
        let Some(row) = row else { continue };
        if let Some(entry) = table.shard(*counter).get_mut(*counter) {
            entry.written(row.version, row.balance.left);
        }
    }
}
