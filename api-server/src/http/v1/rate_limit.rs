//! `POST /v1/ratelimits.limit`.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::Response;
use keyplane_core::time::Millis;
use serde::{Deserialize, Serialize};

use super::error::V1Error;
use super::{MAX_BYTES, new_request_id, with_request_id};
use crate::clock;
use crate::engine::{LimitRequest, Limited};
use crate::http::body::{self, Parsed};
use crate::http::error::ApiError;
use crate::http::schema::{Field, Rule};
use crate::http::wanted::one;
use crate::http::{Api, caller};

/// The longest window, in milliseconds: 30 days.
pub(super) const LONGEST_WINDOW: i64 = 2_592_000_000;

/// Open, as v1's bodies are: `async`, `meta`, `resources` and `sharding` say nothing that changes the answer here.
const BODY: Rule = Rule::Object {
    open: true,
    fields: &[
        Field::optional("namespace", Rule::Text { min: 1, max: 512 }),
        Field::required("identifier", Rule::Text { min: 1, max: 512 }),
        Field::required("limit", Rule::Integer { min: 1, max: i64::MAX }),
        Field::required("duration", Rule::Integer { min: 1000, max: LONGEST_WINDOW }),
        Field::optional("cost", Rule::Integer { min: 0, max: i64::MAX }),
    ],
};

#[derive(Deserialize)]
struct Body {
    #[serde(default = "default_namespace")]
    namespace: String,
    identifier: String,
    limit: i64,
    duration: i64,
    #[serde(default = "one")]
    cost: u64,
}

fn default_namespace() -> String {
    "default".to_owned()
}

#[derive(Serialize)]
struct Answer {
    success: bool,
    limit: u64,
    remaining: u64,
    reset: Millis,
}

pub(super) async fn handle(State(api): State<Api>, request: Request) -> Response {
    let request_id = new_request_id();
    let result = match body::parse_open::<Body>(request, &BODY, MAX_BYTES).await {
        Ok(parsed) => limit(&api, &parsed),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(answer) => with_request_id(&request_id, Json(answer)),
        Err(error) => error.answer(&request_id),
    }
}

fn limit(api: &Api, Parsed { headers, body, .. }: &Parsed<Body>) -> Result<Answer, V1Error> {
    if api.readiness.index().is_err() {
        return Err(ApiError::NotReady.into());
    }
    let now = clock::now();
    let caller = caller::authenticate(&api.engine, headers, now)?;
    let request = LimitRequest {
        name: &body.namespace,
        identifier: &body.identifier,
        limit: body.limit,
        window_ms: body.duration,
        cost: body.cost,
    };
    let (passed, mut limited) = api.engine.rate_limit(&caller, &[request], now)?;
    let Limited { limit, decision, .. } = limited.pop().ok_or(ApiError::Unexpected)?;
    api.metrics.rate_limited(passed);
    Ok(Answer { success: decision.allowed, limit, remaining: decision.remaining, reset: decision.reset })
}
