//! The feed's side: what it gives the writer, and when.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use keyplane_core::time::Millis;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::format::SourceHead;
use super::writer::{Message, Writer};
use super::{Changes, Loaded, Status};
use crate::registry::Source;

/// Between two commits. What a killed pod did not write the next one hears from the registry, if that answers.
const COMMIT_EVERY: i64 = 30_000;
/// Bytes of changes that may wait for the disk. A listing of a million keys passes through, 500 MB of them.
const ROOM: usize = 32 * 1024 * 1024;
/// And in how many pieces.
const MESSAGES: usize = 1024;
/// How long the feed, and with it every change, may be held up by a disk, once.
const PATIENCE: Duration = Duration::from_secs(1);
/// Everything is listed again for the sake of the snapshot at the earliest after this time, and after twice that the next time.
const LIST_AGAIN_AFTER: i64 = 5 * 60_000;
const LIST_AGAIN_AFTER_MOST: i64 = 6 * 60 * 60_000;
/// What a disk may take for the last commit: a pod has 30 s to end, most of which is for requests under way.
const LAST_COMMIT: Duration = Duration::from_secs(3);

/// Whether the feed should list everything again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// No.
    None,
    /// Yes, and it has been told that it starts over.
    ListAgain,
}

/// See the module.
pub(crate) struct Recorder {
    messages: mpsc::Sender<Message>,
    room: Arc<Semaphore>,
    status: Arc<Status>,
    sources: usize,
    /// Sources that were not listed since the recorder started (over). While there is one, the rows mix two states.
    unlisted: HashSet<usize>,
    /// Changes were lost.
    lost: bool,
    committed_at: Option<Millis>,
    /// Since when the snapshot is given up.
    given_up_at: Option<Millis>,
    list_again_after: i64,
}

impl Recorder {
    /// Starts the writer. What was loaded is followed on; where nothing was, everything is written anew.
    pub(crate) fn start(loaded: Loaded, sources: &[Source]) -> std::io::Result<Self> {
        let Loaded { store, status, head } = loaded;
        let writer = Writer::new(store, status.clone(), head.as_ref());
        let (messages, received) = mpsc::channel(MESSAGES);
        let watched = status.clone();
        thread::Builder::new().name("snapshot".to_owned()).spawn(move || {
            if let Err(panic) = super::store::guarded(|| writer.run(received)) {
                tracing::error!(panic, "the snapshot is damaged and not written any more; the next start makes it anew");
                if let Err(error) = std::fs::remove_file(watched.file()) {
                    tracing::error!(%error, file = %watched.file().display(), "the damaged snapshot can't be removed; remove it");
                }
                watched.failed(&panic);
                watched.abandoned();
            }
        })?;
        let mut recorder = Self {
            messages,
            room: Arc::new(Semaphore::new(ROOM)),
            status,
            sources: sources.len(),
            unlisted: (0..sources.len()).collect(),
            lost: false,
            committed_at: None,
            given_up_at: None,
            list_again_after: LIST_AGAIN_AFTER,
        };
        if head.is_none() {
            recorder.start_over();
        }
        Ok(recorder)
    }

    fn start_over(&mut self) {
        self.unlisted = (0..self.sources).collect();
        self.status.starts_over();
        // It fails when the thread panicked, which it has said.
        let told = self.messages.try_send(Message::StartOver).is_ok();
        (self.lost, self.given_up_at) = (!told, None);
    }

    /// Takes what changed, and which sources were listed with that. Waits for room, within limits.
    pub(crate) async fn record(&mut self, changes: Changes, listed: &[usize]) {
        if !changes.is_empty() && !self.lost {
            let bytes = u32::try_from(changes.bytes().min(ROOM)).unwrap_or(u32::MAX);
            let (room, messages) = (self.room.clone(), &self.messages);
            let give = async move {
                let room = room.acquire_many_owned(bytes).await.ok()?;
                messages.send(Message::Changes(changes, room)).await.ok()
            };
            if !matches!(tokio::time::timeout(PATIENCE, give).await, Ok(Some(()))) {
                let file = self.status.file().display();
                tracing::error!(%file, "the disk does not keep up; the snapshot stays as it is until everything is listed again");
                // The writer needs not be told: without a commit nothing of its transaction counts.
                self.lost = true;
            }
        }
        for source in listed {
            self.unlisted.remove(source);
        }
    }

    /// Commits when it is time, or says that everything should be listed again. `known_until`: up to when the feed has heard everything.
    pub(crate) fn tick(&mut self, now: Millis, known_until: Option<Millis>, heads: impl FnOnce() -> Heads) -> Wish {
        if self.lost || self.status.facts().abandoned {
            let since = *self.given_up_at.get_or_insert(now);
            let is_idle = self.room.available_permits() == ROOM;
            if now.0.saturating_sub(since.0) < self.list_again_after || !is_idle {
                return Wish::None;
            }
            self.list_again_after = (self.list_again_after * 2).min(LIST_AGAIN_AFTER_MOST);
            self.start_over();
            if self.lost {
                return Wish::None;
            }
            tracing::info!("everything is listed again, to make the snapshot anew");
            return Wish::ListAgain;
        }
        let is_due = self.committed_at.is_none_or(|at| now.0.saturating_sub(at.0) >= COMMIT_EVERY || now < at);
        if is_due {
            self.commit(now, known_until, heads);
        }
        Wish::None
    }

    fn commit(&mut self, now: Millis, known_until: Option<Millis>, heads: impl FnOnce() -> Heads) {
        let commit = self.last(known_until, heads);
        // A full queue is tried again.
        if commit.is_some_and(|commit| self.messages.try_send(commit).is_ok()) {
            self.committed_at = Some(now);
        }
    }

    /// A commit of all that was told, if it is one state.
    fn last(&self, known_until: Option<Millis>, heads: impl FnOnce() -> Heads) -> Option<Message> {
        let as_of = known_until.filter(|_| self.unlisted.is_empty() && !self.lost)?;
        Some(Message::Commit(as_of, heads().0))
    }

    /// Commits for the last time and ends the writer; waits for it, within limits.
    pub(crate) async fn close(self, known_until: Option<Millis>, heads: impl FnOnce() -> Heads) {
        let (done, waiting) = oneshot::channel();
        let end = async {
            for message in self.last(known_until, heads).into_iter().chain([Message::Close(done)]) {
                self.messages.send(message).await.ok()?;
            }
            waiting.await.ok()
        };
        if tokio::time::timeout(LAST_COMMIT, end).await.is_err() {
            tracing::warn!("the disk is too slow for the last changes; the snapshot is of some moments ago");
        }
    }

    /// As if so much were waiting for the disk.
    #[cfg(test)]
    pub(crate) async fn take_all_room(&self) -> tokio::sync::OwnedSemaphorePermit {
        self.room.clone().acquire_many_owned(u32::try_from(ROOM).unwrap()).await.unwrap()
    }
}

/// What a commit says of its sources.
pub(crate) struct Heads(pub(super) Vec<SourceHead>);

/// Of sources with the newest revision of each.
pub(crate) fn heads<'a>(watches: impl Iterator<Item = (&'a Source, Option<u64>)>) -> Heads {
    Heads(watches.map(|(source, revision)| SourceHead::new(source, revision)).collect())
}
