//! Waiting for credits that the disk must give up first: the only wait of a verification, and rare.

use super::Api;
use crate::clock;
use crate::engine::Verdict;

/// The last word about a verdict. The wait is bounded by the time that a request may take; limits are not counted again.
pub(super) async fn paid(api: &Api, mut verdict: Verdict, cost: u64) -> Verdict {
    while let Some(wait) = verdict.unpaid.take() {
        wait.flushed().await;
        api.engine.pay(&mut verdict, cost, clock::now());
    }
    verdict
}
