//! `POST /v1/keys.verifyKey`: without a caller, for keys of one namespace.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use keyplane_core::address::forwarded_for;
use keyplane_core::hash::KeyHash;
use keyplane_core::plan::Requested;
use keyplane_core::record::{IdentityRecord, KeyRecord};
use keyplane_core::time::Millis;
use keyplane_core::verify::Code;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::authorization::Wanted;
use super::error::V1Error;
use super::rate_limit::LONGEST_WINDOW;
use super::{MAX_BYTES, new_request_id, with_request_id};
use crate::clock;
use crate::engine::{self, EvaluatedLimit, Verdict};
use crate::http::body::{self, Parsed};
use crate::http::error::ApiError;
use crate::http::schema::{Field, Rule};
use crate::http::wanted::{WantedLimit, one};
use crate::http::{Api, payment};

/// The limit of a key that v1 knew before limits had names; the answer's `ratelimit` is about it alone.
const DEFAULT_LIMIT: &str = "default";

const ANY_COUNT: Rule = Rule::Integer { min: 0, max: i64::MAX };
const COST: Rule = Rule::Object { open: true, fields: &[Field::optional("cost", ANY_COUNT)] };

/// Open, as v1's bodies are: what it does not name is passed over.
const BODY: Rule = Rule::Object {
    open: true,
    fields: &[
        Field::optional("apiId", Rule::Text { min: 1, max: 255 }),
        Field::required("key", Rule::Text { min: 1, max: 512 }),
        Field::optional("tags", Rule::List { min: 0, max: 10, item: &Rule::Text { min: 1, max: 128 } }),
        Field::optional(
            "authorization",
            Rule::Object { open: true, fields: &[Field::optional("permissions", Rule::Any)] },
        ),
        Field::optional("remaining", COST),
        Field::optional("ratelimit", COST),
        Field::optional(
            "ratelimits",
            Rule::List {
                min: 0,
                max: 100, // as in v2
                item: &Rule::Object {
                    open: true,
                    fields: &[
                        Field::required("name", Rule::Text { min: 1, max: 255 }),
                        Field::optional("cost", ANY_COUNT),
                        Field::optional("limit", ANY_COUNT),
                        // A counter lives as long as its window, and here anyone can make one.
                        Field::optional("duration", Rule::Integer { min: 0, max: LONGEST_WINDOW }),
                    ],
                },
            },
        ),
    ],
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    api_id: Option<String>,
    key: String,
    #[serde(default)]
    authorization: Authorization,
    remaining: Option<Cost>,
    ratelimit: Option<Cost>,
    #[serde(default)]
    ratelimits: Vec<WantedLimit>,
}

#[derive(Default, Deserialize)]
struct Authorization {
    permissions: Option<Value>,
}

#[derive(Deserialize)]
struct Cost {
    #[serde(default = "one")]
    cost: u64,
}

/// The whole answer; of a key that is not there it has no more than `valid`, `code` and `requestId`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    key: Option<KeyData<'a>>,
    valid: bool,
    code: Code,
    request_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyData<'a> {
    key_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratelimit: Option<LimitData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<u64>,
    enabled: bool,
    permissions: &'a [Arc<str>],
    roles: &'a [Arc<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<IdentityData<'a>>,
}

#[derive(Serialize)]
struct LimitData {
    limit: u64,
    remaining: u64,
    reset: Millis,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IdentityData<'a> {
    id: &'a str,
    external_id: &'a str,
    meta: Meta<'a>,
}

/// `{}` where there is none.
#[derive(Serialize)]
#[serde(untagged)]
enum Meta<'a> {
    Written(&'a RawValue),
    None {},
}

