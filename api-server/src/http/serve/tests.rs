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
