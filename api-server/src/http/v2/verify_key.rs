//! `POST /v2/keys.verifyKey`.

use std::sync::Arc;

use hyper::body::Bytes;
use keyplane_core::key;
use keyplane_core::plan::Requested;
use keyplane_core::prefixed::{NotPrefixed, Prefixed};
use keyplane_core::time::Millis;
use serde::Deserialize;
use serde_json::Value;

use crate::answer;
use crate::answer::buffer::is_plain;
use crate::clock;
use crate::engine::{self, Found, Permissions, Verdict};
use crate::http::body::{self, Credentials};
use crate::http::caller::{self, Head};
use crate::http::content::{self, Content};
use crate::http::direct::Decided;
use crate::http::error::ApiError;
use crate::http::form::{Count, List, Text, present};
use crate::http::request_id::RequestId;
use crate::http::schema::{Field, Rule};
use crate::http::wanted::{self, one};
use crate::http::{Api, payment};

type Key<'a> = Text<'a, 1, 512>;
type Tag<'a> = Text<'a, 1, 512>;
type Tags<'a> = List<Tag<'a>, 0, 20>;
type Query<'a> = Text<'a, 1, 1000>;
type Cost = Count<0, 1_000_000_000_000>;
type WantedLimit<'a> = wanted::WantedLimit<'a, 3, { i64::MAX }>;
/// As many as one multiLimit; each is a counter to lock.
type WantedLimits<'a> = List<WantedLimit<'a>, 0, 100>;
type MigrationId<'a> = Text<'a, 0, 256>;
type KeyspaceId<'a> = Text<'a, 1, 255>;
type KeyspaceIds<'a> = List<KeyspaceId<'a>, 0, 100>;

const BODY: Rule = Rule::Object {
    open: false,
    fields: &[
        Field::required("key", Key::RULE),
        Field::optional("tags", Tags::rule(&Tag::RULE)),
        Field::optional("permissions", Query::RULE),
        Field::optional("credits", Rule::Object { open: false, fields: &[Field::required("cost", Cost::RULE)] }),
        Field::optional("ratelimits", WantedLimits::rule(&WantedLimit::RULE)),
        Field::optional("migrationId", MigrationId::RULE),
        Field::optional("keyspaces", KeyspaceIds::rule(&KeyspaceId::RULE)),
    ],
};

/// The body.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow)]
    key: Key<'a>,
    #[serde(borrow, default)]
    tags: Tags<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    permissions: Option<Query<'a>>,
    #[serde(default, deserialize_with = "present")]
    credits: Option<Credits>,
    #[serde(borrow, default)]
    ratelimits: WantedLimits<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    migration_id: Option<MigrationId<'a>>,
    #[serde(borrow, default)]
    keyspaces: KeyspaceIds<'a>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Credits {
    cost: Cost,
}

/// Any answer of the operation.
pub(crate) fn decide(api: &Arc<Api>, head: Head<'_>, bytes: &Bytes) -> Decided {
    verify(api, head, bytes).unwrap_or_else(|error| error.answer(head.headers).map(Content::from).into())
}

fn verify(api: &Arc<Api>, head: Head<'_>, bytes: &Bytes) -> Result<Decided, ApiError> {
    let mut slow = Value::Null;
    let body: Body<'_> =
        match body::in_order(head, bytes, Credentials::Required).then(|| Body::key_alone(bytes)).flatten() {
            Some(body) => body,
            None => body::parse(head, bytes, &mut slow, &BODY, Credentials::Required)?,
        };
    if !api.readiness.has_index() {
        return Err(ApiError::NotReady);
    }
    let keyspaces: Vec<&str> = body.keyspaces.iter().map(|id| &**id).collect();
    let limits: Vec<Requested<'_>> = body.ratelimits.iter().map(WantedLimit::requested).collect();
    let request = engine::Request {
        limits: &limits,
        client: caller::client(head),
        hash: key::presented(&body.key),
        prefixed: body.prefixed(),
        permissions: body.permissions.as_deref().map(Permissions::Text),
        keyspaces: &keyspaces,
        cost: body.credits.as_ref().map_or_else(one, |credits| credits.cost.unsigned()),
    };
    let (mut found, now) = (Found::default(), clock::now());
    let verdict =
        caller::authenticated(&api.engine, head, now, |caller| api.engine.verify(caller, &request, &mut found, now))??;
    if verdict.unpaid.is_none() {
        let tags = body.tags.iter().map(|tag| &**tag);
        return Ok(Decided::Json(conclude(api, &verdict, tags, request.cost, now)));
    }
    let (keep, cost, api) = (verdict.keep(), request.cost, api.clone());
    let tags: Vec<String> = body.tags.iter().map(|tag| (**tag).to_owned()).collect();
    let mut kept = keep(found);
    Ok(Decided::Later(Box::pin(async move {
        let mut verdict = kept.verdict();
        payment::paid(&api, &mut verdict, cost).await;
        content::json(conclude(&api, &verdict, tags.iter().map(String::as_str), cost, now))
    })))
}

