//! The answer of v1's `keys.verifyKey`: flat, without an envelope.

use keyplane_core::record::KeyRecord;
use serde_json::value::RawValue;

use super::buffer::Append;
use super::pieces;
use crate::engine::Verdict;
use crate::http::request_id::RequestId;

/// What most answers have room in.
const USUAL: usize = 1024;
/// The limit of a key that v1 knew before limits had names; the answer's `ratelimit` is about it alone.
pub(crate) const DEFAULT_LIMIT: &str = "default";

/// Of a key that is not there it has no more than `valid`, `code` and `requestId`.
pub(crate) fn verdict(request_id: &RequestId, verdict: &Verdict<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(if verdict.key.is_some() { USUAL } else { 96 });
    out.push(b'{');
    if let Some(record) = verdict.key {
        key(&mut out, record, verdict);
        out.push(b',');
    }
    out.raw(pieces::outcome(verdict.code));
    out.raw(",\"requestId\":\"");
    out.extend_from_slice(request_id.as_bytes());
    out.raw("\"}");
    out
}

fn key(out: &mut Vec<u8>, record: &KeyRecord, verdict: &Verdict<'_>) {
    out.raw("\"keyId\":");
    out.string(record.id());
    pieces::name(out, record);
    if let Some(identity) = &record.identity {
        out.raw(",\"ownerId\":");
        out.string(&identity.external_id);
    }
    pieces::meta_and_expires(out, record);
    if let Some(limit) = verdict.limits.iter().find(|limit| limit.name == DEFAULT_LIMIT) {
        out.raw(",\"ratelimit\":{\"limit\":");
        out.number(limit.limit);
        out.raw(",\"remaining\":");
        out.number(limit.decision.remaining);
        out.raw(",\"reset\":");
        out.number(limit.decision.reset.0);
        out.push(b'}');
    }
    if let Some(remaining) = verdict.credits {
        out.raw(",\"remaining\":");
        out.number(remaining);
    }
    pieces::enabled(out, record);
    pieces::permissions(out, record);
    pieces::roles(out, record);
    if let Some(identity) = &record.identity {
        pieces::identity(out, identity);
        pieces::meta(out, Some(identity.meta.as_deref().map_or("{}", RawValue::get)));
        out.push(b'}');
    }
}
