//! The v1 wire, in process: status, headers and whole bodies, of each verdict and each error.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use keyplane_api::record::{identity_id, keyspace_id};
use keyplane_core::hash::KeyHash;
use keyplane_core::id;
use serde_json::{Value, json};

use super::*;
use crate::counters::Local;
use crate::engine::Engine;
use crate::feed::Feed;
use crate::http::serve::Answers;
use crate::http::{Service, caller};
use crate::index::Index;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::registry::manifests::Manifests;

const GOLD: &str = "pay_a-key-of-acme";
const VERIFY: &str = "/v1/keys.verifyKey";
const LIMIT: &str = "/v1/ratelimits.limit";
const MONTH: i64 = 2_592_000_000;

fn object(kind: &str, namespace: &str, name: &str, spec: &str) -> String {
    let metadata = format!("{{name: {name}, namespace: {namespace}, uid: {name}}}");
    format!("---\napiVersion: keyplane.dev/v1alpha1\nkind: {kind}\nmetadata: {metadata}\nspec: {{{spec}}}\n")
}

fn key(namespace: &str, name: &str, plain: &str, rest: &str) -> String {
    object("ApiKey", namespace, name, &format!("key: {{hash: {{sha256: {}}}}}{rest}", KeyHash::of(plain).to_hex()))
}

fn root(name: &str, plain: &str, rest: &str) -> String {
    object("RootKey", "team-a", name, &format!("key: {{hash: {{sha256: {}}}}}, {rest}", KeyHash::of(plain).to_hex()))
}

fn manifests() -> String {
    let default = "{name: default, limit: 3, window: 24h, autoApply: true}";
    let own = "{name: exports, limit: 1, window: 24h}";
    [
        key("team-a", "gold", GOLD, &format!(", displayName: ACME, externalId: acme, meta: {{tier: gold}}, permissions: [invoices.read, invoices.write], roles: [editor], expires: 2999-01-01T00:00:00Z, rateLimits: [{default}]")),
        key("team-a", "bare", "a-bare-key", ""),
        key("team-a", "paid", "a-paid-key", ", credits: {remaining: 5}"),
        key("team-a", "disabled", "a-disabled-key", ", enabled: false, expires: 2020-01-01T00:00:00Z"),
        key("team-a", "expired", "an-expired-key", ", expires: 2020-01-01T00:00:00Z"),
        key("team-a", "local", "a-local-key", ", keyspace: local"),
        key("team-a", "first", "the-first-of-two", &format!(", externalId: pair, rateLimits: [{own}]")),
        key("team-a", "second", "the-second-of-two", &format!(", externalId: pair, rateLimits: [{own}]")),
        key("team-a", "spender", "a-key-with-credits", &format!(", credits: {{remaining: 3}}, rateLimits: [{own}]")),
        key("team-b", "other", "a-key-of-team-b", ""),
        object("KeyRole", "team-a", "editor", "permissions: [invoices.write]"),
        object("Identity", "team-a", "acme", "externalId: acme, meta: {plan: pro}"),
        object("Keyspace", "team-a", "local", "allowedCidrs: [10.0.0.0/8]"),
        object("RateLimit", "team-a", "sign-ups", "limit: 5, window: 24h, overrides: [{identifier: blocked, limit: 0, window: 24h}]"),
        root("limiter", "root-limiter", "permissions: [ratelimit.*.limit]"),
        root("verifier", "root-verifier", "permissions: [api.*.verify_key]"),
        root("disabled-root", "root-disabled", "permissions: [ratelimit.*.limit], enabled: false"),
        root("expired-root", "root-expired", "permissions: [ratelimit.*.limit], expires: 2020-01-01T00:00:00Z"),
    ]
    .concat()
}

async fn served(v1_namespace: Option<&str>) -> Service {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("all.yaml"), manifests()).unwrap();
    let registry = Arc::new(Manifests::open(directory.path(), "default").unwrap());
    let (index, metrics, readiness) = (Arc::new(Index::default()), Arc::new(Metrics::default()), Readiness::default());
    let feed = Feed {
        index: index.clone(),
        readiness: readiness.clone(),
        metrics: metrics.clone(),
        balances: Arc::new(crate::credits::Balances::in_memory()),
        progress: Arc::default(),
    };
    tokio::spawn(feed.run(registry, Vec::new()));
    readiness.wait_for_index().await;
    let engine = Arc::new(Engine::new(index, Arc::new(Local::default())));
    Service::new(Api { engine, metrics, readiness, v1_namespace: v1_namespace.map(Arc::from) })
}

