//! `POST /v1/keys.verifyKey`: without a caller, for keys of one namespace.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderName, Response};
use hyper::body::Bytes;
use keyplane_core::address::forwarded_for;
use keyplane_core::key;
use keyplane_core::plan::Requested;
use keyplane_core::time::Millis;
use serde::Deserialize;
use serde_json::Value;

use super::authorization::Wanted;
use super::error::V1Error;
use super::rate_limit::LONGEST_WINDOW;
use super::{MAX_BYTES, with_request_id};
use crate::answer;
use crate::answer::v1::DEFAULT_LIMIT;
use crate::clock;
use crate::engine::{self, Found, Verdict};
use crate::http::body::{self, Credentials};
use crate::http::caller::{self, Head};
use crate::http::content::{self, Content};
use crate::http::direct::Decided;
use crate::http::error::ApiError;
use crate::http::form::{Count, List, Text, present};
use crate::http::request_id::RequestId;
use crate::http::schema::{Field, Rule};
use crate::http::wanted::{self, AnyCount, one};
use crate::http::{Api, payment};

type ApiId<'a> = Text<'a, 1, 255>;
type Key<'a> = Text<'a, 1, 512>;
type Tag<'a> = Text<'a, 1, 128>;
type Tags<'a> = List<Tag<'a>, 0, 10>;
/// Any length: the query's own rules come later.
type Query<'a> = Text<'a, 0, MAX_BYTES>;
/// A counter lives as long as its window, and here anyone can make one.
type WantedLimit<'a> = wanted::WantedLimit<'a, 1, LONGEST_WINDOW>;
/// As many as in v2.
type WantedLimits<'a> = List<WantedLimit<'a>, 0, 100>;

const COST: Rule = Rule::Object { open: true, fields: &[Field::optional("cost", AnyCount::RULE)] };

/// Open, as v1's bodies are: what it does not name is passed over.
const BODY: Rule = Rule::Object {
    open: true,
    fields: &[
        Field::optional("apiId", ApiId::RULE),
        Field::required("key", Key::RULE),
        Field::optional("tags", Tags::rule(&Tag::RULE)),
        Field::optional(
            "authorization",
            Rule::Object { open: true, fields: &[Field::optional("permissions", Rule::Any)] },
        ),
        Field::optional("remaining", COST),
        Field::optional("ratelimit", COST),
        Field::optional("ratelimits", WantedLimits::rule(&WantedLimit::RULE)),
    ],
};

/// The body.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    api_id: Option<ApiId<'a>>,
    #[serde(borrow)]
    key: Key<'a>,
    #[serde(borrow, default)]
    tags: Tags<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    authorization: Option<Authorization<'a>>,
    #[serde(default, deserialize_with = "present")]
    remaining: Option<Cost>,
    #[serde(default, deserialize_with = "present")]
    ratelimit: Option<Cost>,
    #[serde(borrow, default)]
    ratelimits: WantedLimits<'a>,
}

/// Only the form that most clients send; any other is taken out of the value by [`other_permissions`].
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Authorization<'a> {
    #[serde(borrow, default)]
    permissions: Option<Query<'a>>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cost {
    #[serde(default, deserialize_with = "present")]
    cost: Option<AnyCount>,
}

/// Any answer of the operation.
pub(crate) fn decide(api: &Arc<Api>, head: Head<'_>, bytes: &Bytes) -> Decided {
    let request_id = RequestId::new();
    verify(api, head, bytes, request_id).unwrap_or_else(|error| error.answer(&request_id).map(Content::from).into())
}

