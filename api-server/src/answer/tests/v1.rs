//! The model of v1: what its answers are, told to serde.

use std::sync::Arc;

use keyplane_core::record::{IdentityRecord, KeyRecord};
use keyplane_core::time::Millis;
use keyplane_core::verify::Code;
use proptest::prelude::*;
use serde::Serialize;
use serde_json::value::RawValue;

use super::records::{self, Outcome};
use super::{EvaluatedLimit, RequestId, Verdict};
use crate::answer::v1;

/// The whole answer; of a key that is not there it has no more than `valid`, `code` and `requestId`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    key: Option<KeyData<'a>>,
    valid: bool,
    code: Code,
    request_id: RequestId,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyData<'a> {
    key_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
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

impl<'a> KeyData<'a> {
    fn new(record: &'a KeyRecord, verdict: &Verdict<'a>) -> Self {
        let default = verdict.limits.iter().find(|limit| limit.name == "default");
        Self {
            key_id: record.id(),
            name: record.display_name().map(String::from),
            owner_id: record.identity.as_deref().map(|identity| &*identity.external_id),
            meta: record.meta(),
            expires: record.expires,
            ratelimit: default.map(LimitData::from),
            remaining: verdict.credits,
            enabled: record.enabled,
            permissions: record.permissions(),
            roles: record.roles(),
            identity: record.identity.as_deref().map(IdentityData::from),
        }
    }
}

impl From<&EvaluatedLimit<'_>> for LimitData {
    fn from(limit: &EvaluatedLimit<'_>) -> Self {
        Self { limit: limit.limit, remaining: limit.decision.remaining, reset: limit.decision.reset }
    }
}

impl<'a> From<&'a IdentityRecord> for IdentityData<'a> {
    fn from(identity: &'a IdentityRecord) -> Self {
        let meta = identity.meta.as_deref().map_or(Meta::None {}, Meta::Written);
        Self { id: &identity.id, external_id: &identity.external_id, meta }
    }
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
        let request_id = RequestId::new();
        let key = verdict.key.map(|record| KeyData::new(record, &verdict));
        let model = Answer { key, valid: *code == Code::Valid, code: *code, request_id };
        let written = String::from_utf8(v1::verdict(&request_id, &verdict)).unwrap();
        prop_assert_eq!(written, serde_json::to_string(&model).unwrap());
    }
}
