//! Writing behind the feed: one thread and one transaction, which takes changes as they come and is committed when the feed says so. What
//! waits to be written is bounded by the feed's side of the queue; what is written and not committed lies in the file, not in memory.

use std::sync::Arc;

use keyplane_core::time::Millis;
use redb::WriteTransaction;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::changes::Changes;
use super::format::{FORMAT, Head, SourceHead};
use super::status::Status;
use super::store::{self, Store, Totals};

/// What the feed tells the thread.
pub(super) enum Message {
    /// Something changed. The permit is for its bytes.
    Changes(Changes, OwnedSemaphorePermit),
    /// Everything is going to be listed: rows that are there are forgotten.
    StartOver,
    /// What was told up to now is what the registry held at this time.
    Commit(Millis, Vec<SourceHead>),
    /// The end. Answered when all that came before is done.
    Close(oneshot::Sender<()>),
}

pub(super) struct Writer {
    /// Dropped before the file: a transaction that outlives it keeps it locked.
    open: Option<WriteTransaction>,
    store: Store,
    status: Arc<Status>,
    /// With what the open transaction wrote.
    totals: Totals,
    committed: Totals,
    as_of: Option<Millis>,
    /// Whether the open transaction changed a row.
    changed: bool,
    abandoned: bool,
}

impl Writer {
    /// With what the file holds; [`Head`] `None`: nothing of use, and [`Message::StartOver`] comes first.
    pub(super) fn new(store: Store, status: Arc<Status>, head: Option<&Head>) -> Self {
        let totals = head.map_or(Totals::default(), |head| Totals { objects: head.objects, sum: head.sum });
        let as_of = head.map(|head| Millis(head.as_of));
        Self { store, status, open: None, totals, committed: totals, as_of, changed: false, abandoned: head.is_none() }
    }

    /// The thread: until [`Message::Close`], or until nobody can say anything any more.
    pub(super) fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        while let Some(message) = messages.blocking_recv() {
            let done = match message {
                Message::Close(done) => {
                    drop(self);
                    // Nobody waiting is not an error.
                    let _ = done.send(());
                    return;
                }
                Message::StartOver => self.start_over(),
                Message::Changes(changes, room) => {
                    let done = self.apply(&changes);
                    drop(room);
                    done
                }
                Message::Commit(as_of, sources) => self.commit(as_of, sources),
            };
            if let Err(error) = done {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    file = %self.store.file().display(),
                    "the snapshot can't be written and grows old; free space on its volume"
                );
                self.status.failed(&error.to_string());
                self.status.abandoned();
                self.abandon();
            }
        }
    }

    /// Something is missing: what was not committed is forgotten, and what follows too.
    fn abandon(&mut self) {
        // Dropped, a transaction is undone.
        self.open = None;
        (self.totals, self.changed, self.abandoned) = (self.committed, false, true);
    }

    fn start_over(&mut self) -> Result<(), redb::Error> {
        self.open = None;
        self.abandoned = false;
        let transaction = self.store.begin()?;
        store::clear(&transaction, &mut self.totals)?;
        (self.open, self.changed) = (Some(transaction), true);
        Ok(())
    }

    fn apply(&mut self, changes: &Changes) -> Result<(), redb::Error> {
        if self.abandoned {
            return Ok(());
        }
        let transaction = match self.open.take() {
            Some(transaction) => transaction,
            None => self.store.begin()?,
        };
        self.changed |= store::apply(&transaction, changes, &mut self.totals)?;
        self.open = Some(transaction);
        Ok(())
    }

    fn commit(&mut self, as_of: Millis, sources: Vec<SourceHead>) -> Result<(), redb::Error> {
        // A time that went back is a clock that was set; the rows are as old as it says now.
        if self.abandoned || (!self.changed && self.as_of == Some(as_of)) {
            return Ok(());
        }
        let transaction = match self.open.take() {
            Some(transaction) => transaction,
            None => self.store.begin()?,
        };
        let head = Head {
            format: FORMAT,
            written_by: env!("CARGO_PKG_VERSION").to_owned(),
            as_of: as_of.0,
            objects: self.totals.objects,
            sum: self.totals.sum,
            sources,
        };
        store::commit(transaction, &head)?;
        (self.committed, self.as_of, self.changed) = (self.totals, Some(as_of), false);
        self.status.committed(as_of, self.totals.objects, self.store.bytes());
        Ok(())
    }
}