/// Status, headers and body; that the request id is in the header, and in the body where the body has one, is checked here for all.
async fn send(app: &Service, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
    let connection = caller::Connection::from_peer(request.extensions().get::<caller::Peer>().copied());
    let response = app.answer(request, &Arc::new(connection)).await;
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let mut body: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(headers["content-type"], "application/json");
    let request_id = headers["unkey-request-id"].to_str().unwrap();
    assert!(request_id.starts_with("req_") && request_id.len() == 20, "{request_id}");
    let parent = if body.get("error").is_some() { &mut body["error"] } else { &mut body };
    if let Some(shown) = parent.as_object_mut().unwrap().remove("requestId") {
        assert_eq!(shown, request_id);
    } else {
        assert!(parent.get("success").is_some(), "only the answer of a limit has no request id: {body}");
    }
    (status, headers, body)
}

fn post(path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(Method::POST).uri(path).header("content-type", "application/json");
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(body.into()).unwrap()
}

/// The answer of a verification without its request id.
async fn verify(app: &Service, body: Value) -> Value {
    let (status, _, answer) = send(app, post(VERIFY, &[], body.to_string())).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

async fn code(app: &Service, body: Value) -> String {
    let answer = verify(app, body).await;
    assert_eq!(answer["valid"] == true, answer["code"] == "VALID", "{answer}");
    answer["code"].as_str().unwrap().to_owned()
}

/// Status, code and message of an error, of which everything else is checked here.
async fn error(app: &Service, request: Request<Body>) -> (u16, String, String) {
    let (status, _, mut answer) = send(app, request).await;
    let (code, message) = (answer["error"]["code"].take(), answer["error"]["message"].take());
    let (code, message) = (code.as_str().unwrap(), message.as_str().unwrap());
    let docs = format!("https://unkey.dev/docs/api-reference/errors/code/{code}");
    assert_eq!(answer, json!({"error": {"code": null, "docs": docs, "message": null}}));
    (status.as_u16(), code.to_owned(), message.to_owned())
}

#[tokio::test]
async fn a_valid_key_shows_all_that_it_has_without_an_envelope() {
    let app = served(Some("team-a")).await;
    let mut answer = verify(&app, json!({"key": GOLD})).await;
    assert!(answer["ratelimit"]["reset"].take().as_i64().unwrap() > 1_700_000_000_000);
    let expected = json!({
        "keyId": id::from_uid(id::Kind::Key, "gold"),
        "valid": true,
        "name": "ACME",
        "ownerId": "acme",
        "meta": {"tier": "gold"},
        "expires": 32_472_144_000_000_i64,
        "ratelimit": {"limit": 3, "remaining": 2, "reset": null},
        "code": "VALID",
        "enabled": true,
        "permissions": ["invoices.read", "invoices.write"],
        "roles": ["editor"],
        "identity": {"id": identity_id("team-a", "acme"), "externalId": "acme", "meta": {"plan": "pro"}},
    });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn of_a_key_that_has_nothing_little_is_shown_and_of_no_key_less() {
    let app = served(Some("team-a")).await;
    let key_id = |uid| id::from_uid(id::Kind::Key, uid);
    let bare = json!({"keyId": key_id("bare"), "valid": true, "code": "VALID", "enabled": true, "permissions": [], "roles": []});
    assert_eq!(verify(&app, json!({"key": "a-bare-key"})).await, bare);
    let identity = json!({"id": identity_id("team-a", "pair"), "externalId": "pair", "meta": {}});
    assert_eq!(
        verify(&app, json!({"key": "the-first-of-two"})).await["identity"],
        identity,
        "no metadata is an empty one"
    );
    let unknown = json!({"valid": false, "code": "NOT_FOUND"});
    for key in ["unknown", "a-key-of-team-b", "root-limiter"] {
        assert_eq!(verify(&app, json!({"key": key})).await, unknown, "{key}");
    }
    assert_eq!(verify(&served(Some("team-c")).await, json!({"key": GOLD})).await, unknown, "a namespace without keys");
}

#[tokio::test]
async fn every_verdict_is_a_200_in_the_order_of_v1() {
    let app = served(Some("team-a")).await;
    let (own, other) = (keyspace_id("team-a", "default"), "api_other");
    let missing = json!({"permissions": "invoices.delete"});
    for (body, expected) in [
        (json!({"key": GOLD, "apiId": own}), "VALID"),
        (json!({"key": GOLD, "apiId": other}), "FORBIDDEN"),
        (json!({"key": "a-disabled-key", "apiId": other}), "DISABLED"),
        (json!({"key": "an-expired-key", "apiId": other}), "FORBIDDEN"),
        (json!({"key": "an-expired-key", "apiId": own, "authorization": missing}), "EXPIRED"),
        (json!({"key": "a-local-key", "authorization": missing}), "FORBIDDEN"),
        (
            json!({"key": GOLD, "authorization": missing, "ratelimits": [{"name": "unknown"}]}),
            "INSUFFICIENT_PERMISSIONS",
        ),
        (json!({"key": GOLD, "ratelimit": {"cost": 4}}), "RATE_LIMITED"),
        (json!({"key": "unknown", "authorization": {"permissions": "("}}), "NOT_FOUND"),
    ] {
        assert_eq!(code(&app, body.clone()).await, expected, "{body}");
    }
    let forbidden = verify(&app, json!({"key": "a-local-key"})).await;
    assert_eq!(forbidden["keyId"], id::from_uid(id::Kind::Key, "local"), "a refused key is shown");
}

#[tokio::test]
async fn what_v1_clients_send_besides_is_passed_over() {
    let app = served(Some("team-a")).await;
    let body = json!({"key": "a-bare-key", "tags": ["path=/"], "remaining": {"cost": 2}, "$schema": 1, "authorization": {"x": 1}});
    assert_eq!(code(&app, body).await, "VALID");
    let stranger = [("authorization", "Bearer nobody")];
    let (status, _, answer) = send(&app, post(VERIFY, &stranger, r#"{"key":"a-bare-key"}"#)).await;
    assert_eq!((status, answer["code"].clone()), (StatusCode::OK, json!("VALID")), "nobody is asked for a root key");
}

#[tokio::test]
async fn a_permission_query_is_a_text_or_an_object() {
    let app = served(Some("team-a")).await;
    let (read, write, delete) = ("invoices.read", "invoices.write", "invoices.delete");
    for (permissions, holds) in [
        (json!("invoices.read AND invoices.write"), true),
        (json!({"and": [read, write]}), true),
        (json!({"and": [read, delete]}), false),
        (json!({"or": [delete, {"and": [read, {"or": [delete, write]}]}]}), true),
        (json!({"or": [delete, {"and": [read, delete]}]}), false),
    ] {
        let body = json!({"key": GOLD, "authorization": {"permissions": permissions}, "ratelimit": {"cost": 0}});
        assert_eq!(code(&app, body).await, if holds { "VALID" } else { "INSUFFICIENT_PERMISSIONS" }, "{permissions}");
    }
    for (permissions, message) in [
        (json!("invoices.read AND ()"), "empty parentheses at position 19"),
        (json!({"and": []}), "body.authorization.permissions.and: a part of the query lists no permission"),
        (json!([read]), "body.authorization.permissions: must be a string, or an object with either `and` or `or`"),
    ] {
        let body = json!({"key": GOLD, "authorization": {"permissions": permissions}});
        let (status, code, said) = error(&app, post(VERIFY, &[], body.to_string())).await;
        assert_eq!((status, code.as_str()), (400, "BAD_REQUEST"), "{permissions}");
        assert!(said.contains(message), "{said}");
    }
}

#[tokio::test]
async fn limits_count_for_the_identity_whenever_there_is_one() {
    let app = served(Some("team-a")).await;
    let exports = |key| json!({"key": key, "ratelimits": [{"name": "exports"}]});
    assert_eq!(code(&app, exports("the-first-of-two")).await, "VALID");
    assert_eq!(
        code(&app, exports("the-second-of-two")).await,
        "RATE_LIMITED",
        "each key has the limit, the identity the count"
    );
    let inline = |key| json!({"key": key, "ratelimits": [{"name": "x", "limit": 1, "duration": MONTH}]});
    assert_eq!(code(&app, inline("the-second-of-two")).await, "VALID");
    assert_eq!(code(&app, inline("the-first-of-two")).await, "RATE_LIMITED");
    assert_eq!(code(&app, inline("a-bare-key")).await, "VALID", "a key without an identity counts for itself");
}

#[tokio::test]
async fn ratelimit_shows_the_limit_named_default_and_sets_its_cost() {
    let app = served(Some("team-a")).await;
    let shown = async |body: Value| {
        let answer = verify(&app, body).await;
        let limit = &answer["ratelimit"];
        (answer["code"].as_str().unwrap().to_owned(), limit["limit"].as_u64(), limit["remaining"].as_u64())
    };
    let valid = |remaining| ("VALID".to_owned(), Some(3), Some(remaining));
    assert_eq!(shown(json!({"key": GOLD, "ratelimit": {"cost": 2}})).await, valid(1));
    let both = json!({"key": GOLD, "ratelimit": {"cost": 3}, "ratelimits": [{"name": "default", "cost": 0}]});
    assert_eq!(shown(both).await, valid(1), "an entry of ratelimits goes first");
    assert_eq!(shown(json!({"key": GOLD, "ratelimit": {}})).await, valid(0));
    assert_eq!(shown(json!({"key": GOLD})).await, ("RATE_LIMITED".to_owned(), Some(3), Some(0)));
    let other = json!({"key": "the-first-of-two", "ratelimits": [{"name": "exports"}]});
    assert_eq!(shown(other).await, ("VALID".to_owned(), None, None), "other limits are not shown");
}

#[tokio::test]
async fn remaining_is_what_is_left_of_the_credits() {
    let app = served(Some("team-a")).await;
    let ask = async |rest: Value| {
        let mut body = json!({"key": "a-key-with-credits"});
        body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        let answer = verify(&app, body).await;
        (answer["code"].as_str().unwrap().to_owned(), answer["remaining"].clone())
    };
    let expected = |code: &str, remaining: u32| (code.to_owned(), json!(remaining));
    assert_eq!(ask(json!({})).await, expected("VALID", 2), "one, when nothing is said");
    assert_eq!(ask(json!({"remaining": {"cost": 3}})).await, expected("USAGE_EXCEEDED", 2));
    assert_eq!(ask(json!({"authorization": {"permissions": "x"}})).await, expected("INSUFFICIENT_PERMISSIONS", 2));
    assert_eq!(ask(json!({"remaining": {"cost": 2}})).await, expected("VALID", 0));
    assert_eq!(ask(json!({"remaining": {"cost": 0}})).await, expected("VALID", 0), "asking costs nothing");
    let exports = json!({"ratelimits": [{"name": "exports"}]});
    assert_eq!(ask(exports.clone()).await, expected("USAGE_EXCEEDED", 0));
    assert_eq!(ask(exports).await, expected("RATE_LIMITED", 0), "limits come first and are not given back");
}

#[tokio::test]
async fn credits_are_called_remaining() {
    let app = served(Some("team-a")).await;
    let ask = async |body: Value| {
        let answer = verify(&app, body).await;
        (answer["code"].as_str().unwrap().to_owned(), answer["remaining"].as_u64())
    };
    let paid = |cost: u64| json!({"key": "a-paid-key", "remaining": {"cost": cost}});
    assert_eq!(ask(json!({"key": "a-paid-key"})).await, ("VALID".to_owned(), Some(4)));
    assert_eq!(ask(paid(5)).await, ("USAGE_EXCEEDED".to_owned(), Some(4)));
    assert_eq!(ask(paid(4)).await, ("VALID".to_owned(), Some(0)));
    assert_eq!(ask(paid(0)).await, ("VALID".to_owned(), Some(0)));
    assert_eq!(ask(json!({"key": "a-bare-key", "remaining": {"cost": 9}})).await, ("VALID".to_owned(), None));
}

#[tokio::test]
async fn a_limit_that_the_key_has_not_and_one_that_is_none_are_the_callers_mistake() {
    let app = served(Some("team-a")).await;
    for (limit, message) in [
        (json!({"name": "unknown"}), "ratelimit 'unknown' was requested but does not exist"),
        (json!({"name": "x", "limit": 1, "duration": 999}), "duration is 999 ms; it must be at least 1000 ms"),
        (
            json!({"name": "x", "limit": 1, "duration": MONTH + 1}),
            "body.ratelimits[0].duration: must be at most 2592000000",
        ),
    ] {
        let body = json!({"key": "a-bare-key", "ratelimits": [limit]});
        let (status, code, said) = error(&app, post(VERIFY, &[], body.to_string())).await;
        assert_eq!((status, code.as_str()), (400, "BAD_REQUEST"), "{limit}");
        assert!(said.contains(message), "{said}");
    }
    let (status, ..) = error(&app, post(VERIFY, &[], r#"{"key":"a-bare-key","ratelimit":{"cost":1}}"#)).await;
    assert_eq!(status, 400, "default is a limit like any other");
}

#[tokio::test]
async fn the_address_is_that_of_v1s_headers_first() {
    let app = served(Some("team-a")).await;
    for (headers, peer, expected) in [
        (&[("true-client-ip", "10.1.2.3")][..], None, "VALID"),
        (&[("cf-connecting-ip", "10.1.2.3")], None, "VALID"),
        (&[("true-client-ip", "192.0.2.1"), ("cf-connecting-ip", "10.1.2.3")], Some("10.1.2.3"), "FORBIDDEN"),
        (&[("true-client-ip", "unknown")], Some("10.1.2.3"), "FORBIDDEN"),
        (&[("x-forwarded-for", "10.1.2.3")], Some("192.0.2.1"), "VALID"),
        (&[], Some("10.1.2.3"), "VALID"),
        (&[], None, "FORBIDDEN"),
    ] {
        let mut request = post(VERIFY, headers, r#"{"key":"a-local-key"}"#);
        if let Some(peer) = peer {
            request.extensions_mut().insert(caller::Peer(peer.parse().unwrap()));
        }
        assert_eq!(send(&app, request).await.2["code"], expected, "{headers:?} {peer:?}");
    }
}

#[tokio::test]
async fn what_has_not_the_form_is_a_bad_request_that_names_each_field() {
    let app = served(Some("team-a")).await;
    for (body, message) in [
        ("{}", "body.key: is required and missing"),
        (
            r#"{"key":"","apiId":7}"#,
            "body.apiId: must be a string, is a number; body.key: must have at least 1 characters, has 0",
        ),
        (r#"{"key":"k","ratelimits":[{"name":"x","cost":-1}]}"#, "body.ratelimits[0].cost: must be at least 0, is -1"),
        (
            r#"{"key":"k","tags":["1","2","3","4","5","6","7","8","9","10","11"]}"#,
            "body.tags: must have at most 10 items, has 11",
        ),
        ("", "body: the body is empty"),
        ("[]", "body: must be an object, is a list"),
    ] {
        let expected = (400, "BAD_REQUEST".to_owned(), message.to_owned());
        assert_eq!(error(&app, post(VERIFY, &[], body)).await, expected, "{body}");
    }
    let (status, code, message) = error(&app, post(VERIFY, &[], vec![b' '; MAX_BYTES + 1])).await;
    assert_eq!((status, code.as_str()), (400, "BAD_REQUEST"));
    assert!(message.contains("more than 131072 bytes"), "{message}");
    let nested = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let deep = format!(r#"{{"key":"k","authorization":{{"permissions":{nested}}}}}"#);
    assert_eq!(error(&app, post(VERIFY, &[], deep)).await.0, 400);
}

#[tokio::test]
async fn without_a_namespace_nothing_is_verified() {
    let app = served(None).await;
    let (status, code, message) = error(&app, post(VERIFY, &[], json!({"key": GOLD}).to_string())).await;
    assert_eq!((status, code.as_str()), (404, "NOT_FOUND"));
    assert!(message.contains("--v1-namespace"), "{message}");
    let (status, ..) = limit(&app, json!({"identifier": "jane", "limit": 2, "duration": MONTH})).await;
    assert_eq!(status, StatusCode::OK, "limits have a caller");
}

#[tokio::test]
async fn a_server_with_half_an_index_says_so() {
    let (metrics, readiness) = (Arc::new(Metrics::default()), Readiness::default());
    let engine = Arc::new(Engine::new(Arc::default(), Arc::new(Local::default())));
    let app = Service::new(Api { engine, metrics, readiness, v1_namespace: Some("team-a".into()) });
    let limit = r#"{"identifier":"jane","limit":2,"duration":1000}"#;
    for request in [post(VERIFY, &[], r#"{"key":"k"}"#), post(LIMIT, &[("authorization", "Bearer x")], limit)] {
        let (status, code, _) = error(&app, request).await;
        assert_eq!((status, code.as_str()), (503, "INTERNAL_SERVER_ERROR"));
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_in_v1s_form() {
    let app = served(Some("team-a")).await;
    for (method, path, expected) in [
        (Method::GET, VERIFY, (405, "METHOD_NOT_ALLOWED")),
        (Method::PUT, LIMIT, (405, "METHOD_NOT_ALLOWED")),
        (Method::POST, "/v1/keys.createKey", (404, "NOT_FOUND")),
        (Method::GET, "/v1/keys.getKey", (404, "NOT_FOUND")),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let (status, code, _) = error(&app, request).await;
        assert_eq!((status, code.as_str()), expected, "{path}");
    }
}

async fn limit(app: &Service, body: Value) -> (StatusCode, HeaderMap, Value) {
    send(app, post(LIMIT, &[("authorization", "Bearer root-limiter")], body.to_string())).await
}

#[tokio::test]
async fn an_identifier_is_limited_with_a_flat_answer() {
    let app = served(None).await;
    let ask = async |body: Value| {
        let (status, _, mut answer) = limit(&app, body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert!(answer["reset"].take().as_i64().unwrap() > 1_700_000_000_000);
        answer
    };
    let answer = |success: bool, limit: u64, remaining: u64| json!({"success": success, "limit": limit, "remaining": remaining, "reset": null});
    let jane =
        json!({"identifier": "jane", "limit": 2, "duration": MONTH, "async": true, "meta": {"a": 1}, "resources": []});
    assert_eq!(ask(jane).await, answer(true, 2, 1));
    let named =
        |cost: u32| json!({"namespace": "default", "identifier": "jane", "limit": 2, "duration": MONTH, "cost": cost});
    assert_eq!(
        ask(named(2)).await,
        answer(false, 2, 0),
        "the namespace is `default` when none is said; a denial is a 200"
    );
    assert_eq!(ask(named(1)).await, answer(true, 2, 0));
    let blocked = json!({"namespace": "sign-ups", "identifier": "blocked", "limit": 2, "duration": MONTH});
    assert_eq!(ask(blocked).await, answer(false, 0, 0), "an override counts");
}

#[tokio::test]
async fn limiting_needs_a_root_key_its_permission_and_its_form() {
    let app = served(None).await;
    let body = json!({"identifier": "jane", "limit": 2, "duration": MONTH}).to_string();
    let ask = async |authorization: Option<&str>, body: &str| {
        let headers: Vec<_> = authorization.iter().map(|value| ("authorization", *value)).collect();
        let (status, code, _) = error(&app, post(LIMIT, &headers, body.to_owned())).await;
        (status, code)
    };
    for authorization in [
        None,
        Some("Bearer nobody"),
        Some("bearer root-limiter"),
        Some("Bearer "),
        Some("Bearer root-disabled"),
        Some("Bearer root-expired"),
        Some("Bearer a-bare-key"),
    ] {
        assert_eq!(ask(authorization, &body).await, (403, "UNAUTHORIZED".to_owned()), "{authorization:?}");
    }
    assert_eq!(ask(Some("Bearer root-verifier"), &body).await, (403, "INSUFFICIENT_PERMISSIONS".to_owned()));
    for wrong in [
        json!({"identifier": "jane", "limit": 0, "duration": MONTH}),
        json!({"identifier": "jane", "limit": 1, "duration": 999}),
        json!({"identifier": "jane", "limit": 1, "duration": MONTH + 1}),
        json!({"identifier": "", "limit": 1, "duration": MONTH}),
        json!({"limit": 1, "duration": MONTH}),
    ] {
        assert_eq!(ask(None, &wrong.to_string()).await, (400, "BAD_REQUEST".to_owned()), "{wrong}: before who calls");
    }
}
