//! `POST /v2/ratelimit.limit` and `POST /v2/ratelimit.multiLimit`.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use keyplane_core::time::Millis;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::engine::{LimitRequest, Limited};
use crate::http::envelope::Answer;
use crate::http::error::ApiError;
use crate::http::schema::{Field, Rule};
use crate::http::wanted::one;
use crate::http::{Api, body, caller};

/// The longest window that the API takes, in milliseconds: 30 days.
const LONGEST_WINDOW: i64 = 2_592_000_000;
const NAME: Rule = Rule::Text { min: 1, max: 512 };

const LIMIT: Rule = Rule::Object {
    open: false,
    fields: &[
        Field::required("namespace", NAME),
        Field::required("identifier", NAME),
        Field::required("limit", Rule::Integer { min: 1, max: i64::MAX }),
        Field::required("duration", Rule::Integer { min: 1000, max: LONGEST_WINDOW }),
        Field::optional("cost", Rule::Integer { min: 0, max: i64::MAX }),
    ],
};

const MULTI_LIMIT: Rule = Rule::List { min: 1, max: 100, item: &LIMIT };

#[derive(Deserialize)]
struct Body {
    namespace: String,
    identifier: String,
    limit: i64,
    duration: i64,
    #[serde(default = "one")]
    cost: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LimitData {
    success: bool,
    limit: u64,
    remaining: u64,
    reset: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    override_id: Option<String>,
}

#[derive(Serialize)]
struct MultiLimitData<'a> {
    passed: bool,
    limits: Vec<ItemData<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemData<'a> {
    namespace: &'a str,
    identifier: &'a str,
    limit: u64,
    remaining: u64,
    reset: Millis,
    passed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    override_id: Option<String>,
}

/// One identifier.
pub(crate) async fn limit(State(api): State<Api>, request: Request) -> Response {
    answer(&api, request, &LIMIT, |_: &Body, (_, mut limited)| {
        let Limited { limit, decision, override_id } = limited.pop().ok_or(ApiError::Unexpected)?;
        let data = LimitData {
            success: decision.allowed,
            limit,
            remaining: decision.remaining,
            reset: decision.reset,
            override_id,
        };
        Ok(Answer::new(data).into_response())
    })
    .await
}

/// Several: all are counted, or none is.
pub(crate) async fn multi_limit(State(api): State<Api>, request: Request) -> Response {
    answer(&api, request, &MULTI_LIMIT, |body: &Vec<Body>, (passed, limited)| {
        let items = body.iter().zip(limited).map(|(asked, limited)| ItemData {
            namespace: &asked.namespace,
            identifier: &asked.identifier,
            limit: limited.limit,
            remaining: limited.decision.remaining,
            reset: limited.decision.reset,
            passed: limited.decision.allowed,
            override_id: limited.override_id,
        });
        Ok(Answer::new(MultiLimitData { passed, limits: items.collect() }).into_response())
    })
    .await
}

/// A body that asks for one limit or for several.
trait Asks: DeserializeOwned {
    fn asked(&self) -> &[Body];
}

impl Asks for Body {
    fn asked(&self) -> &[Body] {
        std::slice::from_ref(self)
    }
}

impl Asks for Vec<Body> {
    fn asked(&self) -> &[Body] {
        self
    }
}

/// What both operations do: form, caller, limits, answer.
async fn answer<T: Asks>(
    api: &Api,
    request: Request,
    rule: &Rule,
    render: impl Fn(&T, (bool, Vec<Limited>)) -> Result<Response, ApiError>,
) -> Response {
    let (headers, result) = match body::parse::<T>(request, rule).await {
        Ok(parsed) => {
            let limited = evaluate(api, &parsed.headers, parsed.body.asked());
            let answer = limited.and_then(|limited| render(&parsed.body, limited));
            (parsed.headers, answer)
        }
        Err((headers, error)) => (headers, Err(error)),
    };
    result.unwrap_or_else(|error| error.answer(&headers))
}

fn evaluate(api: &Api, headers: &HeaderMap, asked: &[Body]) -> Result<(bool, Vec<Limited>), ApiError> {
    if api.readiness.index().is_err() {
        return Err(ApiError::NotReady);
    }
    let now = clock::now();
    let caller = caller::authenticate(&api.engine, headers, now)?;
    let requests: Vec<LimitRequest<'_>> = asked
        .iter()
        .map(|body| LimitRequest {
            name: &body.namespace,
            identifier: &body.identifier,
            limit: body.limit,
            window_ms: body.duration,
            cost: body.cost,
        })
        .collect();
    let (passed, limited) = api.engine.rate_limit(&caller, &requests, now)?;
    api.metrics.rate_limited(passed);
    Ok((passed, limited))
}
