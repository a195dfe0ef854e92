//! What verifications leave behind and what they must not do: keys learnt by their long token, events, the last use, no call to anyone.

use std::sync::Mutex;

use keyplane_core::time::Millis;
use keyplane_core::verify::Code;

use super::*;
use crate::events::{Batch, Event, EventSink, Events, Refused};

/// The documented example of the format.
const MIGRATED: &str = "mycompany_BRTRKFsL_51FwqftsmMDHHbJAMEXXHCgG";
const LONG_TOKEN: &str = "51FwqftsmMDHHbJAMEXXHCgG";

#[derive(Clone, Default)]
struct Keeper(Arc<Mutex<Vec<Event>>>);

impl EventSink for Keeper {
    fn name(&self) -> &'static str {
        "keeper"
    }

    fn wants_events(&self) -> bool {
        true
    }

    fn take(&self, batch: Batch) -> Result<(), Refused> {
        self.0.lock().unwrap().extend(batch.events);
        Ok(())
    }
}

struct World {
    app: Service,
    api: Api,
    events: Arc<Events>,
    kept: Keeper,
}

impl World {
    async fn new(balances: Balances) -> Self {
        let imported = format!(
            "---\napiVersion: keyplane.dev/v1alpha1\nkind: ApiKey\nmetadata: {{name: migrated, namespace: team-a}}\nspec: {{key: {{prefixedHash: {{sha256: {}, migrationId: seam}}}}}}\n",
            KeyHash::of(LONG_TOKEN).to_hex()
        );
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("all.yaml"), manifests() + &imported).unwrap();
        let registry = Arc::new(Manifests::open(directory.path(), "default").unwrap());
        let (kept, balances) = (Keeper::default(), Arc::new(balances));
        let events = Arc::new(Events::new(kept.clone()));
        let api =
            served_from(registry, Arc::new(Local::default()), balances, |engine| engine.with_events(events.clone()))
                .await;
        let api = Api { v1_namespace: Some("team-a".into()), ..api };
        Self { app: Service::new(api.clone()), api, events, kept }
    }

    async fn code(&self, body: Value) -> String {
        data(&self.app, body).await["code"].as_str().unwrap().to_owned()
    }

    fn last_used(&self, plain: &str) -> Option<Millis> {
        self.api.engine.last_used("team-a", &KeyHash::of(plain))
    }

    fn events(&self) -> Vec<Event> {
        self.events.flush();
        std::mem::take(&mut *self.kept.0.lock().unwrap())
    }
}

#[tokio::test]
async fn a_key_imported_by_its_long_token_is_found_with_its_migration_and_then_without() {
    let world = World::new(Balances::in_memory()).await;
    let code = async |key: &str, migration: Option<&str>| {
        let mut body = json!({"key": key});
        body["migrationId"] = migration.map_or(Value::Null, Value::from);
        if migration.is_none() {
            body.as_object_mut().unwrap().remove("migrationId");
        }
        world.code(body).await
    };
    assert_eq!(code(MIGRATED, None).await, "NOT_FOUND");
    assert_eq!(code(MIGRATED, Some("another")).await, "NOT_FOUND");
    assert_eq!(code(MIGRATED, Some("")).await, "NOT_FOUND", "no migration at all");
    assert_eq!(code("mycompany_BRTRKFsL_another", Some("seam")).await, "NOT_FOUND");
    assert_eq!(code(LONG_TOKEN, None).await, "NOT_FOUND", "the long token alone is no key");
    let other = verify_as(&world.app, "root-limiter", json!({"key": MIGRATED, "migrationId": "seam"})).await;
    assert_eq!(other.body["data"]["code"], "NOT_FOUND", "a caller that may not verify");
    assert_eq!(code(MIGRATED, None).await, "NOT_FOUND", "and from whom nothing is learnt");

    assert_eq!(code(MIGRATED, Some("seam")).await, "VALID");
    assert_eq!(code(MIGRATED, None).await, "VALID");
    assert_eq!(code(MIGRATED, Some("seam")).await, "VALID");
    let another = format!("theircompany_BRTRKFsL_{LONG_TOKEN}");
    assert_eq!(code(&another, Some("seam")).await, "NOT_FOUND", "the first whole key stands");
    assert_eq!(code(&another, None).await, "NOT_FOUND");
}

#[tokio::test]
async fn a_key_that_cannot_be_taken_apart_is_malformed_only_if_it_is_not_known() {
    let world = World::new(Balances::in_memory()).await;
    let refused = verify_as(&world.app, ROOT, json!({"key": "prefix_long", "migrationId": "seam"})).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(refused.body["error"]["type"], "https://unkey.com/docs/errors/unkey/authentication/malformed");
    assert_eq!(refused.body["error"]["errors"], json!([]));
    assert!(!refused.body.to_string().contains("prefix_long"), "{}", refused.body);
    assert_eq!(world.code(json!({"key": KEY, "migrationId": "seam"})).await, "VALID");
    assert_eq!(world.code(json!({"key": " no key", "migrationId": "seam"})).await, "NOT_FOUND");
}

