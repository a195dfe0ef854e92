//! The two operations of the v1 API that clients still call at run time, with v1's own shapes, on the same engine as v2.
//!
//! | route | who may call |
//! |---|---|
//! | `POST /v1/keys.verifyKey` | anyone; only keys of the one namespace that the server was told ([`super::Api::v1_namespace`]) |
//! | `POST /v1/ratelimits.limit` | root keys, as in v2 |
//!
//! Answers are flat, without an envelope; every one has its request id in the header `Unkey-Request-Id`, and errors a code of their own.

mod authorization;
mod error;
mod rate_limit;
pub(crate) mod verify_key;

use axum::Router;
use axum::http::{self, HeaderName, HeaderValue};
use axum::response::Response;
use axum::routing::{MethodRouter, any, post};

use super::Api;
use super::error::ApiError;
use super::request_id::RequestId;

/// The largest body, in bytes. The longest that passes the rules has about 26 kB of permissions (200 of 128 characters), 32 kB of limits
/// (100) and 2 kB of tags and key. Anyone may call, so nobody gets to send v2's 10 MiB.
pub(super) const MAX_BYTES: usize = 128 * 1024;

const REQUEST_ID: HeaderName = HeaderName::from_static("unkey-request-id");

/// The routes. Under `/v1` what is unknown is answered in v1's form, too.
pub(super) fn routes() -> Router<Api> {
    Router::new()
        // POST is answered before the router is asked.
        .route("/v1/keys.verifyKey", MethodRouter::new().fallback(error::wrong_method))
        .route("/v1/ratelimits.limit", post(rate_limit::handle).fallback(error::wrong_method))
        .route("/v1/{*unknown}", any(error::unknown_path))
}

/// Adds the header that every answer has.
fn with_request_id<B>(request_id: &RequestId, mut answer: http::Response<B>) -> http::Response<B> {
    if let Ok(value) = HeaderValue::from_bytes(request_id.as_bytes()) {
        answer.headers_mut().insert(REQUEST_ID, value);
    }
    answer
}

/// What a request is answered that nothing else could be said to.
pub(super) fn failed(error: ApiError) -> Response {
    error::V1Error::from(error).answer(&RequestId::new())
}

#[cfg(test)]
mod tests;
