//! The wire, in process: status, content type and body of each case.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use keyplane_core::hash::KeyHash;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::feed::Feed;
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
        root("disabled", "root-disabled", ", enabled: false"),
        root("expired", "root-expired", ", expires: 2020-01-01T00:00:00Z"),
        key("acme", KEY, ", displayName: ACME, externalId: acme, meta: {tier: gold}, permissions: [invoices.read], roles: [editor], expires: 2999-01-01T00:00:00Z"),
        key("bare", "a-bare-key", ""),
        key("disabled", "a-disabled-key", ", enabled: false"),
        key("expired", "an-expired-key", ", expires: 2020-01-01T00:00:00Z"),
        "---\napiVersion: keyplane.dev/v1alpha1\nkind: KeyRole\nmetadata: {name: editor, namespace: team-a}\nspec: {permissions: [invoices.write]}\n".to_owned(),
        "---\napiVersion: keyplane.dev/v1alpha1\nkind: Identity\nmetadata: {name: acme, namespace: team-a}\nspec: {externalId: acme, meta: {plan: pro}}\n".to_owned(),
    ]
    .concat()
}

async fn served() -> Router {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("all.yaml"), manifests()).unwrap();
    let registry = Arc::new(Manifests::open(directory.path(), "default").unwrap());
    let (index, metrics, readiness) = (Arc::new(Index::default()), Arc::new(Metrics::default()), Readiness::default());
    let feed = Feed { index: index.clone(), readiness: readiness.clone(), metrics: metrics.clone() };
    tokio::spawn(feed.run(registry, Vec::new()));
    readiness.wait_for_index().await;
    router(Api { engine: Arc::new(Engine::new(index)), metrics, readiness })
}

struct Answered {
    status: StatusCode,
    content_type: String,
    body: Value,
}

async fn send(app: &Router, request: Request<Body>) -> Answered {
    let response = app.clone().oneshot(request).await.unwrap();
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

async fn verify_as(app: &Router, root: &str, body: Value) -> Answered {
    let bearer = format!("Bearer {root}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json; charset=utf-8")];
    send(app, request(&headers, body.to_string())).await
}

async fn data(app: &Router, body: Value) -> Value {
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
        "identity": {"id": keyplane_api::record::identity_id("team-a", "acme"), "externalId": "acme", "meta": {"plan": "pro"}},
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
    let app = router(Api { engine: Arc::new(Engine::new(Arc::default())), metrics, readiness });
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
