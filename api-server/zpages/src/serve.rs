//! A listener for operations: HTTPS with certificates that are replaced while it runs, or plain HTTP for loopback.
//!
//! ```text
//! accept -> (TLS: handshake, client certificate asked for) -> HTTP/2 or HTTP/1.1 -> guard -> router
//! ```
//! [`Certificate`] and the acceptor that it gives know nothing of pages: any listener can use them.

mod certificate;
mod client;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

pub use self::certificate::{Certificate, CertificateError};
pub(crate) use self::certificate::{certificates, provider, read};
pub use self::client::{ClientCertificates, PeerCertificates};
use crate::access::Guard;

/// From the connection to the end of the handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// For the head of a request, and between two of them, as upstream has it.
const HEAD_TIME: Duration = Duration::from_secs(32);
/// A peer on HTTP/2 that does not answer pings is gone.
const PING_EVERY: Duration = Duration::from_secs(30);
/// The largest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Open connections at once: probes, scrapers and a few people. With [`MAX_HEAD_BYTES`] it bounds what hostile clients
/// can make us hold in heads: 32 MiB.
const MAX_CONNECTIONS: usize = 512;
/// Requests at once on one connection.
const MAX_STREAMS: u32 = 100;
/// For requests under way at the stop; pages are made in milliseconds.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// After an accept that failed for want of file descriptors; some will be free again.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// How pages are exposed: in the clear to everyone who reaches the listener, or over TLS to those a guard lets in.
///
/// ```no_run
/// use zpages::access::Guard;
/// use zpages::serve::{Certificate, Exposure};
///
/// # async fn example(pages: axum::Router) -> Result<(), Box<dyn std::error::Error>> {
/// let listener = tokio::net::TcpListener::bind("0.0.0.0:8443").await?;
/// let certificate = Certificate::from_files("/etc/pages/tls.crt", "/etc/pages/tls.key")?;
/// // In a cluster `Guard::delegated(client)`.
/// let guard = Guard::certificates(Some("/etc/pages/client-ca.crt".into()))?;
/// Exposure::guarded(certificate, guard).serve(listener, pages, std::future::pending()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Exposure(Option<(Certificate, Guard)>);

impl Exposure {
    /// HTTP without TLS, open to everyone who reaches the address. Fit for loopback and for tests.
    pub fn plain() -> Self {
        Self(None)
    }

    /// HTTPS with this certificate, for whom `guard` lets in.
    pub fn guarded(certificate: Certificate, guard: Guard) -> Self {
        Self(Some((certificate, guard)))
    }

    /// Serves `router` on `listener` until `stop` resolves; requests under way then have 5 s. While it serves, it
    /// also follows the files and objects that certificates come from.
    ///
    /// # Errors
    /// The TLS configuration cannot be made.
    ///
    /// # Cancel safety
    /// Dropped, it accepts nothing more; connections that are open go on by themselves.
    pub async fn serve(
        self,
        listener: TcpListener,
        router: Router,
        stop: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        let Some((certificate, guard)) = self.0 else {
            return serve(listener, None, router, stop).await;
        };
        let acceptor = certificate.acceptor(ClientCertificates::Requested).map_err(io::Error::other)?;
        let sources = guard.follow();
        let serving = serve(listener, Some(acceptor), guard.protect(router), stop);
        tokio::select! {
            ended = serving => ended,
            never = certificate.follow() => match never {},
            never = sources => match never {},
        }
    }
}

/// Serves `router` until `stop` resolves. With an acceptor: TLS, and [`PeerCertificates`] among the extensions of
/// each request of a client that showed some. Without: HTTP/1.1 in the clear.
async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let place = tokio::select! {
            () = &mut stop => break,
            place = Arc::clone(&places).acquire_owned() => place.map_err(io::Error::other)?,
        };
        let stream = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            },
        };
        let (tls, router, watcher) = (tls.clone(), router.clone(), graceful.watcher());
        tokio::spawn(async move {
            if let Err(error) = connection(stream, tls, router, watcher).await {
                // The client's doing, as a rule: gone, too slow, or not speaking what we speak.
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    if timeout(DRAIN_TIME, graceful.shutdown()).await.is_err() {
        tracing::warn!(drain_seconds = DRAIN_TIME.as_secs(), "requests under way did not finish in time");
    }
    Ok(())
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, router: Router, watcher: Watcher) -> io::Result<()> {
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return requests(stream, false, None, router, watcher).await.map_err(io::Error::other);
    };
    let stream = timeout(HANDSHAKE_TIME, tls.accept(stream)).await??;
    let session = stream.get_ref().1;
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let peer = session.peer_certificates().and_then(PeerCertificates::new);
    requests(stream, is_http2, peer, router, watcher).await.map_err(io::Error::other)
}

async fn requests<S>(
    stream: S,
    is_http2: bool,
    peer: Option<PeerCertificates>,
    router: Router,
    watcher: Watcher,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(stream);
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(peer) = &peer {
            request.extensions_mut().insert(peer.clone());
        }
        router.clone().oneshot(request.map(Body::new))
    });
    if is_http2 {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS).keep_alive_interval(PING_EVERY);
        http.max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX));
        watcher.watch(http.serve_connection(stream, service)).await
    } else {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(MAX_HEAD_BYTES);
        watcher.watch(http.serve_connection(stream, service)).await
    }
}

#[cfg(test)]
mod tests;
