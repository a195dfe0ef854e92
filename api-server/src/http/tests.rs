//! The wire, in process: status, content type and body of each case.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use keyplane_core::hash::KeyHash;
use serde_json::{Value, json};

use super::*;
use crate::counters::{Counters, Local};
use crate::credits::Balances;
use crate::feed::Feed;
use crate::http::caller::Peer;
use crate::index::Index;
use crate::registry::manifests::Manifests;

const ROOT: &str = "the-root-key-of-team-a";
const KEY: &str = "pay_a-key-of-a-customer";

/// Every state that this version tells apart, read from manifests by the real feed.
fn manifests() -> String {
    let hash = |plain: &str| KeyHash::of(plain).to_hex();
    let root = |name: &str, plain: &str, rest: &str| {
        format!(
            "---\napiVersion: keyplane.dev/v1alpha1\nkind: RootKey\nmetadata: {{name: {name}, namespace: team-a}}\nspec: {{permissions: [api.*.verify_key], key: {{hash: {{sha256: {}}}}}{rest}}}\n",
            hash(plain)
        )
    };
    let key = |name: &str, plain: &str, rest: &str| {
        format!(
            "---\napiVersion: keyplane.dev/v1alpha1\nkind: ApiKey\nmetadata: {{name: {name}, namespace: team-a, uid: {name}}}\nspec: {{key: {{hash: {{sha256: {}}}}}{rest}}}\n",
            hash(plain)
        )
    };
    [
        root("root", ROOT, ""),
        root("limiter", "root-limiter", "").replace("api.*.verify_key", "ratelimit.*.limit"),
        "---\napiVersion: keyplane.dev/v1alpha1\nkind: RateLimit\nmetadata: {name: sign-ups, namespace: team-a}\nspec: {limit: 5, window: 24h, overrides: [{identifier: blocked, limit: 0, window: 24h}]}\n".to_owned(),
        key("limited", "a-limited-key", ", externalId: acme, rateLimits: [{name: requests, limit: 3, window: 24h, autoApply: true}, {name: exports, limit: 1, window: 24h}]"),
        root("disabled", "root-disabled", ", enabled: false"),
        root("expired", "root-expired", ", expires: 2020-01-01T00:00:00Z"),
        key("acme", KEY, ", displayName: ACME, externalId: acme, meta: {tier: gold}, permissions: [invoices.read], roles: [editor], expires: 2999-01-01T00:00:00Z"),
        key("bare", "a-bare-key", ""),
        key("paid", "a-paid-key", ", credits: {remaining: 5}, rateLimits: [{name: requests, limit: 8, window: 24h, autoApply: true}]"),
        key("paid-disabled", "a-disabled-paid-key", ", enabled: false, credits: {remaining: 7}"),
        key("spent", "a-spent-key", ", credits: {remaining: 0}"),
        key("local", "a-local-key", ", keyspace: local"),
        "---\napiVersion: keyplane.dev/v1alpha1\nkind: Keyspace\nmetadata: {name: local, namespace: team-a}\nspec: {allowedCidrs: [10.0.0.0/8]}\n".to_owned(),
        key("disabled", "a-disabled-key", ", enabled: false"),
        key("expired", "an-expired-key", ", expires: 2020-01-01T00:00:00Z"),
        "---\napiVersion: keyplane.dev/v1alpha1\nkind: KeyRole\nmetadata: {name: editor, namespace: team-a}\nspec: {permissions: [invoices.write]}\n".to_owned(),
        "---\napiVersion: keyplane.dev/v1alpha1\nkind: Identity\nmetadata: {name: acme, namespace: team-a}\nspec: {externalId: acme, meta: {plan: pro}, rateLimits: [{name: shared, limit: 9, window: 24h}, {name: requests, limit: 9, window: 24h}]}\n".to_owned(),
    ]
    .concat()
}

async fn served() -> Service {
    served_with(Balances::in_memory()).await
}

async fn served_with(balances: Balances) -> Service {
    served_on(Arc::new(Local::default()), balances).await
}

