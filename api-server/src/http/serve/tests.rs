use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A server with little patience; its address and what stops it.
async fn started() -> (std::net::SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let router = Router::new().route("/", get(async || "answered"));
    tokio::spawn(serve_with(listener, router, stop.clone(), Duration::from_millis(100)));
    (address, stop)
}

/// Sends a text and reads until the server closes.
async fn exchange(address: std::net::SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    // A reset counts as closed, too.
    let _ = read.expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_client_that_never_completes_a_request_is_cut_off() {
    let (address, _stop) = started().await;
    for text in ["", "P", "GET / HTTP/1.1\r\nHost:", "PRI * HTTP/2.0\r\n\r\nSM\r\n"] {
        assert!(!exchange(address, text).await.contains("answered"), "{text}");
    }
}

#[tokio::test]
async fn a_client_that_sent_a_request_may_take_its_time_for_the_next() {
    let (address, stop) = started().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut answer, request) = (vec![0; 1024], b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request).await.unwrap();
    let length = stream.read(&mut answer).await.unwrap();
    assert!(String::from_utf8_lossy(&answer[..length]).contains("answered"));
    // Another connection runs out of patience meanwhile; this one must not.
    exchange(address, "G").await;
    stream.write_all(request).await.unwrap();
    let length = stream.read(&mut answer).await.unwrap();
    assert!(String::from_utf8_lossy(&answer[..length]).contains("answered"));
    // And an idle connection does not hold up the stop.
    stop.cancel();
    assert_eq!(stream.read(&mut answer).await.unwrap(), 0);
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused() {
    let (address, _stop) = started().await;
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n", "x".repeat(MAX_HEAD_BYTES));
    assert!(exchange(address, &head).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn too_many_headers_are_refused_whatever_their_size() {
    let (address, _stop) = started().await;
    let head = |count: usize, name: &str| {
        let headers: String =
            (0..count).fold(String::new(), |text, n| text + &name.replace('#', &n.to_string()) + ": x\r\n");
        format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n")
    };
    for name in ["X-#", "Cookie"] {
        assert!(exchange(address, &head(90, name)).await.starts_with("HTTP/1.1 200"), "{name}");
        assert!(exchange(address, &head(101, name)).await.starts_with("HTTP/1.1 431"), "{name}");
        assert!(exchange(address, &head(4_000, name)).await.starts_with("HTTP/1.1 431"), "{name}");
    }
}

#[tokio::test]
async fn a_head_with_two_lengths_is_refused() {
    let (address, _stop) = started().await;
    for lengths in
        ["Content-Length: 1\r\nContent-Length: 2", "Content-Length: 99999999999999999999", "Content-Length: -1"]
    {
        let answered = exchange(address, &format!("GET / HTTP/1.1\r\nHost: x\r\n{lengths}\r\n\r\nxx")).await;
        assert!(answered.starts_with("HTTP/1.1 400"), "{lengths}: {answered}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_one_after_the_other() {
    const REQUESTS: usize = 2_000;
    let (address, _stop) = started().await;
    let mut flood = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(REQUESTS - 1);
    flood += "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    let sent = tokio::spawn(async move { write.write_all(flood.as_bytes()).await.map(|()| write) });
    let mut answers = String::new();
    read.read_to_string(&mut answers).await.unwrap();
    sent.await.unwrap().unwrap();
    assert_eq!(answers.matches("answered").count(), REQUESTS);
}

/// A client's side of HTTP/2.
async fn h2_client(
    address: std::net::SocketAddr,
) -> (h2::client::SendRequest<hyper::body::Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    (client.ready().await.unwrap(), tokio::spawn(connection))
}

fn to_root() -> http::request::Builder {
    Request::get("http://x/")
}

#[tokio::test]
async fn streams_that_are_reset_as_soon_as_they_begin_end_the_connection() {
    let (address, _stop) = started().await;
    let (mut client, connection) = h2_client(address).await;
    // No wait in between: all of it comes in one piece, and nothing was begun when it is reset.
    for _ in 0..90 {
        let (_, mut stream) = client.send_request(to_root().body(()).unwrap(), false).unwrap();
        stream.send_reset(h2::Reason::CANCEL);
    }
    let ended = tokio::time::timeout(Duration::from_secs(20), connection).await.expect("the server ends it");
    let error = ended.unwrap().unwrap_err();
    assert!(error.is_go_away() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM), "{error}");
    // Others are served.
    let (mut client, _connection) = h2_client(address).await;
    let (answer, _) = client.send_request(to_root().body(()).unwrap(), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_http2_head_over_the_limit_is_refused() {
    let (address, _stop) = started().await;
    // Each counts 32 bytes more than its text, so that many small ones are no way around.
    let small = |count: usize| (0..count).fold(to_root(), |head, n| head.header(format!("x-{n}"), "0123456789"));
    for (head, fits) in [
        (to_root().header("x-large", "x".repeat(MAX_HEAD_BYTES - 1_000)), true),
        (to_root().header("x-large", "x".repeat(MAX_HEAD_BYTES)), false),
        (small(1_000), true),
        (small(1_500), false),
    ] {
        let (mut client, _connection) = h2_client(address).await;
        let (answer, _) = client.send_request(head.body(()).unwrap(), true).unwrap();
        match answer.await {
            Ok(answer) => assert_eq!(answer.status() == 200, fits, "{}", answer.status()),
            Err(error) => assert!(!fits && error.is_remote(), "{error}"),
        }
    }
}

#[tokio::test]
async fn an_http2_connection_is_told_how_many_requests_it_may_have() {
    let (address, _stop) = started().await;
    let (mut client, _connection) = h2_client(address).await;
    let (answer, _) = client.send_request(to_root().body(()).unwrap(), true).unwrap();
    answer.await.unwrap();
    assert_eq!(client.current_max_send_streams(), usize::try_from(MAX_STREAMS).unwrap());
}
