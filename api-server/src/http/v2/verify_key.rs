//! `POST /v2/keys.verifyKey`.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use keyplane_core::hash::KeyHash;
use keyplane_core::plan::{Configured, Requested};
use keyplane_core::record::{IdentityRecord, KeyRecord};
use keyplane_core::time::Millis;
use keyplane_core::verify::Code;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock;
use crate::engine::{self, EvaluatedLimit, Permissions, Verdict};
use crate::http::body::Parsed;
use crate::http::envelope::Answer;
use crate::http::error::ApiError;
use crate::http::schema::{Field, Rule};
use crate::http::wanted::{WantedLimit, one};
use crate::http::{Api, body, caller, payment};

const ANY_COUNT: Rule = Rule::Integer { min: 0, max: i64::MAX };

const BODY: Rule = Rule::Object {
    open: false,
    fields: &[
        Field::required("key", Rule::Text { min: 1, max: 512 }),
        Field::optional("tags", Rule::List { min: 0, max: 20, item: &Rule::Text { min: 1, max: 512 } }),
        Field::optional("permissions", Rule::Text { min: 1, max: 1000 }),
        Field::optional(
            "credits",
            Rule::Object {
                open: false,
                fields: &[Field::required("cost", Rule::Integer { min: 0, max: 1_000_000_000_000 })],
            },
        ),
        Field::optional(
            "ratelimits",
            Rule::List {
                min: 0,
                max: 100, // as many as one multiLimit; each is a counter to lock
                item: &Rule::Object {
                    open: true,
                    fields: &[
                        Field::required("name", Rule::Text { min: 3, max: 255 }),
                        Field::optional("cost", ANY_COUNT),
                        Field::optional("limit", ANY_COUNT),
                        Field::optional("duration", ANY_COUNT),
                    ],
                },
            },
        ),
        Field::optional("migrationId", Rule::Text { min: 0, max: 256 }),
        Field::optional("keyspaces", Rule::List { min: 0, max: 100, item: &Rule::Text { min: 1, max: 255 } }),
    ],
};

/// What this version reads of the body; the rest (`tags`, `migrationId`) is checked and not used yet.
#[derive(Deserialize)]
struct Body {
    key: String,
    permissions: Option<String>,
    #[serde(default)]
    keyspaces: Vec<String>,
    #[serde(default)]
    ratelimits: Vec<WantedLimit>,
    #[serde(default)]
    credits: Credits,
}

#[derive(Deserialize)]
struct Credits {
    cost: u64,
}

impl Default for Credits {
    fn default() -> Self {
        Self { cost: one() }
    }
}

/// `data` of the answer. What is empty is left out, never null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    valid: bool,
    code: Code,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    key: Option<KeyData<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyData<'a> {
    key_id: &'a str,
    keyspace_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credits: Option<u64>,
    enabled: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    permissions: &'a [std::sync::Arc<str>],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    roles: &'a [std::sync::Arc<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<IdentityData<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ratelimits: Vec<LimitData<'a>>,
}

/// A limit that was evaluated.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LimitData<'a> {
    id: &'a str,
    name: &'a str,
    limit: u64,
    duration: i64,
    remaining: u64,
    reset: Millis,
    exceeded: bool,
    auto_apply: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IdentityData<'a> {
    id: &'a str,
    external_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ratelimits: Vec<ConfiguredData<'a>>,
}

/// A limit of an identity, as it is configured.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfiguredData<'a> {
    id: &'a str,
    name: &'a str,
    limit: u64,
    duration: i64,
    auto_apply: bool,
}

pub(crate) async fn handle(State(api): State<Api>, request: Request) -> Response {
    let (headers, result) = match body::parse::<Body>(request, &BODY).await {
        Ok(parsed) => {
            let result = match verify(&api, &parsed) {
                Ok(verdict) => Ok(payment::paid(&api, verdict, parsed.body.credits.cost).await),
                Err(error) => Err(error),
            };
            (parsed.headers, result)
        }
        Err((headers, error)) => (headers, Err(error)),
    };
    match result {
        Ok(verdict) => {
            api.metrics.verified(verdict.code);
            Answer::new(Data::from(&verdict)).into_response()
        }
        Err(error) => error.answer(&headers),
    }
}

fn verify(api: &Api, Parsed { headers, client, body }: &Parsed<Body>) -> Result<Verdict, ApiError> {
    if api.readiness.index().is_err() {
        return Err(ApiError::NotReady);
    }
    let now = clock::now();
    let caller = caller::authenticate(&api.engine, headers, now)?;
    let keyspaces: Vec<&str> = body.keyspaces.iter().map(String::as_str).collect();
    let limits: Vec<Requested<'_>> = body.ratelimits.iter().map(WantedLimit::requested).collect();
    let request = engine::Request {
        limits: &limits,
        client: *client,
        hash: KeyHash::of(&body.key),
        permissions: body.permissions.as_deref().map(Permissions::Text),
        keyspaces: &keyspaces,
        cost: body.credits.cost,
    };
    Ok(api.engine.verify(&caller, &request, now)?)
}

impl<'a> From<&'a Verdict> for Data<'a> {
    fn from(verdict: &'a Verdict) -> Self {
        let key = verdict.record.as_deref().map(|record| KeyData::new(record, verdict));
        Self { valid: verdict.code == Code::Valid, code: verdict.code, key }
    }
}

impl<'a> KeyData<'a> {
    fn new(record: &'a KeyRecord, verdict: &'a Verdict) -> Self {
        Self {
            key_id: &record.id,
            keyspace_id: &record.keyspace_id,
            name: record.display_name.as_deref(),
            meta: record.meta.as_deref(),
            expires: record.expires,
            credits: verdict.credits,
            enabled: record.enabled,
            permissions: &record.permissions,
            roles: &record.roles,
            identity: record.identity.as_deref().map(|identity| IdentityData::new(identity, record)),
            ratelimits: verdict.limits.iter().map(LimitData::from).collect(),
        }
    }
}

impl<'a> From<&'a EvaluatedLimit> for LimitData<'a> {
    fn from(limit: &'a EvaluatedLimit) -> Self {
        Self {
            id: &limit.id,
            name: &limit.name,
            limit: limit.limit,
            duration: limit.window_ms,
            remaining: limit.decision.remaining,
            reset: limit.decision.reset,
            exceeded: !limit.decision.allowed,
            auto_apply: limit.auto_apply,
        }
    }
}

impl<'a> IdentityData<'a> {
    /// The identity with those of its limits that no limit of the key shadows.
    fn new(identity: &'a IdentityRecord, record: &'a KeyRecord) -> Self {
        let limits = identity.limits.iter().filter(|limit| !record.own_limits.iter().any(|own| own.name == limit.name));
        Self {
            id: &identity.id,
            external_id: &identity.external_id,
            meta: identity.meta.as_deref(),
            ratelimits: limits.map(ConfiguredData::from).collect(),
        }
    }
}

impl<'a> From<&'a Configured> for ConfiguredData<'a> {
    fn from(limit: &'a Configured) -> Self {
        Self {
            id: &limit.id,
            name: &limit.name,
            limit: limit.rule.limit.count(),
            duration: limit.rule.limit.window_ms(),
            auto_apply: limit.auto_apply,
        }
    }
}