async fn served_on(counters: Arc<dyn Counters>, balances: Balances) -> Service {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("all.yaml"), manifests()).unwrap();
    let registry = Arc::new(Manifests::open(directory.path(), "default").unwrap());
    Service::new(served_from(registry, counters, Arc::new(balances), |engine| engine).await)
}

async fn served_from(
    registry: Arc<Manifests>,
    counters: Arc<dyn Counters>,
    balances: Arc<Balances>,
    with: impl FnOnce(Engine) -> Engine,
) -> Api {
    let (index, metrics, readiness) = (Arc::new(Index::default()), Arc::new(Metrics::default()), Readiness::default());
    let feed = Feed {
        index: index.clone(),
        readiness: readiness.clone(),
        metrics: metrics.clone(),
        balances: balances.clone(),
        progress: Arc::default(),
    };
    tokio::spawn(feed.run(registry, Vec::new()));
    readiness.wait_for_index().await;
    let engine = Arc::new(with(Engine::new(index, counters).with_balances(balances)));
    Api { engine, metrics, readiness, v1_namespace: None }
}

struct Answered {
    status: StatusCode,
    content_type: String,
    body: Value,
}

async fn send(app: &Service, request: Request<Body>) -> Answered {
    let connection = Connection::from_peer(request.extensions().get::<Peer>().copied());
    let response = app.answer(request, &Arc::new(connection)).await;
    let content_type = response.headers().get("content-type").map_or("", |v| v.to_str().unwrap()).to_owned();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into()));
    Answered { status, content_type, body }
}

fn request(headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::builder().method(Method::POST).uri("/v2/keys.verifyKey");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

async fn verify_as(app: &Service, root: &str, body: Value) -> Answered {
    let bearer = format!("Bearer {root}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json; charset=utf-8")];
    send(app, request(&headers, body.to_string())).await
}

async fn data(app: &Service, body: Value) -> Value {
    let mut answered = verify_as(app, ROOT, body).await;
    assert_eq!((answered.status, answered.content_type.as_str()), (StatusCode::OK, "application/json"));
    let request_id = answered.body["meta"]["requestId"].as_str().unwrap();
    assert!(request_id.starts_with("req_") && request_id.len() == 20, "{request_id}");
    answered.body["data"].take()
}

#[tokio::test]
async fn a_valid_key_shows_all_that_it_has() {
    let app = served().await;
    let keyspace = keyplane_api::record::keyspace_id("team-a", "default");
    let identity_limit = |name: &str| {
        let id = keyplane_core::id::from_name(
            keyplane_core::id::Kind::Limit,
            &keyplane_api::record::identity_id("team-a", "acme"),
            name,
        );
        json!({"id": id, "name": name, "limit": 9, "duration": 86_400_000, "autoApply": false})
    };
    let expected = json!({
        "valid": true,
        "code": "VALID",
        "keyId": keyplane_core::id::from_uid(keyplane_core::id::Kind::Key, "acme"),
        "keyspaceId": keyspace,
        "name": "ACME",
        "meta": {"tier": "gold"},
        "expires": 32_472_144_000_000_i64,
        "enabled": true,
        "permissions": ["invoices.read", "invoices.write"],
        "roles": ["editor"],
        "identity": {"id": keyplane_api::record::identity_id("team-a", "acme"), "externalId": "acme", "meta": {"plan": "pro"}, "ratelimits": [identity_limit("shared"), identity_limit("requests")]},
    });
    assert_eq!(data(&app, json!({"key": KEY})).await, expected);
    assert_eq!(
        data(&app, json!({"key": KEY, "permissions": "invoices.write", "keyspaces": [keyspace]})).await,
        expected
    );
}

#[tokio::test]
async fn what_is_empty_is_left_out() {
    let bare = data(&served().await, json!({"key": "a-bare-key"})).await;
    let fields: Vec<&String> = bare.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["code", "enabled", "keyId", "keyspaceId", "valid"]);
}

