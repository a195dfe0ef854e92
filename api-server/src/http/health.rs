//! Health on the API's own port, for load balancers; the operational listener has the full checks.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::Api;

#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
}

/// The process answers.
pub(super) async fn live() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// The index is complete and the process is not stopping.
pub(super) async fn ready(State(api): State<Api>) -> (StatusCode, Json<Health>) {
    if api.readiness.is_ready() {
        (StatusCode::OK, Json(Health { status: "ok" }))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "not ready" }))
    }
}
