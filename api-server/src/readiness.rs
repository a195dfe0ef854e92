//! Whether this process should get requests: its index is complete, and it is not stopping.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Shared by the feed (which completes the index), the shutdown and everyone who answers about health. Never goes back to incomplete:
/// a feed that lost its connection has an old index, not a partial one.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    /// As `index_complete`: every verification asks, and must not meet the others at a lock.
    complete: AtomicBool,
    index_complete: watch::Sender<bool>,
    stopping: watch::Sender<bool>,
}

impl Readiness {
    /// The first synchronisation is complete.
    pub fn index_is_complete(&self) {
        self.0.complete.store(true, Ordering::Release);
        self.0.index_complete.send_replace(true);
    }

    /// Waits until the index is complete.
    pub async fn wait_for_index(&self) {
        // It only fails when the sender is gone, and `self` holds it.
        let _ = self.0.index_complete.subscribe().wait_for(|complete| *complete).await;
    }

    /// The process has been told to stop; it goes on answering what arrives.
    pub fn stopping(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Both conditions.
    pub fn is_ready(&self) -> bool {
        self.index().is_ok() && self.shutdown().is_ok()
    }

    /// Whether the index is complete. Cost: a load.
    pub fn has_index(&self) -> bool {
        self.0.complete.load(Ordering::Acquire)
    }

    /// The check `index`.
    pub fn index(&self) -> Result<(), String> {
        if self.has_index() { Ok(()) } else { Err("the first synchronisation is not complete".to_owned()) }
    }

    /// The check `shutdown`.
    pub fn shutdown(&self) -> Result<(), String> {
        let stopping = *self.0.stopping.borrow();
        if stopping { Err("the process is shutting down".to_owned()) } else { Ok(()) }
    }
}
