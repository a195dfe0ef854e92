//! Serves requests on a socket until told to stop, then lets those under way finish.
//!
//! A client can hold a connection, but not for nothing: heads that take too long are cut off, heads that are too large refused, and when
//! all places are taken the next connection waits in the kernel's queue instead of costing memory here.

mod drained;
mod impatient;

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use self::drained::{Drained, Stopping};
use self::impatient::{Heads, Impatient};
use super::body::RequestBody;
use super::caller::{Connection, Peer};
use super::content::Content;

/// How long requests under way may take to finish after the stop. Below the 30 s that Kubernetes gives a pod by default.
pub const DRAIN_TIME: Duration = Duration::from_secs(20);
/// From the connection to the first complete head.
const FIRST_HEAD_TIME: Duration = Duration::from_secs(10);
/// From one complete head to the next; the cut comes between once and twice this time. Longer than the idle time of the proxies that keep
/// connections to us (nginx: 60 s), so that it is the proxy who closes and no request runs into a closed connection; and longer than any request takes,
/// as one whose answer is awaited sends no other.
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

/// Whoever answers the requests of a listener. There is a clone for each connection.
pub trait Answers: Clone + Send + Sync + 'static {
    /// An answer on its way.
    type Answering<B: RequestBody + 'static>: Future<Output = Response<Content>> + Send + Unpin + 'static;

    /// Begins to answer a request that came by this connection.
    fn answer<B: RequestBody + 'static>(&self, request: Request<B>, connection: &Arc<Connection>)
    -> Self::Answering<B>;
}

impl Answers for Router {
    type Answering<B: RequestBody + 'static> = BoxFuture<'static, Response<Content>>;

    fn answer<B: RequestBody + 'static>(
        &self,
        mut request: Request<B>,
        connection: &Arc<Connection>,
    ) -> Self::Answering<B> {
        request.extensions_mut().insert(connection.clone());
        let answering = self.clone().call(request.map(Body::new));
        let answered = answering.map(|answered| answered.unwrap_or_else(|impossible| match impossible {}));
        Box::pin(answered.map(|response| response.map(Content::from)))
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
    let (stopping, open) = (Stopping::default(), TaskTracker::new());
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
        let connection = Drained::new(connection(&server, stream, service.clone(), patience), stopping.clone());
        open.spawn(async move {
            if let Err(error) = connection.await {
                // The client's doing, as a rule: gone, too slow, or not speaking HTTP.
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    stopping.begin();
    open.close();
    if tokio::time::timeout(DRAIN_TIME, open.wait()).await.is_err() {
        tracing::warn!(drain_seconds = DRAIN_TIME.as_secs(), "requests under way did not finish in time");
    }
    Ok(())
}

fn server() -> Builder<TokioExecutor> {
    let mut server = Builder::new(TokioExecutor::new());
    // hyper's own limit on the time of heads sets up a timer for each request; the stream sees to it for less.
    server.http1().header_read_timeout(None).max_buf_size(MAX_HEAD_BYTES);
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
    let heads = Arc::new(Heads::default());
    // A peer that is gone already has no address; its request will find no reader either.
    let peer = stream.peer_addr().ok().map(|address| Peer(address.ip().to_canonical()));
    let stream = TokioIo::new(Impatient::new(stream, patience, NEXT_HEAD_TIME, heads.clone()));
    let connection = Arc::new(Connection::from_peer(peer));
    server.serve_connection(stream, OfConnection { service, connection, heads }).into_owned()
}

/// The service of one connection. What its requests count references of is its own: the threads that serve others never touch it.
struct OfConnection<S> {
    service: S,
    connection: Arc<Connection>,
    heads: Arc<Heads>,
}

impl<S: Answers> Service<Request<Incoming>> for OfConnection<S> {
    type Response = Response<Content>;
    type Error = Infallible;
    type Future = Infallibly<S::Answering<Incoming>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.heads.complete(request.version());
        Infallibly(self.service.answer(request, &self.connection))
    }
}

/// A future as hyper wants it.
struct Infallibly<F>(F);

impl<F: Future + Unpin> Future for Infallibly<F> {
    type Output = Result<F::Output, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests;