fn verify(api: &Arc<Api>, head: Head<'_>, bytes: &Bytes, request_id: RequestId) -> Result<Decided, V1Error> {
    let mut slow = Value::Null;
    let (body, other_permissions) = parse(head, bytes, &mut slow)?;
    let namespace = api.v1_namespace.as_deref().ok_or_else(V1Error::verification_is_off)?;
    let wanted = match (&other_permissions, body.authorization.as_ref().and_then(|a| a.permissions.as_deref())) {
        (Some(value), _) => Some(Wanted::read(value).map_err(|error| V1Error::bad_request(error.to_string()))?),
        (None, text) => text.map(Wanted::Text),
    };
    if !api.readiness.has_index() {
        return Err(ApiError::NotReady.into());
    }
    let keyspace = body.api_id.as_deref();
    let limits = body.limits();
    let request = engine::Request {
        permissions: wanted.as_ref().map(Wanted::as_permissions),
        keyspaces: keyspace.as_slice(),
        client: client(head),
        limits: &limits,
        cost: body.cost(),
        ..engine::Request::presented(key::presented(&body.key))
    };
    let (mut found, now) = (Found::default(), clock::now());
    let verdict = api.engine.verify_for_anyone(namespace, &request, &mut found, now)?;
    if verdict.unpaid.is_none() {
        let tags = body.tags.iter().map(|tag| &**tag);
        return Ok(conclude(api, &verdict, tags, request_id, request.cost, now).into());
    }
    let (keep, cost, api) = (verdict.keep(), request.cost, api.clone());
    let tags: Vec<String> = body.tags.iter().map(|tag| (**tag).to_owned()).collect();
    let mut kept = keep(found);
    Ok(Decided::Later(Box::pin(async move {
        let mut verdict = kept.verdict();
        payment::paid(&api, &mut verdict, cost).await;
        conclude(&api, &verdict, tags.iter().map(String::as_str), request_id, cost, now)
    })))
}

/// What follows from a verdict that is final, and its answer.
fn conclude<'t>(
    api: &Api,
    verdict: &Verdict<'_>,
    tags: impl IntoIterator<Item = &'t str>,
    request_id: RequestId,
    cost: u64,
    now: Millis,
) -> Response<Content> {
    api.metrics.verified(verdict.code);
    api.engine.concluded(verdict, &request_id, tags, cost, now);
    with_request_id(&request_id, content::json(answer::v1::verdict(&request_id, verdict)))
}

/// As [`body::parse`], with permissions that are no text beside the body.
fn parse<'a>(head: Head<'_>, bytes: &'a [u8], slow: &'a mut Value) -> Result<(Body<'a>, Option<Value>), ApiError> {
    if let Some(body) = body::direct(head, bytes, Credentials::Open) {
        return Ok((body, None));
    }
    *slow = body::checked(head, bytes, &BODY, Credentials::Open)?;
    let other = other_permissions(slow);
    Ok((body::typed(slow)?, other))
}

/// Takes permissions that are no text out of a body.
fn other_permissions(body: &mut Value) -> Option<Value> {
    let permissions = body.pointer_mut("/authorization/permissions")?;
    (!permissions.is_null() && !permissions.is_string()).then(|| permissions.take())
}

impl Body<'_> {
    /// In credits.
    fn cost(&self) -> u64 {
        self.remaining.as_ref().map_or_else(one, Cost::or_one)
    }

    fn limits(&self) -> Vec<Requested<'_>> {
        // First, so that an entry of `ratelimits` with the same name stands in its place.
        let default = self.ratelimit.as_ref().map(|limit| Requested {
            name: DEFAULT_LIMIT,
            cost: limit.or_one(),
            limit: None,
            window_ms: None,
        });
        let others = self.ratelimits.iter().map(WantedLimit::requested);
        default.into_iter().chain(others).collect()
    }
}

impl Cost {
    fn or_one(&self) -> u64 {
        self.cost.map_or_else(one, Count::unsigned)
    }
}

const CLIENT: [HeaderName; 2] =
    [HeaderName::from_static("true-client-ip"), HeaderName::from_static("cf-connecting-ip")];

/// The address of the key's user: from the headers that v1 read, else from where v2 has it. A header that is no address is no address.
fn client(head: Head<'_>) -> Option<IpAddr> {
    let Some(header) = CLIENT.iter().find_map(|name| head.headers.get(name)) else {
        return caller::client(head);
    };
    header.to_str().ok().and_then(|text| forwarded_for(text).ok().flatten())
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
            r#"{"key":"k"}"#,
            r#"{"apiId":"api_1","key":"k","tags":["a"],"authorization":{"permissions":"a AND b"},"remaining":{"cost":0}}"#,
            r#"{"key":"k","ratelimit":{},"ratelimits":[{"name":"x","limit":1,"duration":1000,"cost":3}]}"#,
        ] {
            assert!(random::agrees::<Body<'_>>(body.as_bytes(), &mut Value::Null, &BODY), "{body}");
        }
    }
}