/// What follows from a verdict that is final, and its answer.
fn conclude<'t>(
    api: &Api,
    verdict: &Verdict<'_>,
    tags: impl IntoIterator<Item = &'t str>,
    cost: u64,
    now: Millis,
) -> Vec<u8> {
    api.metrics.verified(verdict.code);
    let request_id = RequestId::new();
    api.engine.concluded(verdict, &request_id, tags, cost, now);
    answer::v2::verdict(&request_id, verdict)
}

impl<'a> Body<'a> {
    /// A body that is a key and nothing else, as most are, written as JSON's usual writers write it: a fifth of the cost of the general reading.
    /// Any other is `None`, which says nothing of it.
    fn key_alone(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(b"{\"key\":")?;
        let key = rest.strip_prefix(b" ").unwrap_or(rest).strip_prefix(b"\"")?.strip_suffix(b"\"}")?;
        let key = is_plain(key).then(|| str::from_utf8(key).ok()).flatten()?;
        Some(Self {
            key: Key::borrowed(key)?,
            tags: Tags::default(),
            permissions: None,
            credits: None,
            ratelimits: WantedLimits::default(),
            migration_id: None,
            keyspaces: KeyspaceIds::default(),
        })
    }
}

impl Body<'_> {
    /// The key taken apart, for a request that names a migration. What can't be a key is hashed neither so nor whole.
    fn prefixed(&self) -> Option<Result<Prefixed, NotPrefixed>> {
        let migration = self.migration_id.as_deref().filter(|migration| !migration.is_empty())?;
        key::may_be_key(&self.key).then(|| Prefixed::read(&self.key, migration))
    }
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

    proptest! {
        #[test]
        fn a_key_alone_is_read_as_the_general_reading_has_it(
            key in prop_oneof![".{0,8}", "[ -~]{0,520}", "é{500,520}"], space in prop_oneof![Just(""), Just(" "), Just("  ")], cut in 0..40_usize,
        ) {
            let json = format!("{{\"key\":{space}{}}}", serde_json::to_string(&key).unwrap());
            let raw = format!("{{\"key\":{space}\"{key}\"}}");
            for text in [&json, &raw, &json[..json.floor_char_boundary(json.len().saturating_sub(cut))]] {
                if let Some(body) = Body::key_alone(text.as_bytes()) {
                    prop_assert_eq!(Some(body), serde_json::from_str::<Body<'_>>(text).ok(), "{}", text);
                }
            }
        }
    }

    #[test]
    fn a_key_as_generated_is_read_as_a_key_alone() {
        for text in [r#"{"key":"pay_3kTqXyz"}"#, r#"{"key": "pay_3kTqXyz"}"#] {
            assert_eq!(Body::key_alone(text.as_bytes()), serde_json::from_str(text).ok(), "{text}");
        }
    }

    #[test]
    fn what_clients_send_is_read_directly() {
        for body in [
            r#"{"key":"k"}"#,
            r#"{"key":"a \"quoted\" key","tags":["a=b"],"permissions":"a AND b","credits":{"cost":0},"migrationId":"m"}"#,
            r#"{"keyspaces":["api_1"],"ratelimits":[{"name":"requests","cost":2},{"name":"own","limit":1,"duration":1000}],"key":"k"}"#,
        ] {
            assert!(random::agrees::<Body<'_>>(body.as_bytes(), &mut Value::Null, &BODY), "{body}");
        }
    }
}