#[tokio::test]
async fn a_text_that_cannot_be_a_key_is_not_found() {
    let world = World::new(Balances::in_memory()).await;
    for key in [" a-bare-key", "a-bare-key\n", "a-bare\u{0}-key", "\u{2003}"] {
        assert_eq!(world.code(json!({"key": key})).await, "NOT_FOUND");
    }
    let caller = verify_as(&world.app, &"x".repeat(513), json!({"key": KEY})).await.status;
    assert_eq!(caller, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn each_verdict_about_a_key_is_an_event_with_the_callers_tags() {
    let world = World::new(Balances::in_memory()).await;
    world.code(json!({"key": "nobody's", "tags": ["lost"]})).await;
    assert_eq!(world.events(), []);
    let answered =
        verify_as(&world.app, ROOT, json!({"key": "a-paid-key", "tags": ["path=/v1", "é"], "credits": {"cost": 2}}))
            .await;
    let events = world.events();
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!((event.code, event.spent, &*event.namespace), (Code::Valid, 2, "team-a"));
    assert_eq!(event.tags, ["path=/v1".into(), "é".into()].into());
    assert_eq!(answered.body["meta"]["requestId"], *event.request_id);
    assert_eq!(answered.body["data"]["keyId"], *event.key_id);
    assert_eq!(answered.body["data"]["keyspaceId"], *event.keyspace_id);
    world.code(json!({"key": KEY})).await;
    world.code(json!({"key": "a-disabled-paid-key"})).await;
    let seen: Vec<_> = world.events().into_iter().map(|e| (e.code, e.spent, e.external_id)).collect();
    assert_eq!(seen, [(Code::Valid, 0, Some("acme".into())), (Code::Disabled, 0, None)]);
}

#[tokio::test]
async fn the_last_use_is_the_minute_of_the_last_valid_verdict() {
    let world = World::new(Balances::in_memory()).await;
    for key in [KEY, "a-disabled-key", "nobody's"] {
        assert_eq!(world.last_used(key), None);
        world.code(json!({"key": key})).await;
    }
    let used = world.last_used(KEY).unwrap();
    let age = crate::clock::now().0 - used.0;
    assert!(used.0 % 60_000 == 0 && (0..120_000).contains(&age), "{used:?}");
    assert_eq!((world.last_used("a-disabled-key"), world.last_used("nobody's")), (None, None));
}

#[tokio::test]
async fn no_verification_calls_another_process() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(Balances::open(directory.path()).unwrap()).await;
    let keys = [
        KEY,
        "a-bare-key",
        "a-limited-key",
        "a-spent-key",
        "a-local-key",
        "a-disabled-key",
        "an-expired-key",
        "nobody's",
    ];
    for key in keys {
        for body in [
            json!({"key": key}),
            json!({"key": key, "permissions": "invoices.read AND invoices.write"}),
            json!({"key": key, "ratelimits": [{"name": "own", "limit": 1, "duration": 1000}], "tags": ["a"]}),
        ] {
            assert_eq!(verify_as(&world.app, ROOT, body).await.status, StatusCode::OK);
        }
    }
    let post = async |path: &str, bearer: &str, body: Value| {
        let headers = [("authorization", bearer), ("content-type", "application/json")];
        let mut request = request(&headers, body.to_string());
        *request.uri_mut() = path.parse().unwrap();
        send(&world.app, request).await.status
    };
    let limit = json!({"namespace": "sign-ups", "identifier": "jane", "limit": 5, "duration": 60_000});
    for status in [
        post("/v1/keys.verifyKey", "", json!({"key": KEY})).await,
        post("/v2/ratelimit.limit", "Bearer root-limiter", limit.clone()).await,
        post("/v2/ratelimit.multiLimit", "Bearer root-limiter", json!([limit])).await,
        post("/v2/keys.verifyKey", "Bearer root-expired", json!({"key": KEY})).await,
    ] {
        assert!([200, 403].contains(&status.as_u16()), "{status}");
    }
    assert_eq!(world.code(json!({"key": MIGRATED, "migrationId": "seam"})).await, "VALID");
    assert_eq!(world.code(json!({"key": "a-paid-key"})).await, "VALID");
    let waits = world.api.metrics.waits();
    assert_eq!(waits.external_calls(), 0);
    assert!(waits.disk_waits() > 0, "the journal of this machine is a wait, and it is seen");
}
