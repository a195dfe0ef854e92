//! Serves requests on a socket until told to stop, then lets those under way finish.
//!
//! A client can hold a connection, but not for nothing: heads that take too long are cut off, heads that are too large refused, and when
//! all places are taken the next connection waits in the kernel's queue instead of costing memory here.

mod impatient;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
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
use super::body::RequestBody;
use super::caller::Peer;
use super::content::Content;

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
/// Streams of one HTTP/2 connection that the client reset before anyone looked at them; one more ends the connection. Said here so that no
/// other default of the library can bring back the flood of resets (CVE-2023-44487).
const MAX_RESETS: usize = 20;
/// Streams of one HTTP/2 connection that we reset because of the client's mistakes; one more ends the connection (CVE-2025-8671).
const MAX_ERRORS: usize = 100;
/// After an accept that failed for want of file descriptors; some will be free again.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Whoever answers the requests of a listener.
pub trait Answers: Clone + Send + Sync + 'static {
    /// The answer to a request that came from `peer`.
    fn answer<B: RequestBody + 'static>(
        &self,
        request: Request<B>,
        peer: Option<Peer>,
    ) -> impl Future<Output = Response<Content>> + Send;
}

impl Answers for Router {
    async fn answer<B: RequestBody + 'static>(&self, mut request: Request<B>, peer: Option<Peer>) -> Response<Content> {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        // In a box: the direct answers, which share the place of this one in the connection's state, need a small part of it.
        let answered = Box::pin(self.clone().call(request.map(Body::new))).await;
        answered.unwrap_or_else(|impossible| match impossible {}).map(Content::from)
    }
}

/// Serves until `stop` is cancelled; returns when every request under way is answered, or after [`DRAIN_TIME`].
///
/// # Errors
/// The socket can't be served any more.
pub async fn serve(listener: TcpListener, service: impl Answers, stop: CancellationToken) -> io::Result<()> {
    serve_with(listener, service, stop, FIRST_HEAD_TIME).await
}

async fn serve_with(
    listener: TcpListener,
    service: impl Answers,
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
        let connection = graceful.watch(connection(&server, stream, service.clone(), patience));
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
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_ERRORS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX));
    server
}

fn connection<S: Answers>(
    server: &Builder<TokioExecutor>,
    stream: TcpStream,
    service: S,
    patience: Duration,
) -> impl GracefulConnection<Error = Box<dyn std::error::Error + Send + Sync>> + use<S> {
    // Head and body of an answer may be separate writes; waiting to join them would cost a round trip.
    let _ = stream.set_nodelay(true);
    let arrived = Arrived::default();
    // A peer that is gone already has no address; its request will find no reader either.
    let peer = stream.peer_addr().ok().map(|address| Peer(address.ip().to_canonical()));
    let stream = TokioIo::new(Impatient::new(stream, patience, arrived.clone()));
    // One count a connection: the threads that serve others never touch it.
    let connection = Arc::new((service, arrived));
    let service = service_fn(move |request: Request<Incoming>| {
        let connection = connection.clone();
        async move {
            let (service, arrived) = &*connection;
            arrived.store(true, Ordering::Relaxed);
            Ok::<_, Infallible>(service.answer(request, peer).await)
        }
    });
    server.serve_connection(stream, service).into_owned()
}

#[cfg(test)]
mod tests;
