//! What a pod knows, on its volume: so that it starts and serves while the Kubernetes API is down.
//!
//! ```text
//! start: file -> events of a listing -> feed          (as if the registry had said so at the time of the snapshot)
//! then:  feed -> changes -> queue -> writer -> file   (one transaction, committed every 30 s and at the end)
//! ```
//!
//! A snapshot is one commit of the writer's: what the registry held at one time, with that time. It is committed only when the feed has
//! heard everything up to then, so it never mixes two states. The file holds hashes as the objects do, and no plain key.
//!
//! The feed does not wait for a disk: it gives changes away, waits at most a second (`recorder`) when 32 MiB of them are not written yet,
//! and then gives the snapshot up. What is on the disk stays as it was, with its true age, until everything was listed again.

mod changes;
mod format;
mod lean;
mod recorder;
mod status;
mod store;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use keyplane_core::time::Millis;
use tokio::sync::mpsc;

pub(crate) use self::changes::Changes;
use self::format::Head;
pub use self::format::Refusal;
pub(crate) use self::recorder::{Heads, Recorder, Wish, heads};
pub use self::status::{Facts, Status};
pub use self::store::OpenError;
use self::store::Store;
use crate::registry::{Event, Source};

/// Objects that are handed to the feed together, and how many such batches may wait for it: at 2 KiB an object 8 MiB.
const BATCH: usize = 1024;
const BATCHES: usize = 4;

/// A snapshot's file, opened and not read yet.
pub struct Snapshot {
    store: Store,
    status: Arc<Status>,
    /// The file was none, and has been made anew.
    replaced: Option<Refusal>,
}

/// What was in the file.
pub(crate) struct Loaded {
    store: Store,
    status: Arc<Status>,
    /// `None`: nothing of use.
    head: Option<Head>,
}

impl Snapshot {
    /// Opens the file in this directory, or makes both. Blocks; after a crash as long as it takes to read the file.
    ///
    /// # Errors
    /// When another process has it, or the disk gives none.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let (store, replaced) = Store::open(directory)?;
        let status = Arc::new(Status::new(store.file()));
        Ok(Self { store, status, replaced })
    }

    /// What is known of it, from now on.
    pub fn status(&self) -> Arc<Status> {
        self.status.clone()
    }

    /// Reads it as the listing of all these sources, and hands the events to `each`, batch by batch.
    ///
    /// # Errors
    /// When it can't be used. What `each` got until then must be forgotten: it may be anything.
    pub(crate) async fn load(
        self,
        sources: &[Source],
        now: Millis,
        mut each: impl FnMut(Vec<(usize, Event)>),
    ) -> (Loaded, Result<(), Refusal>) {
        let (sender, mut batches) = mpsc::channel(BATCHES);
        let sources = sources.to_vec();
        let reading = tokio::task::spawn_blocking(move || {
            let Self { store, status, replaced } = self;
            let read = match replaced {
                Some(refusal) => Err(refusal),
                None => store::guarded(|| read(&store, &sources, now, &sender))
                    .unwrap_or_else(|panic| Err(Refusal::Damaged(panic))),
            };
            let (head, result) = match read {
                Ok(head) => (head, Ok(())),
                Err(refusal) => (None, Err(refusal)),
            };
            match (&head, &result) {
                (Some(head), _) => status.loaded(Millis(head.as_of), head.objects, store.bytes()),
                (None, Err(refusal)) => status.refused(&refusal.to_string()),
                (None, Ok(())) => {}
            }
            (Loaded { store, status, head }, result)
        });
        while let Some(batch) = batches.recv().await {
            each(batch);
        }
        match reading.await {
            Ok(done) => done,
            // A panic outside of the reader: pass it on.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

impl Loaded {
    /// Up to when it is known to be true; `None`: there is none that can be used.
    pub(crate) fn as_of(&self) -> Option<Millis> {
        self.head.as_ref().map(|head| Millis(head.as_of))
    }

    /// Objects in it.
    pub(crate) fn objects(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.objects)
    }
}

/// Reads head and rows, as a listing of every source. `None`: the file was just made.
fn read(
    store: &Store,
    sources: &[Source],
    now: Millis,
    batches: &mpsc::Sender<Vec<(usize, Event)>>,
) -> Result<Option<Head>, Refusal> {
    let Some(head) = store.head()? else { return Ok(None) };
    head.check(sources, now)?;
    let every = |event: Event| (0..sources.len()).map(move |source| (source, event.clone()));
    let mut batch: Vec<(usize, Event)> = every(Event::Restarted).collect();
    store.read(&head, |object| {
        let namespace = object.metadata().namespace.as_deref();
        let is_of = |source: &Source| {
            source.kind == object.kind() && (source.namespace.is_none() || source.namespace.as_deref() == namespace)
        };
        // One that no source names can't have been written; it would be gone with the first listing.
        if let Some(source) = sources.iter().position(is_of) {
            batch.push((source, Event::Applied(object)));
        }
        batch.len() < BATCH || batches.blocking_send(std::mem::take(&mut batch)).is_ok()
    })?;
    batch.extend(every(Event::Listed));
    // It fails when the feed is gone, and then nobody asks for the rest.
    let _ = batches.blocking_send(batch);
    Ok(Some(head))
}

/// A time for people: `2026-11-21T12:00:00Z`.
pub(crate) fn shown(at: Millis) -> String {
    zpages::rfc3339(UNIX_EPOCH + Duration::from_millis(u64::try_from(at.0).unwrap_or_default()))
}
