//! Serves a router on a socket until told to stop, then lets the requests under way finish.
//!
//! A client can hold a connection, but not for nothing: heads that take too long are cut off, heads that are too large refused, and when
//! all places are taken the next connection waits in the kernel's queue instead of costing memory here.

mod impatient;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::Service;

use self::impatient::{Arrived, Impatient};
use super::caller::Peer;

/// How long requests under way may take to finish after the stop. Below the 30 s that Kubernetes gives a pod by default.
pub const DRAIN_TIME: Duration = Duration::from_secs(20);
/// From the connection to the first complete head.
const FIRST_HEAD_TIME: Duration = Duration::from_secs(10);
/// From one answer to the next complete head. Longer than the idle time of the proxies that keep connections to us (nginx: 60 s), so that
/// it is the proxy who closes and no request runs into a closed connection.
const NEXT_HEAD_TIME: Duration = Duration::from_secs(90);
/// The largest head of a request, in bytes. With [`MAX_CONNECTIONS`] it bounds what heads can hold: 640 MiB, if every client were hostile.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Open connections at once.
const MAX_CONNECTIONS: usize = 10_000;
/// Requests at once on one HTTP/2 connection, as Kubernetes' own servers have it.
const MAX_STREAMS: u32 = 100;
/// After an accept that failed for want of file descriptors; some will be free again.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Serves until `stop` is cancelled; returns when every request under way is answered, or after [`DRAIN_TIME`].
///
/// # Errors
/// The socket can't be served any more.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> io::Result<()> {
    serve_with(listener, router, stop, FIRST_HEAD_TIME).await
}

async fn serve_with(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    patience: Duration,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let server = server();
    let graceful = GracefulShutdown::new();
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = places.clone().acquire_owned() => place.map_err(io::Error::other)?,
        };
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            },
        };
        let connection = graceful.watch(connection(&server, stream, router.clone(), patience));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                // The client's doing, as a rule: gone, too slow, or not speaking HTTP.
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIME, graceful.shutdown()).await.is_err() {
        tracing::warn!(drain_seconds = DRAIN_TIME.as_secs(), "requests under way did not finish in time");
    }
    Ok(())
}

fn server() -> Builder<TokioExecutor> {
    let mut server = Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(NEXT_HEAD_TIME).max_buf_size(MAX_HEAD_BYTES);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX));
    server
}

fn connection(
    server: &Builder<TokioExecutor>,
    stream: TcpStream,
    router: Router,
    patience: Duration,
) -> impl GracefulConnection<Error = Box<dyn std::error::Error + Send + Sync>> + use<> {
    // Head and body of an answer may be separate writes; waiting to join them would cost a round trip.
    let _ = stream.set_nodelay(true);
    let arrived = Arrived::default();
    // A peer that is gone already has no address; its request will find no reader either.
    let peer = stream.peer_addr().ok().map(|address| Peer(address.ip().to_canonical()));
    let stream = TokioIo::new(Impatient::new(stream, patience, arrived.clone()));
    let service = service_fn(move |mut request: Request<Incoming>| {
        arrived.store(true, Ordering::Relaxed);
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        router.clone().call(request.map(Body::new))
    });
    server.serve_connection(stream, service).into_owned()
}

#[cfg(test)]
mod tests;
