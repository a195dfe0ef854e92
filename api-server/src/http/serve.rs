//! Serves a router on a socket until told to stop, then lets the requests under way finish.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long requests under way may take to finish after the stop. Below the 30 s that Kubernetes gives a pod by default.
pub const DRAIN_TIME: Duration = Duration::from_secs(20);

/// Serves until `stop` is cancelled; returns when every request under way is answered, or after [`DRAIN_TIME`].
///
/// # Errors
/// The socket can't be served any more.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> io::Result<()> {
    // Head and body of an answer may be separate writes; waiting to join them would cost a round trip.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::select! {
        result = serving => result,
        () = async { stop.cancelled().await; tokio::time::sleep(DRAIN_TIME).await } => {
            tracing::warn!(drain_seconds = DRAIN_TIME.as_secs(), "requests under way did not finish in time");
            Ok(())
        }
    }
}
