//! Overload as clients see it, over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::HeaderMap;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::http::{body, content, serve};
use crate::metrics::Metrics;

/// Reads the body, as operations do, and answers.
#[derive(Clone)]
struct Reads;

impl Answers for Reads {
    type Answering<B: RequestBody + 'static> = BoxFuture<'static, Response<Content>>;

    fn answer<B: RequestBody + 'static>(&self, request: Request<B>, _: &Arc<Connection>) -> Self::Answering<B> {
        Box::pin(async {
            match body::read(request.into_body(), body::MAX_BYTES).await {
                Ok(bytes) => content::json(bytes.len().to_string().into_bytes()),
                Err(error) => error.answer(&HeaderMap::new()).map(Content::from),
            }
        })
    }
}

struct Server {
    address: SocketAddr,
    load: Load,
    _stop: tokio_util::sync::DropGuard,
}

impl Server {
    async fn start(bounds: Bounds) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop, load) =
            (listener.local_addr().unwrap(), CancellationToken::new(), Metrics::default().load());
        tokio::spawn(serve::serve(listener, Admitted::new(Reads, bounds, load.clone()), stop.clone()));
        Self { address, load, _stop: stop.drop_guard() }
    }

    /// Begins a request whose body says that it has `declared` bytes and sends so many of them.
    async fn begin(&self, path: &str, declared: usize, sent: usize) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {declared}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; sent]).await.unwrap();
        stream
    }

    async fn exchange(&self, path: &str, length: usize) -> String {
        answer(self.begin(path, length, length).await).await
    }

    /// Waits for a state of the gauges.
    async fn until(&self, state: impl Fn(&Load) -> bool) {
        let wait = async {
            while !state(&self.load) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("{:?}", self.load));
    }
}

/// Everything until the server closes.
async fn answer(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    // A reset counts as closed, too.
    let _ = read.expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

fn is_overload(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 503") && answer.to_lowercase().contains("retry-after: 1\r\n")
}

const BOUNDS: Bounds = Bounds { requests: 100, body_bytes: 100_000, body_time: Duration::from_secs(60) };

#[tokio::test]
async fn bodies_held_open_fill_the_budget_until_they_are_let_go() {
    let server = Server::start(BOUNDS).await;
    let held = server.begin("/v2/keys.verifyKey", 60_000, 50_000).await;
    server.until(|load| load.body_bytes.get() > 60_000).await;
    let shed = server.exchange("/v2/keys.verifyKey", 50_000).await;
    assert!(is_overload(&shed) && shed.contains("service_unavailable"), "{shed}");
    assert!(
        server.exchange("/v2/keys.verifyKey", 16_000).await.starts_with("HTTP/1.1 200"),
        "an ordinary body is served"
    );
    drop(held);
    server.until(|load| load.body_bytes.get() == 0).await;
    assert!(server.exchange("/v2/keys.verifyKey", 50_000).await.starts_with("HTTP/1.1 200"));
    assert_eq!(server.load.shed_body_bytes.get(), 1);
}

#[tokio::test]
async fn without_a_place_a_request_is_refused_in_its_versions_form_and_health_is_not() {
    let server = Server::start(Bounds { requests: 1, ..BOUNDS }).await;
    let mut held = server.begin("/v2/keys.verifyKey", 3, 2).await;
    server.until(|load| load.requests.get() == 1).await;
    let shed = server.exchange("/v2/keys.verifyKey", 1).await;
    assert!(is_overload(&shed) && shed.contains(r#""status":503"#), "{shed}");
    let shed = server.exchange("/v1/keys.verifyKey", 1).await;
    assert!(is_overload(&shed) && shed.contains(r#""code":"INTERNAL_SERVER_ERROR""#), "{shed}");
    for path in ["/health/live", "/health/ready", "/v2/liveness"] {
        assert!(server.exchange(path, 1).await.starts_with("HTTP/1.1 200"), "{path}");
    }
    held.write_all(b"x").await.unwrap();
    assert!(answer(held).await.starts_with("HTTP/1.1 200"), "who has a place is served");
    server.until(|load| load.requests.get() == 0).await;
    assert!(server.exchange("/v2/keys.verifyKey", 1).await.starts_with("HTTP/1.1 200"));
    assert_eq!(server.load.shed_requests.get(), 2);
}

#[tokio::test]
async fn a_body_that_trickles_is_a_408() {
    let server = Server::start(Bounds { body_time: Duration::from_millis(50), ..BOUNDS }).await;
    let slow = server.begin("/v2/keys.verifyKey", 10, 1).await;
    let answered = answer(slow).await;
    assert!(answered.starts_with("HTTP/1.1 408") && answered.contains("request_timeout"), "{answered}");
    assert_eq!((server.load.slow_bodies.get(), server.load.requests.get()), (1, 0));
}