#[tokio::test]
async fn every_verdict_is_a_200_with_its_code() {
    let app = served().await;
    for (body, code) in [
        (json!({"key": "unknown"}), "NOT_FOUND"),
        (json!({"key": ROOT}), "NOT_FOUND"),
        (json!({"key": KEY, "keyspaces": ["api_other"]}), "NOT_FOUND"),
        (json!({"key": "a-disabled-key"}), "DISABLED"),
        (json!({"key": "an-expired-key"}), "EXPIRED"),
        (json!({"key": KEY, "permissions": "invoices.delete"}), "INSUFFICIENT_PERMISSIONS"),
    ] {
        let data = data(&app, body.clone()).await;
        assert_eq!((data["valid"].clone(), data["code"].clone()), (json!(false), json!(code)), "{body}");
        assert_eq!(data.get("keyId").is_none(), code == "NOT_FOUND", "{body}");
    }
}

/// Status, title and the last part of the type.
fn error(answered: &Answered) -> (u16, &str, &str) {
    let error = &answered.body["error"];
    assert_eq!(error["status"], answered.status.as_u16());
    assert!(!error["detail"].as_str().unwrap().is_empty() && answered.body["meta"]["requestId"].is_string());
    let kind = error["type"].as_str().unwrap().strip_prefix("https://unkey.com/docs/errors/").unwrap();
    (answered.status.as_u16(), error["title"].as_str().unwrap(), kind)
}

