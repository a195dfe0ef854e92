//! The form of each operation's body, written down a second time and as simply as it goes: what the server's own check is held against.

use serde_json::{Map, Value};

/// Whether a body has the form that the operation asks for.
pub(crate) type Form = fn(&Value) -> bool;

pub(crate) fn verify_v2(body: &Value) -> bool {
    object(body, |name, value| match name {
        "key" => text(value, 1, 512),
        "tags" => list(value, 0, 20, |tag| text(tag, 1, 512)),
        "permissions" => text(value, 1, 1_000),
        "credits" => {
            value.get("cost").is_some()
                && object(value, |name, cost| name == "cost" && number(cost, 0, 1_000_000_000_000))
        }
        "ratelimits" => list(value, 0, 100, |limit| inline_limit(limit, 3, i64::MAX)),
        "migrationId" => text(value, 0, 256),
        "keyspaces" => list(value, 0, 100, |id| text(id, 1, 255)),
        _ => false,
    }) && has(body, &["key"])
}

pub(crate) fn limit_v2(body: &Value) -> bool {
    object(body, |name, value| limit_field(name, value) == Some(true))
        && has(body, &["namespace", "identifier", "limit", "duration"])
}

pub(crate) fn multi_limit_v2(body: &Value) -> bool {
    list(body, 1, 100, limit_v2)
}

/// `authorization.permissions` has rules of its own and is left out.
pub(crate) fn verify_v1(body: &Value) -> bool {
    let cost = |value: &Value| object(value, |name, cost| name != "cost" || number(cost, 0, i64::MAX));
    object(body, |name, value| match name {
        "apiId" => text(value, 1, 255),
        "key" => text(value, 1, 512),
        "tags" => list(value, 0, 10, |tag| text(tag, 1, 128)),
        "authorization" => value.is_object(),
        "remaining" | "ratelimit" => cost(value),
        "ratelimits" => list(value, 0, 100, |limit| inline_limit(limit, 1, LONGEST)),
        _ => true,
    }) && has(body, &["key"])
}

pub(crate) fn limit_v1(body: &Value) -> bool {
    object(body, |name, value| limit_field(name, value) != Some(false))
        && has(body, &["identifier", "limit", "duration"])
}

/// 30 days in milliseconds.
const LONGEST: i64 = 30 * 24 * 3_600 * 1_000;

/// `None` for a field that is none of a limit.
fn limit_field(name: &str, value: &Value) -> Option<bool> {
    Some(match name {
        "namespace" | "identifier" => text(value, 1, 512),
        "limit" => number(value, 1, i64::MAX),
        "duration" => number(value, 1_000, LONGEST),
        "cost" => number(value, 0, i64::MAX),
        _ => return None,
    })
}

fn inline_limit(value: &Value, shortest_name: usize, longest: i64) -> bool {
    object(value, |name, value| match name {
        "name" => text(value, shortest_name, 255),
        "cost" | "limit" => number(value, 0, i64::MAX),
        "duration" => number(value, 0, longest),
        _ => true,
    }) && has(value, &["name"])
}

fn object(value: &Value, field: impl Fn(&str, &Value) -> bool) -> bool {
    value.as_object().is_some_and(|fields: &Map<_, _>| fields.iter().all(|(name, value)| field(name, value)))
}

fn has(value: &Value, names: &[&str]) -> bool {
    names.iter().all(|name| value.get(name).is_some())
}

fn list(value: &Value, min: usize, max: usize, item: impl Fn(&Value) -> bool) -> bool {
    value.as_array().is_some_and(|items| (min..=max).contains(&items.len()) && items.iter().all(item))
}

fn text(value: &Value, min: usize, max: usize) -> bool {
    value.as_str().is_some_and(|text| (min..=max).contains(&text.chars().count()))
}

/// A whole number, also one that is written as a fraction as long as such numbers are exact.
#[expect(clippy::cast_possible_truncation, reason = "the range is looked at first")]
fn number(value: &Value, min: i64, max: i64) -> bool {
    let fraction =
        || value.as_f64().filter(|f| f.fract() == 0.0 && f.abs() <= 9_007_199_254_740_992.0).map(|f| f as i64);
    value.as_i64().or_else(fraction).is_some_and(|number| (min..=max).contains(&number))
}
