//! Verify pools.
use crate::{config::Scope, context::Context};
use tokio_util::sync::CancellationToken;
/// Runs.
pub async fn run(_c: Context, _s: Vec<Scope>, _i: String, stop: CancellationToken) {
    stop.cancelled().await;
}
