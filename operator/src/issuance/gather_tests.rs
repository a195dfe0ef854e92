use std::convert::Infallible;

use k8s_openapi::jiff::Timestamp;
use keyplane_api::ApiKey;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::super::decide::{Material, material};
use super::*;

/// A client of an API server that has these objects, by the end of their path, and answers 404 for all others.
fn client(objects: &[(&str, Value)]) -> Client {
    let objects: Vec<(String, Value)> =
        objects.iter().map(|(path, object)| ((*path).to_owned(), object.clone())).collect();
    let service = service_fn(move |request: http::Request<Body>| {
        let path = request.uri().path().to_owned();
        let found = objects.iter().find(|(end, _)| path.ends_with(end.as_str())).map(|(_, object)| object.clone());
        async move {
            let missing =
                json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": path});
            let status = if found.is_some() { 200 } else { 404 };
            let body = found.unwrap_or(missing).to_string().into_bytes();
            Ok::<_, Infallible>(http::Response::builder().status(status).body(Body::from(body)).unwrap())
        }
    });
    Client::new(service, "n")
}

fn api_key(uid: &str, status: Value) -> Value {
    json!({
        "apiVersion": "keyplane.dev/v1alpha1",
        "kind": "ApiKey",
        "metadata": {"name": "acme", "namespace": "n", "uid": uid},
        "spec": {},
        "status": status,
    })
}

fn issued(secret_name: &str) -> Value {
    let current = json!({"sha256": "00".repeat(32), "issuedAt": "2026-01-01T00:00:00Z"});
    json!({"current": current, "secretName": secret_name})
}

async fn gathered(cached: Value, objects: &[(&str, Value)]) -> Option<Gathered<ApiKey>> {
    let cached: ApiKey = serde_json::from_value(cached).unwrap();
    gather(&client(objects), &cached, Trust::Copy).await.unwrap()
}

#[tokio::test]
async fn an_old_copy_never_leads_to_a_second_key() {
    // The copy is from before the key was issued; meanwhile its Secret was deleted.
    let live = [("/apikeys/acme", api_key("u", issued("acme-key")))];
    let found = gathered(api_key("u", json!({})), &live).await.unwrap();
    let (name, entry, secret) = found.secret.unwrap();
    let (key, secret) = (&found.key, Some((name.as_str(), entry.as_str(), secret)));
    let decided = material("ApiKey", key.source(), key.status(), key.wish(), secret, Timestamp::UNIX_EPOCH);
    assert!(matches!(decided, Material::Trouble { keep: true, .. }), "{decided:?}");
}

#[tokio::test]
async fn the_secret_that_the_live_object_names_is_read() {
    let secret = json!({"metadata": {"name": "moved", "ownerReferences": [{"apiVersion": "v1", "kind": "ApiKey", "name": "acme", "uid": "u"}]}});
    let live = [("/apikeys/acme", api_key("u", issued("moved"))), ("/secrets/moved", secret)];
    let found = gathered(api_key("u", json!({})), &live).await.unwrap();
    assert!(
        matches!(found.secret, Some((name, _, Found::Present(held))) if name == "moved" && held.ours && held.key.is_none())
    );
}

#[tokio::test]
async fn without_trust_the_object_and_then_the_secret_that_it_names_are_read() {
    let secret = json!({"metadata": {"name": "acme-key", "resourceVersion": "42", "annotations": {"keyplane.dev/replaces": "ab", "keyplane.dev/rotate": "1"}}, "data": {"keyId": "a2V5X3g="}});
    let live = [("/apikeys/acme", api_key("u", issued("acme-key"))), ("/secrets/acme-key", secret)];
    let cached: ApiKey = serde_json::from_value(api_key("u", issued("elsewhere"))).unwrap();
    let found = gather(&client(&live), &cached, Trust::Nothing).await.unwrap().unwrap();
    let Some((_, _, Found::Present(held))) = found.secret else { panic!("the Secret was not read") };
    assert!(!held.ours && held.key.is_none() && held.previous.is_none());
    let texts =
        [&held.resource_version, &held.replaces, &held.request, &held.key_id].map(|text| text.as_deref().unwrap());
    assert_eq!(texts, ["42", "ab", "1", "key_x"]);
}

#[tokio::test]
async fn an_object_that_is_gone_or_made_anew_is_left_alone() {
    assert!(gathered(api_key("u", json!({})), &[]).await.is_none());
    let anew = [("/apikeys/acme", api_key("other", json!({})))];
    assert!(gathered(api_key("u", json!({})), &anew).await.is_none());
}

#[tokio::test]
async fn only_a_named_keyspace_can_be_missing() {
    let live = [("/apikeys/acme", api_key("u", json!({})))];
    let found = gathered(api_key("u", json!({})), &live).await.unwrap();
    assert_eq!(found.keyspace, NamedKeyspace::Exists(KeyDefaults::default()));
    let mut cached = api_key("u", json!({}));
    cached["spec"]["keyspace"] = json!("payments");
    let live = [("/apikeys/acme", cached.clone())];
    let found = gathered(cached, &live).await.unwrap();
    assert_eq!(found.keyspace, NamedKeyspace::Missing("payments".to_owned()));
}
