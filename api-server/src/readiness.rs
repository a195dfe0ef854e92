//! Whether this process should get requests: its index is complete, and it is not stopping.

use std::sync::Arc;

use tokio::sync::watch;

/// Shared by the feed (which completes the index), the shutdown and everyone who answers about health. Never goes back to incomplete:
/// a feed that lost its connection has an old index, not a partial one.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    index_complete: watch::Sender<bool>,
    stopping: watch::Sender<bool>,
}

impl Readiness {
    /// The first synchronisation is complete.
    pub fn index_is_complete(&self) {
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

    /// The check `index`.
    pub fn index(&self) -> Result<(), String> {
        let complete = *self.0.index_complete.borrow();
        if complete { Ok(()) } else { Err("the first synchronisation is not complete".to_owned()) }
    }

    /// The check `shutdown`.
    pub fn shutdown(&self) -> Result<(), String> {
        let stopping = *self.0.stopping.borrow();
        if stopping { Err("the process is shutting down".to_owned()) } else { Ok(()) }
    }
}
