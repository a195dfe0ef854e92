//! Answers of the v2 API: `{"meta":{"requestId":…},"data":{…}}`.

use keyplane_core::record::{IdentityRecord, KeyRecord};
use serde_json::value::RawValue;

use super::buffer::Append;
use super::pieces;
use crate::engine::{EvaluatedLimit, Limited, Verdict};
use crate::http::request_id::RequestId;

/// What most answers have room in; a longer one grows once or twice. With 4 permissions, 2 limits and 200 bytes of metadata it is about 900.
const USUAL: usize = 1024;

/// The answer of `keys.verifyKey`. What is empty is left out, never null.
pub(crate) fn verdict(request_id: &RequestId, verdict: &Verdict<'_>) -> Vec<u8> {
    let mut out = begin(request_id, if verdict.key.is_some() { USUAL } else { 128 });
    out.raw(pieces::outcome(verdict.code));
    if let Some(record) = verdict.key {
        key(&mut out, record, verdict);
    }
    out.raw("}}");
    out
}

fn key(out: &mut Vec<u8>, record: &KeyRecord, verdict: &Verdict<'_>) {
    out.raw(",\"keyId\":");
    out.string(record.id());
    out.raw(",\"keyspaceId\":");
    out.string(&record.keyspace_id);
    pieces::name(out, record);
    pieces::meta_and_expires(out, record);
    if let Some(credits) = verdict.credits {
        out.raw(",\"credits\":");
        out.number(credits);
    }
    pieces::enabled(out, record);
    if !record.permissions().is_empty() {
        pieces::permissions(out, record);
    }
    if !record.roles().is_empty() {
        pieces::roles(out, record);
    }
    if let Some(of) = record.identity.as_deref() {
        identity(out, of, record);
    }
    list(out, &verdict.limits, evaluated);
}

/// The identity with those of its limits that no limit of the key shadows.
fn identity(out: &mut Vec<u8>, identity: &IdentityRecord, record: &KeyRecord) {
    pieces::identity(out, identity);
    pieces::meta(out, identity.meta.as_deref().map(RawValue::get));
    let seen = |name: &str| !record.own_limits().iter().any(|own| *own.name == *name);
    list(out, identity.limits.iter().filter(|limit| seen(&limit.name)), |out, limit| {
        pieces::configured(out, limit);
        auto_apply(out, limit.auto_apply);
    });
    out.push(b'}');
}

fn evaluated(out: &mut Vec<u8>, limit: &EvaluatedLimit<'_>) {
    pieces::limit_head(out, limit.id, limit.name, limit.limit, limit.window_ms);
    out.raw(",\"remaining\":");
    out.number(limit.decision.remaining);
    out.raw(",\"reset\":");
    out.number(limit.decision.reset.0);
    out.raw(if limit.decision.allowed { ",\"exceeded\":false" } else { ",\"exceeded\":true" });
    auto_apply(out, limit.auto_apply);
}

fn auto_apply(out: &mut Vec<u8>, auto_apply: bool) {
    out.raw(if auto_apply { ",\"autoApply\":true}" } else { ",\"autoApply\":false}" });
}

/// `,"ratelimits":[…]`, nothing for none.
fn list<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, write: impl Fn(&mut Vec<u8>, T)) {
    let mut before = ",\"ratelimits\":[";
    for item in items {
        out.raw(before);
        write(out, item);
        before = ",";
    }
    if before == "," {
        out.push(b']');
    }
}

/// The answer of `ratelimit.limit`.
pub(crate) fn limited(request_id: &RequestId, limited: &Limited) -> Vec<u8> {
    let Limited { limit, decision, override_id } = limited;
    let mut out = begin(request_id, 192);
    out.raw(if decision.allowed { "\"success\":true,\"limit\":" } else { "\"success\":false,\"limit\":" });
    out.number(*limit);
    out.raw(",\"remaining\":");
    out.number(decision.remaining);
    out.raw(",\"reset\":");
    out.number(decision.reset.0);
    if let Some(id) = override_id {
        out.raw(",\"overrideId\":");
        out.string(id);
    }
    out.raw("}}");
    out
}

fn begin(request_id: &RequestId, capacity: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(capacity);
    out.raw("{\"meta\":{\"requestId\":\"");
    out.extend_from_slice(request_id.as_bytes());
    out.raw("\"},\"data\":{");
    out
}
