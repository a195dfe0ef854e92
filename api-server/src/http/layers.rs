//! What stands around every handler of the router, in one function: the order is the meaning. [`super::direct`] does the same for the
//! operations that it answers.

use std::any::Any;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderMap;
use axum::middleware::{self, Next};
use axum::response::Response;
use tower_http::catch_panic::CatchPanicLayer;

use super::Api;
use super::error::ApiError;
use super::time_limit::in_time;

/// Wraps the routes. The last one added is the outermost.
pub(super) fn apply(routes: Router<Api>, api: &Api) -> Router<Api> {
    routes
        .layer(middleware::from_fn(limit_time))
        // Outside the time limit: a panic is an answer like any other and must be counted below.
        .layer(CatchPanicLayer::custom(after_panic))
        // Outermost, so that it sees the status that the client sees.
        .layer(middleware::from_fn_with_state(api.clone(), count))
}

async fn limit_time(request: Request, next: Next) -> Response {
    let headers = request.headers().clone();
    match in_time(next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::Timeout.answer(&headers),
    }
}

/// The panic's own text goes to the log through the panic hook, never into the answer.
fn after_panic(_panic: Box<dyn Any + Send + 'static>) -> Response {
    ApiError::Unexpected.answer(&HeaderMap::new())
}

async fn count(State(api): State<Api>, request: Request, next: Next) -> Response {
    // The route, not the path: a label must not grow with what clients send.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    api.metrics.answered(route.as_ref().map_or("other", MatchedPath::as_str), response.status());
    response
}