pub(super) async fn handle(State(api): State<Api>, request: Request) -> Response {
    let request_id = new_request_id();
    let result = match body::parse_open::<Body>(request, &BODY, MAX_BYTES).await {
        Ok(parsed) => match verify(&api, &parsed) {
            Ok(verdict) => Ok(payment::paid(&api, verdict, parsed.body.cost()).await),
            Err(error) => Err(error),
        },
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(verdict) => {
            api.metrics.verified(verdict.code);
            with_request_id(&request_id, Json(Answer::new(&verdict, &request_id)))
        }
        Err(error) => error.answer(&request_id),
    }
}

fn verify(api: &Api, Parsed { headers, client: peer, body }: &Parsed<Body>) -> Result<Verdict, V1Error> {
    let namespace = api.v1_namespace.as_deref().ok_or_else(V1Error::verification_is_off)?;
    let wanted = body.authorization.permissions.as_ref().map(Wanted::read).transpose();
    let wanted = wanted.map_err(|error| V1Error::bad_request(error.to_string()))?;
    if api.readiness.index().is_err() {
        return Err(ApiError::NotReady.into());
    }
    let request = engine::Request {
        permissions: wanted.as_ref().map(Wanted::as_permissions),
        keyspaces: &body.api_id.as_deref().map_or_else(Vec::new, |id| vec![id]),
        client: client(headers, *peer),
        limits: &body.limits(),
        cost: body.cost(),
        ..engine::Request::new(KeyHash::of(&body.key))
    };
    Ok(api.engine.verify_for_anyone(namespace, &request, clock::now())?)
}

impl Body {
    /// In credits.
    fn cost(&self) -> u64 {
        self.remaining.as_ref().map_or_else(one, |remaining| remaining.cost)
    }

    fn limits(&self) -> Vec<Requested<'_>> {
        // First, so that an entry of `ratelimits` with the same name stands in its place.
        let default = self.ratelimit.as_ref().map(|limit| Requested {
            name: DEFAULT_LIMIT,
            cost: limit.cost,
            limit: None,
            window_ms: None,
        });
        let others = self.ratelimits.iter().map(WantedLimit::requested);
        default.into_iter().chain(others).collect()
    }
}

/// The address of the key's user: from the headers that v1 read, else from where v2 has it. A header that is no address is no address.
fn client(headers: &HeaderMap, otherwise: Option<IpAddr>) -> Option<IpAddr> {
    let Some(header) = ["true-client-ip", "cf-connecting-ip"].iter().find_map(|name| headers.get(*name)) else {
        return otherwise;
    };
    header.to_str().ok().and_then(|text| forwarded_for(text).ok().flatten())
}

impl<'a> Answer<'a> {
    fn new(verdict: &'a Verdict, request_id: &'a str) -> Self {
        let key = verdict.record.as_deref().map(|record| KeyData::new(record, verdict));
        Self { key, valid: verdict.code == Code::Valid, code: verdict.code, request_id }
    }
}

impl<'a> KeyData<'a> {
    fn new(record: &'a KeyRecord, verdict: &Verdict) -> Self {
        let default = verdict.limits.iter().find(|limit| *limit.name == *DEFAULT_LIMIT);
        Self {
            key_id: &record.id,
            name: record.display_name.as_deref(),
            owner_id: record.identity.as_deref().map(|identity| &*identity.external_id),
            meta: record.meta.as_deref(),
            expires: record.expires,
            ratelimit: default.map(LimitData::from),
            remaining: verdict.credits,
            enabled: record.enabled,
            permissions: &record.permissions,
            roles: &record.roles,
            identity: record.identity.as_deref().map(IdentityData::from),
        }
    }
}

impl From<&EvaluatedLimit> for LimitData {
    fn from(limit: &EvaluatedLimit) -> Self {
        Self { limit: limit.limit, remaining: limit.decision.remaining, reset: limit.decision.reset }
    }
}

impl<'a> From<&'a IdentityRecord> for IdentityData<'a> {
    fn from(identity: &'a IdentityRecord) -> Self {
        let meta = identity.meta.as_deref().map_or(Meta::None {}, Meta::Written);
        Self { id: &identity.id, external_id: &identity.external_id, meta }
    }
}
