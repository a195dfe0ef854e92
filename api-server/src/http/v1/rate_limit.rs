//! `POST /v1/ratelimits.limit`.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use keyplane_core::time::Millis;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::V1Error;
use super::{MAX_BYTES, with_request_id};
use crate::clock;
use crate::engine::{LimitRequest, Limited};
use crate::http::body::{self, Credentials, RequestBody};
use crate::http::caller::Head;
use crate::http::error::ApiError;
use crate::http::form::{Count, Text, present};
use crate::http::request_id::RequestId;
use crate::http::schema::{Field, Rule};
use crate::http::wanted::{AnyCount, one};
use crate::http::{Api, caller};

/// The longest window, in milliseconds: 30 days.
pub(super) const LONGEST_WINDOW: i64 = 2_592_000_000;

type Name<'a> = Text<'a, 1, 512>;
type MaxCount = Count<1, { i64::MAX }>;
type Window = Count<1000, LONGEST_WINDOW>;

/// Open, as v1's bodies are: `async`, `meta`, `resources` and `sharding` say nothing that changes the answer here.
const BODY: Rule = Rule::Object {
    open: true,
    fields: &[
        Field::optional("namespace", Name::RULE),
        Field::required("identifier", Name::RULE),
        Field::required("limit", MaxCount::RULE),
        Field::required("duration", Window::RULE),
        Field::optional("cost", AnyCount::RULE),
    ],
};

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    namespace: Option<Name<'a>>,
    #[serde(borrow)]
    identifier: Name<'a>,
    limit: MaxCount,
    duration: Window,
    #[serde(default, deserialize_with = "present")]
    cost: Option<AnyCount>,
}

/// What a request limits that names nothing.
const DEFAULT_NAMESPACE: &str = "default";

#[derive(Serialize)]
struct Answer {
    success: bool,
    limit: u64,
    remaining: u64,
    reset: Millis,
}

pub(super) async fn handle(State(api): State<Api>, request: Request) -> Response {
    let request_id = RequestId::new();
    let (parts, body) = request.into_parts();
    match limit(&api, Head::of(&parts), body).await {
        Ok(answer) => with_request_id(&request_id, Json(answer).into_response()),
        Err(error) => error.answer(&request_id),
    }
}

async fn limit(api: &Api, head: Head<'_>, body: impl RequestBody) -> Result<Answer, V1Error> {
    let bytes = body::read(body, MAX_BYTES).await?;
    let mut slow = Value::Null;
    let body: Body<'_> = body::parse(head, &bytes, &mut slow, &BODY, Credentials::Open)?;
    if !api.readiness.has_index() {
        return Err(ApiError::NotReady.into());
    }
    let now = clock::now();
    let request = LimitRequest {
        name: body.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE),
        identifier: &body.identifier,
        limit: body.limit.get(),
        window_ms: body.duration.get(),
        cost: body.cost.map_or_else(one, Count::unsigned),
    };
    let (passed, mut limited) =
        caller::authenticated(&api.engine, head, now, |caller| api.engine.rate_limit(caller, &[request], now))??;
    let Limited { limit, decision, .. } = limited.pop().ok_or(ApiError::Unexpected)?;
    api.metrics.rate_limited(passed);
    Ok(Answer { success: decision.allowed, limit, remaining: decision.remaining, reset: decision.reset })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::form::random;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_direct_reading_takes_nothing_that_the_rules_refuse(bytes in random::bodies(&BODY)) {
            random::agrees::<Body<'_>>(&bytes, &mut Value::Null, &BODY);
        }
    }

    #[test]
    fn what_clients_send_is_read_directly() {
        for body in [
            r#"{"identifier":"i","limit":1,"duration":1000}"#,
            r#"{"namespace":"n","identifier":"i","limit":5,"duration":2592000000,"cost":0}"#,
        ] {
            assert!(random::agrees::<Body<'_>>(body.as_bytes(), &mut Value::Null, &BODY), "{body}");
        }
    }
}
