//! Requests that carry keys where they do not belong, and every page of an operations listener: what answers must not give back.

use anyhow::{Context, Result, ensure};
use reqwest::RequestBuilder;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};

use crate::server::Server;

/// How an operations listener can be asked for a page: as text, and as each structure that z-pages have.
const ACCEPTED: [&str; 6] = [
    "*/*",
    "text/plain",
    "application/json;as=Statusz;v=v1beta1;g=config.k8s.io",
    "application/yaml;as=Flagz;v=v1beta1;g=config.k8s.io",
    "application/json;as=Flagz;v=v1alpha1;g=config.k8s.io",
    "application/openmetrics-text;version=1.0.0",
];

/// Answers only after so many seconds as it is asked for, 30 by default, and in one form whatever is accepted.
const CPU_PROFILE: &str = "/debug/pprof/profile";

/// Sends a pod or a standalone server requests that carry these keys in right and wrong places. Returns a name and the answer (headers and
/// body) of each; none of them is empty.
///
/// # Errors
/// When one is not answered at all.
pub async fn bad_requests(server: &Server, root_key: &str, key: &str) -> Result<Vec<(String, String)>> {
    let http = server.http();
    let verify = || http.post(server.url("/v2/keys.verifyKey"));
    let limit = || http.post(server.url("/v2/ratelimit.limit")).bearer_auth(root_key);
    let by_root = || verify().bearer_auth(root_key).header(CONTENT_TYPE, "application/json");
    let raw = |body: String| by_root().body(body);
    let of = |body: Value| raw(body.to_string());
    let long = key.repeat(600 / key.len() + 1);
    let requests: Vec<(&str, RequestBuilder)> = vec![
        ("a good request", of(json!({"key": key}))),
        ("the root key as the key", of(json!({"key": root_key}))),
        ("a key cut short", of(json!({"key": &key[..key.len() - 1]}))),
        ("a key as the caller", verify().bearer_auth(key).json(&json!({"key": key}))),
        ("another scheme", verify().header(AUTHORIZATION, format!("Basic {key}")).json(&json!({"key": key}))),
        ("no scheme", verify().header(AUTHORIZATION, root_key).json(&json!({"key": key}))),
        ("no caller", verify().json(&json!({"key": key}))),
        ("no media type", verify().bearer_auth(root_key).body(json!({"key": key}).to_string())),
        ("a form", verify().bearer_auth(root_key).body(format!("key={key}"))),
        ("JSON that ends early", raw(format!("{{\"key\":\"{key}"))),
        ("JSON with a comma too many", raw(format!("{{\"key\":\"{key}\",}}"))),
        ("a bare key", raw(key.to_owned())),
        ("a JSON string", of(json!(key))),
        ("a list of keys", of(json!({"key": [key]}))),
        ("an object as the key", of(json!({"key": {"key": key}}))),
        ("a key that is too long", of(json!({"key": long}))),
        ("a key in an unknown field", of(json!({"key": key, "apiKey": key}))),
        ("a key as tags", of(json!({"key": key, "tags": key}))),
        ("a key as credits", of(json!({"key": key, "credits": {"cost": key}}))),
        ("a key as a keyspace", of(json!({"key": key, "keyspaces": [key]}))),
        ("a key as a migration", of(json!({"key": key, "migrationId": key}))),
        ("a key as a permission", of(json!({"key": key, "permissions": key}))),
        ("a key in a broken query", of(json!({"key": key, "permissions": format!("{key} AND (")}))),
        ("a key in the query string", by_root().query(&[("key", key)]).body(String::new())),
        ("a key in the path", http.post(server.url(&format!("/v2/keys.verifyKey/{key}"))).bearer_auth(root_key)),
        ("a key as the operation", http.get(server.url(&format!("/v2/{key}"))).bearer_auth(key)),
        (
            "a key as an identifier",
            limit().json(&json!({"namespace": "n", "identifier": key, "limit": 1, "duration": 1000})),
        ),
        (
            "a key as the caller of a limit",
            http.post(server.url("/v2/ratelimit.limit")).bearer_auth(key).json(&json!({})),
        ),
        ("v1", http.post(server.url("/v1/keys.verifyKey")).json(&json!({"key": key}))),
        ("v1, JSON that ends early", http.post(server.url("/v1/keys.verifyKey")).body(format!("{{\"key\":\"{key}"))),
        (
            "v1, a limit without a caller",
            http.post(server.url("/v1/ratelimits.limit")).json(&json!({"identifier": key})),
        ),
        ("a wrong method", http.get(server.url(&format!("/v2/keys.verifyKey?key={key}"))).bearer_auth(root_key)),
    ];
    let mut answers = Vec::new();
    for (name, request) in requests {
        // As an SDK does, and as curl does: the two kinds of error answers.
        for accept in ["application/json", "*/*"] {
            let request = request.try_clone().context("a body that can be sent twice")?.header(ACCEPT, accept);
            answers.push((format!("the answer to {name} ({accept})"), answer(request).await?));
        }
    }
    Ok(answers)
}

/// Every page of the operations listener, in every form it has, also when it is asked for with a key. The pages are those that the index
/// page names.
///
/// # Errors
/// When one is not answered at all, or the index names none.
pub async fn ops_pages(server: &Server, key: &str) -> Result<Vec<(String, String)>> {
    let index = server.ops_page("/").await?;
    let mut paths: Vec<String> = index
        .lines()
        .filter_map(|line| line.split_whitespace().next().filter(|word| word.starts_with('/')))
        .filter(|path| !path.starts_with(CPU_PROFILE))
        .fold(vec!["/".to_owned()], |mut paths, path| {
            paths.extend([path.to_owned(), format!("{path}?verbose"), format!("{path}?key={key}")]);
            paths
        });
    ensure!(paths.iter().any(|path| path == "/flagz"), "the index names no /flagz:\n{index}");
    paths.extend([format!("/{key}"), format!("/readyz/{key}")]);
    let profile = server.http().get(server.ops_url(&format!("{CPU_PROFILE}?seconds=1&key={key}"))).bearer_auth(key);
    let mut pages = vec![(format!("the CPU profile of {}", server.process().name()), answer(profile).await?)];
    for path in paths {
        for accept in ACCEPTED {
            let request = server.http().get(server.ops_url(&path)).header(ACCEPT, accept).bearer_auth(key);
            let named = path.replace(key, "KEY");
            pages.push((format!("{named} of {} ({accept})", server.process().name()), answer(request).await?));
        }
        let request = server.http().get(server.ops_url(&path)).header(ACCEPT, format!("application/{key}"));
        pages.push((format!("{} asked for as a key", path.replace(key, "KEY")), answer(request).await?));
    }
    Ok(pages)
}

/// Status, headers and body as text.
async fn answer(request: RequestBuilder) -> Result<String> {
    let answer = request.send().await?;
    let head = format!("{} {:?}", answer.status(), answer.headers());
    Ok(format!("{head}\n{}", answer.text().await?))
}
