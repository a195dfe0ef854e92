//! The operations that are called all the time, answered without the router. What the [layers](super::layers) do for the other routes is
//! done here for these: time limit, answer after a panic, count by route and status.
//!
//! ```text
//! head -> Direct: the body -> one synchronous decision -> answer        or, rarely: a wait for the disk that gives up credits -> answer
//! ```
//! The future is written by hand, because it is moved several times before it is polled: it holds the headers and the body on its way in, and
//! what a decision needs stays on the stack.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::http::{HeaderMap, Method, Request, Response};
use futures::future::BoxFuture;
use hyper::body::Bytes;
use tokio::time::{Sleep, sleep};

use super::body::{self, Reading, RequestBody};
use super::caller::{Connection, Head};
use super::content::{self, Content};
use super::error::ApiError;
use super::time_limit::REQUEST_TIME;
use super::{Api, v1, v2};
use crate::metrics::DirectRoute;

/// What an operation says once it has its body.
pub(super) enum Decided {
    /// This JSON, with status 200.
    Json(Vec<u8>),
    /// Any other answer.
    Answer(Box<Response<Content>>),
    /// An answer that must wait for something.
    Later(BoxFuture<'static, Response<Content>>),
}

impl From<Response<Content>> for Decided {
    fn from(response: Response<Content>) -> Self {
        Self::Answer(Box::new(response))
    }
}

impl DirectRoute {
    /// The operation that a request is for; `None`: ask the router. Cost: a comparison or two.
    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        let path = request.uri().path();
        let is = |route: &Self| route.path() == path;
        (request.method() == Method::POST).then(|| Self::ALL.into_iter().find(is)).flatten()
    }

    const fn max_bytes(self) -> usize {
        match self {
            Self::VerifyKey | Self::Limit => body::MAX_BYTES,
            Self::V1VerifyKey => v1::MAX_BYTES,
        }
    }

    fn decide(self, api: &Arc<Api>, head: Head<'_>, bytes: &Bytes) -> Decided {
        match self {
            Self::VerifyKey => v2::verify_key::decide(api, head, bytes),
            Self::Limit => v2::rate_limit::decide(api, head, bytes),
            Self::V1VerifyKey => v1::verify_key::decide(api, head, bytes),
        }
    }

    /// What a request is answered that nothing else could be said to.
    fn failed(self, error: ApiError, headers: &HeaderMap) -> Response<Content> {
        match self {
            Self::VerifyKey | Self::Limit => error.answer(headers).map(Content::from),
            Self::V1VerifyKey => v1::failed(error).map(Content::from),
        }
    }
}

/// The answer of one operation, on its way.
pub struct Direct<B> {
    api: Arc<Api>,
    connection: Arc<Connection>,
    headers: HeaderMap,
    body: B,
    reading: Reading,
    route: DirectRoute,
    later: Option<BoxFuture<'static, Response<Content>>>,
    /// From the first wait on: work that never waits, as most verifications, costs none.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B: RequestBody> Direct<B> {
    pub(super) fn new(api: &Arc<Api>, route: DirectRoute, request: Request<B>, connection: &Arc<Connection>) -> Self {
        let (parts, body) = request.into_parts();
        let (api, connection, headers) = (api.clone(), connection.clone(), parts.headers);
        Self { api, connection, headers, body, reading: Reading::default(), route, later: None, timer: None }
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Response<Content>> {
        if let Some(later) = &mut self.later {
            return later.as_mut().poll(cx);
        }
        let bytes = match ready!(self.reading.poll(&mut self.body, self.route.max_bytes(), cx)) {
            Ok(bytes) => bytes,
            Err(error) => return Poll::Ready(self.route.failed(error, &self.headers)),
        };
        let head = Head::new(&self.headers, Some(&self.connection));
        match self.route.decide(&self.api, head, &bytes) {
            Decided::Json(json) => Poll::Ready(content::json_with(mem::take(&mut self.headers), json)),
            Decided::Answer(answer) => Poll::Ready(*answer),
            Decided::Later(later) => self.later.insert(later).as_mut().poll(cx),
        }
    }
}

impl<B: RequestBody> Future for Direct<B> {
    type Output = Response<Content>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<Content>> {
        let this = self.get_mut();
        let response = match catch_unwind(AssertUnwindSafe(|| this.step(cx))) {
            Ok(Poll::Ready(response)) => response,
            Ok(Poll::Pending) => {
                let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(REQUEST_TIME)));
                ready!(timer.as_mut().poll(cx));
                this.route.failed(ApiError::Timeout, &this.headers)
            }
            // The panic's own text goes to the log through the panic hook, never into the answer.
            Err(_panic) => this.route.failed(ApiError::Unexpected, &HeaderMap::new()),
        };
        this.api.metrics.answered_directly(this.route, response.status());
        Poll::Ready(response)
    }
}