#[tokio::test]
async fn callers_are_told_why_they_are_turned_away() {
    let app = served().await;
    for (root, expected) in [
        ("nobody", (401, "Unauthorized", "unkey/authentication/key_not_found")),
        (KEY, (401, "Unauthorized", "unkey/authentication/key_not_found")),
        ("root-disabled", (403, "Key is disabled", "unkey/authorization/key_disabled")),
        ("root-expired", (403, "Forbidden", "unkey/authorization/forbidden")),
        ("", (400, "Bad Request", "unkey/authentication/malformed")),
    ] {
        let answered = verify_as(&app, root, json!({"key": KEY})).await;
        assert_eq!(error(&answered), expected, "{root}");
        assert_eq!(answered.body["error"].get("errors").is_some(), expected.0 == 400, "{root}");
    }
    let lower_case = [("authorization", "bearer x"), ("content-type", "application/json")];
    let answered = send(&app, request(&lower_case, r#"{"key":"k"}"#)).await;
    assert_eq!(error(&answered), (400, "Bad Request", "unkey/authentication/malformed"));
}

#[tokio::test]
async fn the_form_of_a_request_is_checked_before_its_caller() {
    let app = served().await;
    let invalid = (400, "Bad Request", "unkey/application/invalid_input");
    let answered = verify_as(&app, "nobody", json!({"key": "", "x": 1})).await;
    assert_eq!(error(&answered), invalid);
    let locations: Vec<_> =
        answered.body["error"]["errors"].as_array().unwrap().iter().map(|e| e["location"].clone()).collect();
    assert_eq!(locations, ["body.key", "body.x"]);

    for (headers, body, location) in [
        (&[("content-type", "application/json")][..], r#"{"key":"k"}"#, "header.Authorization"),
        (&[("authorization", "Bearer x")], r#"{"key":"k"}"#, "header.Content-Type"),
        (&[("authorization", "Bearer x"), ("content-type", "application/json")], "", "body"),
        (&[("authorization", "Bearer x"), ("content-type", "application/json")], "{", "body"),
        (&[("authorization", "Bearer x"), ("content-type", "application/json")], "[]", "body"),
    ] {
        let answered = send(&app, request(headers, body)).await;
        assert_eq!(error(&answered), invalid, "{body}");
        assert_eq!(answered.body["error"]["errors"][0]["location"], location);
    }
}

#[tokio::test]
async fn a_bad_query_says_where() {
    let answered = verify_as(&served().await, ROOT, json!({"key": KEY, "permissions": "permission_1 AND ()"})).await;
    assert_eq!(error(&answered), (400, "Bad Request", "user/bad_request/permissions_query_syntax_error"));
    assert!(answered.body["error"]["detail"].as_str().unwrap().contains("position 18"));
}

#[tokio::test]
async fn problem_json_is_for_those_who_take_it_and_never_for_a_failed_schema() {
    let app = served().await;
    for (accept, body, expected) in [
        ("application/json", r#"{"key":"k"}"#, "application/json"),
        ("application/problem+json", r#"{"key":"k"}"#, "application/problem+json"),
        ("text/html, */*", r#"{"key":"k"}"#, "application/problem+json"),
        ("*/*", "{}", "application/json"),
    ] {
        let headers = [("authorization", "Bearer nobody"), ("content-type", "application/json"), ("accept", accept)];
        assert_eq!(send(&app, request(&headers, body)).await.content_type, expected, "{accept} {body}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let headers = [("authorization", "Bearer x"), ("content-type", "application/json")];
    let answered = send(&served().await, request(&headers, vec![b' '; body::MAX_BYTES + 1])).await;
    assert_eq!(error(&answered), (413, "Request Entity Too Large", "user/bad_request/request_body_too_large"));
}

#[tokio::test]
async fn a_server_with_half_an_index_says_so() {
    let (metrics, readiness) = (Arc::new(Metrics::default()), Readiness::default());
    let engine = Arc::new(Engine::new(Arc::default(), Arc::new(Local::default())));
    let app = Service::new(Api { engine, metrics, readiness, v1_namespace: None });
    let answered = verify_as(&app, ROOT, json!({"key": KEY})).await;
    assert_eq!(error(&answered).0, 503);
    let ready = |path| Request::get(path).body(Body::empty()).unwrap();
    assert_eq!(send(&app, ready("/health/ready")).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(send(&app, ready("/health/live")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn other_routes_answer_as_clients_know_them() {
    let app = served().await;
    let get = |method: Method, path: &str| Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let live = send(&app, get(Method::GET, "/v2/liveness")).await;
    assert_eq!((live.status, live.body["data"].clone()), (StatusCode::OK, json!({"message": "we're cooking"})));
    assert_eq!(send(&app, get(Method::HEAD, "/v2/liveness")).await.status, StatusCode::OK);
    assert_eq!(send(&app, get(Method::OPTIONS, "/v2/liveness")).await.status, StatusCode::METHOD_NOT_ALLOWED);
    let wrong_method = send(&app, get(Method::GET, "/v2/keys.verifyKey")).await;
    assert_eq!(
        (wrong_method.status, wrong_method.content_type.as_str()),
        (StatusCode::METHOD_NOT_ALLOWED, "text/plain; charset=utf-8")
    );
    let unknown = send(&app, get(Method::POST, "/v2/keys.unknown")).await;
    assert_eq!((unknown.status, unknown.body), (StatusCode::NOT_FOUND, json!("404 page not found\n")));
    for path in ["/health/live", "/health/ready", "/health/startup"] {
        assert_eq!(send(&app, get(Method::GET, path)).await.status, StatusCode::OK);
    }
}

/// Name, remaining and exceeded of each limit of a verification.
fn limits(data: &Value) -> Vec<(String, u64, bool)> {
    let limits = data["ratelimits"].as_array().cloned().unwrap_or_default();
    let shown = |limit: &Value| {
        (limit["name"].as_str().unwrap().to_owned(), limit["remaining"].as_u64().unwrap(), limit["exceeded"] == true)
    };
    limits.iter().map(shown).collect()
}

#[tokio::test]
async fn limits_are_counted_and_nothing_is_counted_when_one_is_exceeded() {
    let app = served().await;
    let plain = json!({"key": "a-limited-key"});
    let first = data(&app, plain.clone()).await;
    assert_eq!(limits(&first), [("requests".to_owned(), 2, false)]);
    let limit = &first["ratelimits"][0];
    assert_eq!(
        (limit["limit"].clone(), limit["duration"].clone(), limit["autoApply"].clone()),
        (json!(3), json!(86_400_000), json!(true))
    );
    assert!(limit["id"].as_str().unwrap().starts_with("rl_") && limit["reset"].as_i64().unwrap() > 0);
    // The identity's limit of the same name is shadowed by the key's own.
    assert_eq!(first["identity"]["ratelimits"].as_array().unwrap().len(), 1);

    let with_export = json!({"key": "a-limited-key", "ratelimits": [{"name": "exports"}]});
    assert_eq!(data(&app, with_export.clone()).await["code"], "VALID");
    let denied = data(&app, with_export).await;
    assert_eq!((denied["valid"].clone(), denied["code"].clone()), (json!(false), json!("RATE_LIMITED")));
    assert_eq!(limits(&denied), [("requests".to_owned(), 1, false), ("exports".to_owned(), 0, true)]);
    assert_eq!(
        limits(&data(&app, plain.clone()).await),
        [("requests".to_owned(), 0, false)],
        "the denied one did not count"
    );
    assert_eq!(data(&app, plain).await["code"], "RATE_LIMITED");
}

#[tokio::test]
async fn a_request_may_bring_its_own_limit_and_a_shared_one_and_must_name_known_ones() {
    let app = served().await;
    let inline = json!({"key": "a-bare-key", "ratelimits": [{"name": "own", "limit": 1, "duration": 2_592_000_000_i64, "cost": 1}]});
    let first = data(&app, inline.clone()).await;
    assert_eq!((limits(&first), first["ratelimits"][0]["id"].clone()), (vec![("own".to_owned(), 0, false)], json!("")));
    assert_eq!(data(&app, inline).await["code"], "RATE_LIMITED");
    let shared = |cost: u32| json!({"key": KEY, "ratelimits": [{"name": "shared", "cost": cost}]});
    assert_eq!(limits(&data(&app, shared(9)).await), [("shared".to_owned(), 0, false)]);
    let other_key_of_acme = json!({"key": "a-limited-key", "ratelimits": [{"name": "shared"}]});
    assert_eq!(data(&app, other_key_of_acme).await["code"], "RATE_LIMITED", "all keys of an identity share it");

    let unknown = verify_as(&app, ROOT, json!({"key": KEY, "ratelimits": [{"name": "unknown"}]})).await;
    assert_eq!(error(&unknown), (412, "Precondition Failed", "unkey/application/precondition_failed"));
    let disabled = json!({"key": "a-disabled-key", "ratelimits": [{"name": "unknown"}]});
    assert_eq!(
        data(&app, disabled).await["code"],
        "DISABLED",
        "only a key that is valid so far is asked for its limits"
    );
    let no_limit =
        verify_as(&app, ROOT, json!({"key": KEY, "ratelimits": [{"name": "own", "limit": 1, "duration": 500}]})).await;
    assert_eq!(error(&no_limit), (400, "Bad Request", "unkey/application/invalid_input"));
}

async fn limit_as(app: &Service, root: &str, operation: &str, body: Value) -> Answered {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/v2/ratelimit.{operation}"))
        .header("authorization", format!("Bearer {root}"))
        .header("content-type", "application/json");
    send(app, request.body(body.to_string().into()).unwrap()).await
}

#[tokio::test]
async fn an_identifier_is_limited_with_and_without_an_object() {
    let app = served().await;
    for namespace in ["sign-ups", "never-heard-of"] {
        let body = json!({"namespace": namespace, "identifier": "jane", "limit": 2, "duration": 2_592_000_000_i64});
        let mut seen = Vec::new();
        for _ in 0..3 {
            let answered = limit_as(&app, "root-limiter", "limit", body.clone()).await;
            assert_eq!(answered.status, StatusCode::OK, "a denial is an answer, too");
            let data = &answered.body["data"];
            assert!(data["limit"] == 2 && data["reset"].as_i64().unwrap() > 0 && data.get("overrideId").is_none());
            seen.push((data["success"] == true, data["remaining"].as_u64().unwrap()));
        }
        assert_eq!(seen, [(true, 1), (true, 0), (false, 0)], "{namespace}");
    }
    let blocked = json!({"namespace": "sign-ups", "identifier": "blocked", "limit": 2, "duration": 2_592_000_000_i64});
    let answered = limit_as(&app, "root-limiter", "limit", blocked).await;
    let data = &answered.body["data"];
    assert_eq!(
        (data["success"].clone(), data["limit"].clone()),
        (json!(false), json!(0)),
        "an override of 0 denies always"
    );
    assert!(data["overrideId"].as_str().unwrap().starts_with("rlor_"));
}

#[tokio::test]
async fn several_limits_are_all_or_nothing() {
    let app = served().await;
    let item = |identifier: &str, limit: u32| json!({"namespace": "multi", "identifier": identifier, "limit": limit, "duration": 2_592_000_000_i64});
    let ask = async |items: &[Value]| {
        let mut answered = limit_as(&app, "root-limiter", "multiLimit", Value::Array(items.to_vec())).await;
        let data = answered.body["data"].take();
        let items = data["limits"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| (item["passed"] == true, item["remaining"].as_u64().unwrap()));
        (data["passed"] == true, items.collect::<Vec<_>>())
    };
    assert_eq!(ask(&[item("a", 2), item("b", 1)]).await, (true, vec![(true, 1), (true, 0)]));
    assert_eq!(ask(&[item("a", 2), item("b", 1)]).await, (false, vec![(true, 1), (false, 0)]));
    assert_eq!(ask(&[item("a", 2)]).await, (true, vec![(true, 0)]), "the failed batch did not count");
}

#[tokio::test]
async fn limiting_needs_its_permission_and_its_form() {
    let app = served().await;
    let body = json!({"namespace": "x", "identifier": "y", "limit": 1, "duration": 2_592_000_000_i64});
    let forbidden = limit_as(&app, ROOT, "limit", body).await;
    assert_eq!(error(&forbidden), (403, "Insufficient Permissions", "unkey/authorization/insufficient_permissions"));
    for (operation, body) in [
        ("limit", json!({"namespace": "x", "identifier": "y", "limit": 0, "duration": 2_592_000_000_i64})),
        ("limit", json!({"namespace": "x", "identifier": "y", "limit": 1, "duration": 999})),
        ("limit", json!({"namespace": "x", "limit": 1, "duration": 2_592_000_000_i64})),
        ("multiLimit", json!([])),
        ("multiLimit", json!({"namespace": "x", "identifier": "y", "limit": 1, "duration": 2_592_000_000_i64})),
    ] {
        let answered = limit_as(&app, "root-limiter", operation, body.clone()).await;
        assert_eq!(error(&answered), (400, "Bad Request", "unkey/application/invalid_input"), "{body}");
    }
}

#[tokio::test]
async fn a_key_may_be_tied_to_addresses() {
    let app = served().await;
    let ask = async |forwarded: Option<&str>, peer: Option<&str>, key: &str| {
        let body = json!({ "key": key }).to_string();
        let bearer = format!("Bearer {ROOT}");
        let mut headers = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
        headers.extend(forwarded.map(|forwarded| ("x-forwarded-for", forwarded)));
        let mut request = request(&headers, body);
        if let Some(peer) = peer {
            request.extensions_mut().insert(Peer(peer.parse().unwrap()));
        }
        send(&app, request).await.body["data"]["code"].as_str().unwrap().to_owned()
    };
    for (forwarded, peer, code) in [
        (Some("10.1.2.3"), None, "VALID"),
        (Some("10.1.2.3:99, 192.0.2.1"), Some("192.0.2.1"), "VALID"),
        (Some("192.0.2.1, 10.1.2.3"), Some("10.1.2.3"), "FORBIDDEN"),
        (Some("unknown"), Some("10.1.2.3"), "FORBIDDEN"),
        (Some(""), Some("10.1.2.3"), "VALID"),
        (None, Some("10.1.2.3"), "VALID"),
        (None, Some("192.0.2.1"), "FORBIDDEN"),
        (None, None, "FORBIDDEN"),
    ] {
        assert_eq!(ask(forwarded, peer, "a-local-key").await, code, "{forwarded:?} {peer:?}");
    }
    assert_eq!(ask(None, None, "a-bare-key").await, "VALID", "without a list any address will do");
}

mod conclusions;
mod credits;
mod direct;
