//! The gate through which a verification waits, and what it counts.
//!
//! A verification asks no one: everything is in memory. This is where that would be seen to be no longer true.
//!
//! | wait | what it is | counted as |
//! |---|---|---|
//! | a flush of the credits' journal | this machine's own disk, standalone only | `keyplane_verify_disk_waits_total` |
//! | a lease from another pod, a key read through from a database (neither exists yet) | a request to another process | `keyplane_verify_external_calls_total` |
//!
//! The body of the request itself is no wait of this kind: it is the client's.

use prometheus_client::metrics::counter::Counter;

/// See the module. Clones count on the same numbers.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    pub(crate) external_calls: Counter,
    pub(crate) disk_waits: Counter,
}

impl Waits {
    /// Waits for another process.
    pub async fn external<T>(&self, call: impl Future<Output = T>) -> T {
        self.external_calls.inc();
        call.await
    }

    /// Waits for this machine's disk.
    pub async fn disk<T>(&self, flush: impl Future<Output = T>) -> T {
        self.disk_waits.inc();
        flush.await
    }

    /// Calls to other processes so far.
    pub fn external_calls(&self) -> u64 {
        self.external_calls.get()
    }

    /// Waits for the disk so far.
    pub fn disk_waits(&self) -> u64 {
        self.disk_waits.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_wait_counts_as_what_it_is() {
        let waits = Waits::default();
        assert_eq!(waits.disk(async { 7 }).await, 7);
        assert_eq!((waits.external_calls(), waits.disk_waits()), (0, 1));
        waits.clone().external(async {}).await;
        assert_eq!((waits.external_calls(), waits.disk_waits()), (1, 1));
    }
}
