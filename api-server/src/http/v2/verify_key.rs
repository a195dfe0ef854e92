//! `POST /v2/keys.verifyKey`.

use axum::http::Response;
use keyplane_core::key;
use keyplane_core::plan::Requested;
use keyplane_core::prefixed::{NotPrefixed, Prefixed};
use serde::Deserialize;
use serde_json::Value;

use crate::answer;
use crate::clock;
use crate::engine::{self, Found, Permissions};
use crate::http::body::{self, Credentials, RequestBody};
use crate::http::caller::{self, Head};
use crate::http::content::{self, Content};
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
pub(crate) async fn answer(api: &Api, head: Head<'_>, body: impl RequestBody) -> Response<Content> {
    match verify(api, head, body).await {
        Ok(answer) => answer,
        Err(error) => error.answer(head.headers).map(Content::from),
    }
}

async fn verify(api: &Api, head: Head<'_>, body: impl RequestBody) -> Result<Response<Content>, ApiError> {
    let bytes = body::read(body, body::MAX_BYTES).await?;
    let mut slow = Value::Null;
    let body: Body<'_> = body::parse(head.headers, &bytes, &mut slow, &BODY, Credentials::Required)?;
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
    let mut verdict = caller::authenticated(&api.engine, head.headers, now, |caller| {
        api.engine.verify(caller, &request, &mut found, now)
    })??;
    payment::paid(api, &mut verdict, request.cost).await;
    api.metrics.verified(verdict.code);
    let request_id = RequestId::new();
    let tags = body.tags.iter().map(|tag| &**tag);
    api.engine.concluded(&verdict, request_id.as_str(), tags, request.cost, now);
    Ok(content::json(answer::v2::verdict(&request_id, &verdict)))
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
