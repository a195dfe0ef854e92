//! The HTTP API: every route in one function.
//!
//! | route | what it does |
//! |---|---|
//! | `POST /v2/keys.verifyKey` | verifies a key (`v2/verify_key.rs`) |
//! | `POST /v2/ratelimit.limit`, `/v2/ratelimit.multiLimit` | limits an identifier (`v2/rate_limit.rs`) |
//! | `POST /v1/keys.verifyKey`, `/v1/ratelimits.limit` | the same in the shapes of v1 (`v1/`) |
//! | `GET /v2/liveness` | says that the process answers, in the API's envelope |
//! | `GET /health/live`, `/health/ready`, `/health/startup` | for load balancers that see only this port |

mod body;
mod caller;
mod envelope;
mod error;
mod health;
mod layers;
mod payment;
mod schema;
pub mod serve;
mod v1;
mod v2;
mod wanted;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::engine::Engine;
use crate::metrics::Metrics;
use crate::readiness::Readiness;

/// What handlers share; cheap to clone.
#[derive(Clone)]
pub struct Api {
    /// Answers everything about keys and callers.
    pub engine: Arc<Engine>,
    /// Counts what was answered.
    pub metrics: Arc<Metrics>,
    /// Whether the index is complete.
    pub readiness: Readiness,
    /// The namespace of which the v1 API verifies keys, without a caller; `None`: it verifies none.
    pub v1_namespace: Option<Arc<str>>,
}

/// The routes of the API.
pub fn router(api: Api) -> Router {
    let routes = Router::new()
        .route("/v2/keys.verifyKey", post(v2::verify_key::handle))
        .route("/v2/ratelimit.limit", post(v2::rate_limit::limit))
        .route("/v2/ratelimit.multiLimit", post(v2::rate_limit::multi_limit))
        .merge(v1::routes())
        .route("/v2/liveness", get(v2::liveness))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/health/startup", get(health::ready))
        .fallback(error::unknown_path)
        .method_not_allowed_fallback(error::wrong_method);
    layers::apply(routes, &api).with_state(api)
}

#[cfg(test)]
mod tests;
