//! The pieces of a record that both versions of the API show, each with the comma before it; what is absent appends nothing.

use keyplane_core::plan::Configured;
use keyplane_core::record::{IdentityRecord, KeyRecord};
use keyplane_core::verify::Code;

use super::buffer::Append;

/// `"valid":…,"code":…`
pub(super) const fn outcome(code: Code) -> &'static str {
    match code {
        Code::Valid => r#""valid":true,"code":"VALID""#,
        Code::NotFound => r#""valid":false,"code":"NOT_FOUND""#,
        Code::Forbidden => r#""valid":false,"code":"FORBIDDEN""#,
        Code::InsufficientPermissions => r#""valid":false,"code":"INSUFFICIENT_PERMISSIONS""#,
        Code::UsageExceeded => r#""valid":false,"code":"USAGE_EXCEEDED""#,
        Code::RateLimited => r#""valid":false,"code":"RATE_LIMITED""#,
        Code::Disabled => r#""valid":false,"code":"DISABLED""#,
        Code::Expired => r#""valid":false,"code":"EXPIRED""#,
    }
}

/// `,"name":…`
pub(super) fn name(out: &mut Vec<u8>, record: &KeyRecord) {
    if let Some(name) = record.name_json() {
        out.raw(",\"name\":");
        out.raw(name);
    }
}

/// `,"meta":…,"expires":…`
pub(super) fn meta_and_expires(out: &mut Vec<u8>, record: &KeyRecord) {
    meta(out, record.meta_json());
    if let Some(expires) = record.expires {
        out.raw(",\"expires\":");
        out.number(expires.0);
    }
}

/// `,"enabled":…`
pub(super) fn enabled(out: &mut Vec<u8>, record: &KeyRecord) {
    out.raw(if record.enabled { ",\"enabled\":true" } else { ",\"enabled\":false" });
}

/// `,"permissions":[…]`, empty too.
pub(super) fn permissions(out: &mut Vec<u8>, record: &KeyRecord) {
    out.raw(",\"permissions\":");
    out.raw(record.permission_set.permissions_json());
}

/// `,"roles":[…]`, empty too.
pub(super) fn roles(out: &mut Vec<u8>, record: &KeyRecord) {
    out.raw(",\"roles\":");
    out.raw(record.permission_set.roles_json());
}

/// `,"identity":{"id":…,"externalId":…` without an end.
pub(super) fn identity(out: &mut Vec<u8>, identity: &IdentityRecord) {
    out.raw(",\"identity\":{");
    out.raw(&identity.head_json);
}

/// `,"meta":…` of a key or an identity.
pub(super) fn meta(out: &mut Vec<u8>, json: Option<&str>) {
    if let Some(json) = json {
        out.raw(",\"meta\":");
        out.raw(json);
    }
}

/// `{"id":…,"name":…,"limit":…,"duration":…` without an end.
pub(super) fn configured(out: &mut Vec<u8>, limit: &Configured) {
    limit_head(out, &limit.id, &limit.name, limit.rule.limit.count(), limit.rule.limit.window_ms());
}

/// The same of a limit that was evaluated.
pub(super) fn limit_head(out: &mut Vec<u8>, id: &str, name: &str, count: u64, window_ms: i64) {
    out.raw("{\"id\":");
    out.string(id);
    out.raw(",\"name\":");
    out.string(name);
    out.raw(",\"limit\":");
    out.number(count);
    out.raw(",\"duration\":");
    out.number(window_ms);
}
