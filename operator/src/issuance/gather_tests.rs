use std::convert::Infallible;

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
    gather(&client(objects), &cached).await.unwrap()
}

#[tokio::test]
async fn an_old_copy_never_leads_to_a_second_key() {
    // The copy is from before the key was issued; meanwhile its Secret was deleted.
    let live = [("/apikeys/acme", api_key("u", issued("acme-key")))];
    let found = gathered(api_key("u", json!({})), &live).await.unwrap();
    let (name, entry, secret) = found.secret.unwrap();
    let decided = material("ApiKey", found.key.source(), found.key.status(), Some((&name, &entry, secret)));
    assert!(matches!(decided, Material::Trouble { keep: true, .. }), "{decided:?}");
}

#[tokio::test]
async fn the_secret_that_the_live_object_names_is_read() {
    let secret = json!({"metadata": {"name": "moved", "ownerReferences": [{"apiVersion": "v1", "kind": "ApiKey", "name": "acme", "uid": "u"}]}});
    let live = [("/apikeys/acme", api_key("u", issued("moved"))), ("/secrets/moved", secret)];
    let found = gathered(api_key("u", json!({})), &live).await.unwrap();
    assert!(matches!(found.secret, Some((name, _, Found::Present { ours: true, key: None, .. })) if name == "moved"));
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
