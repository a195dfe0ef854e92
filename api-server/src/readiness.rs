//! Whether this process should get requests: its index may be served, and it is not stopping.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use keyplane_core::time::Millis;
use tokio::sync::watch;

use crate::feed::Standing;

/// Shared by the feed (which judges the index), the shutdown and everyone who answers about health. A feed that lost its connection has an
/// old index, not a partial one: that is served until it is too old.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    /// As `is_served` of the standing: every verification asks, and must not meet the others at a lock.
    served: AtomicBool,
    standing: Mutex<Standing>,
    index_served: watch::Sender<bool>,
    stopping: watch::Sender<bool>,
}

impl Readiness {
    /// What the index is worth now.
    pub fn index_is(&self, standing: Standing) {
        *self.0.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
        let served = standing.is_served();
        self.0.served.store(served, Ordering::Release);
        self.0.index_served.send_if_modified(|before| std::mem::replace(before, served) != served);
    }

    /// Waits until the index is served.
    pub async fn wait_for_index(&self) {
        // It only fails when the sender is gone, and `self` holds it.
        let _ = self.0.index_served.subscribe().wait_for(|served| *served).await;
    }

    /// The process has been told to stop; it goes on answering what arrives.
    pub fn stopping(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Both conditions.
    pub fn is_ready(&self) -> bool {
        self.has_index() && self.shutdown().is_ok()
    }

    /// Whether the index is complete and not too old. Cost: a load.
    pub fn has_index(&self) -> bool {
        self.0.served.load(Ordering::Acquire)
    }

    /// The check `index`.
    pub fn index(&self, now: Millis) -> Result<(), String> {
        self.standing().check(now)
    }

    /// That the index is old, how old and since when; `None` when it is not.
    pub fn index_warning(&self, now: Millis) -> Option<String> {
        self.standing().warning(now)
    }

    /// The check `shutdown`.
    pub fn shutdown(&self) -> Result<(), String> {
        let stopping = *self.0.stopping.borrow();
        if stopping { Err("the process is shutting down".to_owned()) } else { Ok(()) }
    }

    fn standing(&self) -> Standing {
        *self.0.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
