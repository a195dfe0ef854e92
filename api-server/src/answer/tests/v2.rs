//! The model of v2: what its answers are, told to serde.

use keyplane_core::limit::Decision;
use keyplane_core::plan::Configured;
use keyplane_core::record::{IdentityRecord, KeyRecord};
use keyplane_core::time::Millis;
use keyplane_core::verify::Code;
use proptest::prelude::*;
use serde::Serialize;
use serde_json::value::RawValue;

use super::records::{self, Outcome};
use super::{EvaluatedLimit, RequestId, Verdict};
use crate::answer::v2;
use crate::engine::Limited;

#[derive(Serialize)]
struct Answer<T> {
    meta: Meta,
    data: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    request_id: RequestId,
}

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
    name: Option<String>,
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

impl<'a> From<&'a Verdict<'a>> for Data<'a> {
    fn from(verdict: &'a Verdict<'a>) -> Self {
        let key = verdict.key.map(|record| KeyData::new(record, verdict));
        Self { valid: verdict.code == Code::Valid, code: verdict.code, key }
    }
}

impl<'a> KeyData<'a> {
    fn new(record: &'a KeyRecord, verdict: &'a Verdict<'a>) -> Self {
        Self {
            key_id: record.id(),
            keyspace_id: &record.keyspace_id,
            name: record.display_name().map(String::from),
            meta: record.meta(),
            expires: record.expires,
            credits: verdict.credits,
            enabled: record.enabled,
            permissions: record.permissions(),
            roles: record.roles(),
            identity: record.identity.as_deref().map(|identity| IdentityData::new(identity, record)),
            ratelimits: verdict.limits.iter().map(LimitData::from).collect(),
        }
    }
}

impl<'a> From<&'a EvaluatedLimit<'a>> for LimitData<'a> {
    fn from(limit: &'a EvaluatedLimit<'a>) -> Self {
        Self {
            id: limit.id,
            name: limit.name,
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
        let shadowed = |limit: &Configured| record.own_limits().iter().any(|own| own.name == limit.name);
        Self {
            id: &identity.id,
            external_id: &identity.external_id,
            meta: identity.meta.as_deref(),
            ratelimits: identity.limits.iter().filter(|limit| !shadowed(limit)).map(ConfiguredData::from).collect(),
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

/// The answer of `ratelimit.limit`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LimitedData {
    success: bool,
    limit: u64,
    remaining: u64,
    reset: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    override_id: Option<String>,
}

fn expected(request_id: RequestId, data: impl Serialize) -> String {
    serde_json::to_string(&Answer { meta: Meta { request_id }, data }).unwrap()
}

proptest! {
    #[test]
    fn a_verdict_is_written_as_the_model_says(key in records::key(), outcome in records::outcome(), found: bool) {
        let Outcome { code, credits, limits } = &outcome;
        let limits = limits.iter().map(|(id, name, limit, window_ms, auto_apply, decision)| EvaluatedLimit {
            id,
            name,
            limit: *limit,
            window_ms: *window_ms,
            auto_apply: *auto_apply,
            decision: *decision,
        });
        let key = found.then_some(&key);
        let verdict = Verdict { code: *code, key, limits: limits.collect(), credits: *credits, unpaid: None };
        let id = RequestId::new();
        let written = String::from_utf8(v2::verdict(&id, &verdict)).unwrap();
        prop_assert_eq!(written, expected(id, Data::from(&verdict)));
    }

    #[test]
    fn a_limit_is_written_as_the_model_says(
        (allowed, limit, remaining, reset) in any::<(bool, u64, u64, i64)>(),
        override_id in proptest::option::of(any::<String>()),
    ) {
        let decision = Decision { allowed, remaining, reset: Millis(reset) };
        let limited = Limited { limit, decision, override_id: override_id.clone() };
        let data = LimitedData { success: allowed, limit, remaining, reset: Millis(reset), override_id };
        let id = RequestId::new();
        let written = String::from_utf8(v2::limited(&id, &limited)).unwrap();
        prop_assert_eq!(written, expected(id, data));
    }
}
