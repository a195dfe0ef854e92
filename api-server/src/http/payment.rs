//! Waiting for credits that the disk must give up first: the only wait of a verification, and rare.

use super::Api;
use crate::clock;
use crate::engine::Verdict;

/// Makes a verdict the last word. The wait is bounded by the time that a request may take; limits are not counted again.
pub(super) async fn paid(api: &Api, verdict: &mut Verdict<'_>, cost: u64) {
    while let Some(wait) = verdict.unpaid.take() {
        api.metrics.waits().disk(wait.flushed()).await;
        api.engine.pay(verdict, cost, clock::now());
    }
}
