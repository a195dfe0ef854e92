//! What surrounds the operations that are answered without the router: time, panics, counts, sizes. And that they are the same operations.

use std::convert::Infallible;

use futures::stream;
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use keyplane_core::limit::{Batch, Item};
use prometheus_client::registry::Registry;

use super::*;
use crate::counters::{Account, Counters, NeedsLease};

/// The API with what it counts.
async fn served_and_counted() -> (Service, Arc<Metrics>) {
    let app = served().await;
    let metrics = app.api.metrics.clone();
    let api = Api { v1_namespace: Some("team-a".into()), ..Api::clone(&app.api) };
    (Service::new(api), metrics)
}

fn counted(metrics: &Metrics) -> String {
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text
}

fn post(route: DirectRoute, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(route.path()).header("content-type", "application/json");
    request.header("authorization", format!("Bearer {ROOT}")).body(body.into()).unwrap()
}

/// A body of which the rest never comes.
fn unfinished() -> Body {
    let first = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"{")))]);
    Body::new(StreamBody::new(futures::StreamExt::chain(first, stream::pending())))
}

/// The code of an error in the shape of its API.
fn code(answered: &Answered) -> &str {
    let error = &answered.body["error"];
    error["type"].as_str().or(error["code"].as_str()).unwrap().rsplit('/').next().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_ends_is_answered_after_its_time() {
    let (app, metrics) = served_and_counted().await;
    for (route, status, expected) in [
        (DirectRoute::VerifyKey, 408, "request_timeout"),
        (DirectRoute::Limit, 408, "request_timeout"),
        (DirectRoute::V1VerifyKey, 400, "BAD_REQUEST"),
    ] {
        let begin = tokio::time::Instant::now();
        let answered = send(&app, post(route, unfinished())).await;
        assert_eq!((answered.status.as_u16(), code(&answered)), (status, expected), "{route:?}");
        assert_eq!(begin.elapsed().as_secs(), time_limit::REQUEST_TIME.as_secs());
    }
    let text = counted(&metrics);
    assert!(text.contains(r#"keyplane_http_requests_total{route="/v2/keys.verifyKey",status="408"} 1"#), "{text}");
}

/// Counters with a mistake in them.
struct Mistaken;

impl Counters for Mistaken {
    fn evaluate(&self, _: Account, _: &[Item], _: keyplane_core::time::Millis) -> Result<Batch, NeedsLease> {
        panic!("a mistake, on purpose")
    }
}

#[tokio::test]
async fn a_panic_is_an_answer_and_is_counted() {
    let app = served_on(Arc::new(Mistaken), Balances::in_memory()).await;
    let metrics = app.api.metrics.clone();
    let app = Service::new(Api { v1_namespace: Some("team-a".into()), ..Api::clone(&app.api) });
    for (route, expected) in
        [(DirectRoute::VerifyKey, "unexpected_error"), (DirectRoute::V1VerifyKey, "INTERNAL_SERVER_ERROR")]
    {
        let answered = send(&app, post(route, r#"{"key":"a-limited-key"}"#)).await;
        assert_eq!((answered.status.as_u16(), code(&answered)), (500, expected));
        assert_eq!(answered.content_type, "application/json");
        assert!(!answered.body.to_string().contains("mistake"), "the cause is for the log alone");
        let line = format!("keyplane_http_requests_total{{route=\"{}\",status=\"500\"}} 1", route.path());
        assert!(counted(&metrics).contains(&line), "{}", counted(&metrics));
    }
    assert_eq!(send(&app, post(DirectRoute::VerifyKey, r#"{"key":"a-bare-key"}"#)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_answer_is_counted_by_route_and_status_and_every_verdict_by_code() {
    let (app, metrics) = served_and_counted().await;
    let count = |text: &str, status: u16, route: DirectRoute| {
        let line = format!("keyplane_http_requests_total{{route=\"{}\",status=\"{status}\"}} ", route.path());
        text.lines().find_map(|found| found.strip_prefix(&line).map(str::to_owned)).unwrap_or_default()
    };
    for route in DirectRoute::ALL {
        assert_eq!(count(&counted(&metrics), 200, route), "0", "from the start: a rate over it is defined");
        send(&app, post(route, r#"{"key":"a-bare-key"}"#)).await;
        send(&app, post(route, "{")).await;
    }
    let text = counted(&metrics);
    let counts = |status| DirectRoute::ALL.map(|route| count(&text, status, route));
    assert_eq!(counts(200), ["1", "0", "1"]);
    assert_eq!(counts(400), ["1", "2", "1"], "a key is no limit");
    assert!(text.contains(r#"keyplane_verifications_total{code="VALID"} 2"#), "{text}");
    assert!(text.contains(r#"keyplane_verifications_total{code="DISABLED"} 0"#), "{text}");
}

#[tokio::test]
async fn a_body_that_says_that_it_is_too_large_is_not_read() {
    let (app, _) = served_and_counted().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    tokio::spawn(serve::serve(listener, app, stop.clone()));
    for (path, length, status) in
        [("/v2/keys.verifyKey", 10 * 1024 * 1024 + 1, "413"), ("/v1/keys.verifyKey", 128 * 1024 + 1, "400")]
    {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 16];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut answer).await.unwrap();
        let expected = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(expected.as_bytes()), "{}", String::from_utf8_lossy(&answer));
    }
    stop.cancel();
}

#[tokio::test]
async fn other_methods_and_neighbouring_paths_are_the_routers() {
    let (app, _) = served_and_counted().await;
    for route in DirectRoute::ALL {
        for method in [Method::GET, Method::PUT, Method::HEAD] {
            let request = Request::builder().method(&method).uri(route.path()).body(Body::empty()).unwrap();
            assert_eq!(send(&app, request).await.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {route:?}");
        }
        let neighbour = Request::post(format!("{}s", route.path())).body(Body::empty()).unwrap();
        assert_eq!(send(&app, neighbour).await.status, StatusCode::NOT_FOUND);
        let with_query = Request::post(format!("{}?x=1", route.path())).body(Body::empty()).unwrap();
        assert_eq!(send(&app, with_query).await.status, StatusCode::BAD_REQUEST, "a query changes no path");
    }
}
