//! The operations that are called all the time, answered without the router. What the [layers](super::layers) do for the other routes is
//! done here for these: time limit, answer after a panic, count by route and status.

use std::panic::AssertUnwindSafe;

use axum::http::{HeaderMap, Method, Request, Response};
use futures::FutureExt;

use super::body::RequestBody;
use super::caller::Head;
use super::content::Content;
use super::error::ApiError;
use super::time_limit::in_time;
use super::{Api, v1, v2};
use crate::metrics::DirectRoute;

impl DirectRoute {
    /// The operation that a request is for; `None`: ask the router. Cost: a comparison or two.
    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        let path = request.uri().path();
        let is = |route: &Self| route.path() == path;
        (request.method() == Method::POST).then(|| Self::ALL.into_iter().find(is)).flatten()
    }

    async fn run(self, api: &Api, head: Head<'_>, body: impl RequestBody) -> Response<Content> {
        match self {
            Self::VerifyKey => v2::verify_key::answer(api, head, body).await,
            Self::Limit => v2::rate_limit::limit(api, head, body).await,
            Self::V1VerifyKey => v1::verify_key::answer(api, head, body).await,
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

/// The answer of one operation.
pub(super) async fn answer<B: RequestBody>(
    api: &Api,
    route: DirectRoute,
    request: Request<B>,
    peer: Option<super::caller::Peer>,
) -> Response<Content> {
    let (parts, body) = request.into_parts();
    let head = Head { headers: &parts.headers, peer };
    let response = match in_time(AssertUnwindSafe(route.run(api, head, body)).catch_unwind()).await {
        Ok(Ok(response)) => response,
        // The panic's own text goes to the log through the panic hook, never into the answer.
        Ok(Err(_panic)) => route.failed(ApiError::Unexpected, &HeaderMap::new()),
        Err(_) => route.failed(ApiError::Timeout, head.headers),
    };
    api.metrics.answered_directly(route, response.status());
    response
}
