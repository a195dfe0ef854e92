//! `POST /v2/ratelimit.limit` and `POST /v2/ratelimit.multiLimit`.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use hyper::body::Bytes;
use keyplane_core::time::Millis;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer;
use crate::clock;
use crate::engine::{LimitRequest, Limited};
use crate::http::body::{self, Credentials, RequestBody};
use crate::http::caller::Head;
use crate::http::content::Content;
use crate::http::direct::Decided;
use crate::http::envelope::Answer;
use crate::http::error::ApiError;
use crate::http::form::{Count, List, Text, present};
use crate::http::request_id::RequestId;
use crate::http::schema::{Field, Rule};
use crate::http::wanted::{AnyCount, one};
use crate::http::{Api, caller};

/// The longest window that the API takes, in milliseconds: 30 days.
const LONGEST_WINDOW: i64 = 2_592_000_000;

type Name<'a> = Text<'a, 1, 512>;
type MaxCount = Count<1, { i64::MAX }>;
type Window = Count<1000, LONGEST_WINDOW>;
type Bodies<'a> = List<Body<'a>, 1, 100>;

const LIMIT: Rule = Rule::Object {
    open: false,
    fields: &[
        Field::required("namespace", Name::RULE),
        Field::required("identifier", Name::RULE),
        Field::required("limit", MaxCount::RULE),
        Field::required("duration", Window::RULE),
        Field::optional("cost", AnyCount::RULE),
    ],
};

const MULTI_LIMIT: Rule = Bodies::rule(&LIMIT);

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow)]
    namespace: Name<'a>,
    #[serde(borrow)]
    identifier: Name<'a>,
    limit: MaxCount,
    duration: Window,
    #[serde(default, deserialize_with = "present")]
    cost: Option<AnyCount>,
}

impl Body<'_> {
    /// As the engine takes it.
    fn request(&self) -> LimitRequest<'_> {
        LimitRequest {
            name: &self.namespace,
            identifier: &self.identifier,
            limit: self.limit.get(),
            window_ms: self.duration.get(),
            cost: self.cost.map_or_else(one, Count::unsigned),
        }
    }
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

/// Any answer of `ratelimit.limit`: one identifier.
pub(crate) fn decide(api: &Api, head: Head<'_>, bytes: &Bytes) -> Decided {
    limit_one(api, head, bytes).unwrap_or_else(|error| error.answer(head.headers).map(Content::from).into())
}

fn limit_one(api: &Api, head: Head<'_>, bytes: &Bytes) -> Result<Decided, ApiError> {
    let mut slow = Value::Null;
    let body: Body<'_> = body::parse(head, bytes, &mut slow, &LIMIT, Credentials::Required)?;
    let (_, limited) = evaluate(api, head, &[body.request()])?;
    let limited = limited.first().ok_or(ApiError::Unexpected)?;
    Ok(Decided::Json(answer::v2::limited(&RequestId::new(), limited)))
}

/// `ratelimit.multiLimit`: several, of which all are counted, or none is.
pub(crate) async fn multi_limit(State(api): State<Api>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let head = Head::of(&parts);
    limit_all(&api, head, body).await.unwrap_or_else(|error| error.answer(head.headers))
}

async fn limit_all(api: &Api, head: Head<'_>, body: impl RequestBody) -> Result<Response, ApiError> {
    let bytes = body::read(body, body::MAX_BYTES).await?;
    let mut slow = Value::Null;
    let asked: Bodies<'_> = body::parse(head, &bytes, &mut slow, &MULTI_LIMIT, Credentials::Required)?;
    let requests: Vec<LimitRequest<'_>> = asked.iter().map(Body::request).collect();
    let (passed, limited) = evaluate(api, head, &requests)?;
    let items = requests.iter().zip(limited).map(|(asked, limited)| ItemData {
        namespace: asked.name,
        identifier: asked.identifier,
        limit: limited.limit,
        remaining: limited.decision.remaining,
        reset: limited.decision.reset,
        passed: limited.decision.allowed,
        override_id: limited.override_id,
    });
    Ok(Answer::new(MultiLimitData { passed, limits: items.collect() }).into_response())
}

fn evaluate(api: &Api, head: Head<'_>, requests: &[LimitRequest<'_>]) -> Result<(bool, Vec<Limited>), ApiError> {
    if !api.readiness.has_index() {
        return Err(ApiError::NotReady);
    }
    let now = clock::now();
    let (passed, limited) =
        caller::authenticated(&api.engine, head, now, |caller| api.engine.rate_limit(caller, requests, now))??;
    api.metrics.rate_limited(passed);
    Ok((passed, limited))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::form::random;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_direct_reading_takes_nothing_that_the_rules_refuse(bytes in random::bodies(&LIMIT)) {
            random::agrees::<Body<'_>>(&bytes, &mut Value::Null, &LIMIT);
        }
    }

    #[test]
    fn what_clients_send_is_read_directly() {
        for body in [
            r#"{"namespace":"n","identifier":"i","limit":1,"duration":1000}"#,
            r#"{"namespace":"n","identifier":"i","limit":9223372036854775807,"duration":2592000000,"cost":0}"#,
        ] {
            assert!(random::agrees::<Body<'_>>(body.as_bytes(), &mut Value::Null, &LIMIT), "{body}");
        }
    }
}
