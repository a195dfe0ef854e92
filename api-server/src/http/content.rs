//! What an answer consists of on its way out.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Response};
use hyper::body::{Body, Bytes, Frame, SizeHint};

/// The content of an answer: in one piece without a box around it, or as a route made it.
#[derive(Debug)]
pub enum Content {
    /// All of it; empty when it has been sent.
    Whole(Bytes),
    /// From a route.
    Routed(axum::body::Body),
}

/// An answer with status 200 that is JSON.
pub(super) fn json(body: Vec<u8>) -> Response<Content> {
    json_with(HeaderMap::new(), body)
}

/// The same with the memory of a map of headers that is no longer needed: nothing of what is in it is sent. hyper keeps the map for the head of the
/// next request, so that a connection comes to do without allocations for headers.
pub(super) fn json_with(mut headers: HeaderMap, body: Vec<u8>) -> Response<Content> {
    headers.clear();
    let mut response = Response::new(Content::Whole(body.into()));
    *response.headers_mut() = headers;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl From<axum::body::Body> for Content {
    fn from(body: axum::body::Body) -> Self {
        Self::Routed(body)
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Routed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Routed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Routed(body) => body.size_hint(),
        }
    }
}
