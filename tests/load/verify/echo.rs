//! The floors: servers that read the whole request and send an answer of the right size, and do nothing else.

use std::hint::black_box;
use std::io;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::post;
use axum::serve::ListenerExt;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::workload::VERIFY;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A route and a handler, as the shortest program with axum has them.
pub(crate) async fn axum(listener: TcpListener, answer: Bytes) -> io::Result<()> {
    let router = Router::new().route(VERIFY, post(handle)).with_state(answer);
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await
}

async fn handle(State(answer): State<Bytes>, body: Bytes) -> impl IntoResponse {
    black_box(body);
    ([(CONTENT_TYPE, JSON)], answer)
}

/// hyper's HTTP/1.1 connection with one function.
pub(crate) async fn hyper(listener: TcpListener, answer: Bytes) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = answer.clone();
            async move {
                black_box(request.into_body().collect().await?.to_bytes());
                Ok::<_, hyper::Error>(json(answer))
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// A body in an answer with status 200.
pub(crate) fn json(body: Bytes) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body));
    answer.headers_mut().insert(CONTENT_TYPE, JSON);
    answer
}
