//! `api-server/examples`: the manifests there load as they are, and the plain keys that their comments name verify.

use std::collections::HashMap;
use std::fs;

use anyhow::{Context, Result};
use keyplane_core::hash::KeyHash;
use keyplane_tests::{Program, workspace};
use serde_json::{Value, json};

/// Every `printf %s 'KEY' | sha256sum` of the comments, by the hash that must follow it.
fn documented_keys() -> Result<HashMap<String, String>> {
    let mut keys = HashMap::new();
    for entry in fs::read_dir(workspace::root().join("api-server/examples"))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        for (_, after) in text.match_indices("printf %s '").map(|(at, start)| text.split_at(at + start.len())) {
            let plain = after.split_once("' | sha256sum").context("a command that is not complete")?.0;
            let hash = KeyHash::of(plain).to_hex();
            let follows = after.find(&format!("sha256: {hash}"));
            let next = after.find("printf %s '").unwrap_or(after.len());
            assert!(follows.is_some_and(|at| at < next), "{}: {plain} has the hash {hash}", path.display());
            keys.insert(plain.to_owned(), hash);
        }
        let (hashes, commands) = (text.matches("sha256: ").count(), text.matches("printf %s '").count());
        assert_eq!(hashes, commands, "{}: a hash whose making is not shown", path.display());
    }
    Ok(keys)
}

#[tokio::test]
async fn the_examples_serve_the_keys_that_they_document() -> Result<()> {
    let directory = workspace::root().join("api-server/examples");
    let server = Program::api_server()?.flag("registry", format!("manifests:{}", directory.display())).start().await?;
    let mut keys = documented_keys()?;
    let roots: Vec<String> = keys.keys().filter(|key| key.starts_with("keyplane_")).cloned().collect();
    let [root_key] = roots.as_slice() else { anyhow::bail!("one root key is expected: {roots:?}") };
    keys.remove(root_key);
    let mut codes = HashMap::new();
    for plain in keys.keys() {
        codes.insert(plain.as_str(), server.verify(root_key, plain).await?);
    }
    let of = |code: &str| codes.values().filter(|seen| *seen == code).count();
    assert_eq!((of("VALID"), of("DISABLED"), codes.len()), (2, 1, 3), "{codes:?}");

    // One of them has everything that another file gives it.
    let body = json!({"key": "pay_example_key_of_acme", "permissions": "invoices.read AND invoices.write"});
    let (_, answer) = server.post("/v2/keys.verifyKey", root_key, &body).await?;
    let data = &answer["data"];
    assert_eq!((&data["code"], &data["roles"]), (&json!("VALID"), &json!(["editor"])), "{answer}");
    assert_eq!(data["identity"]["externalId"], "acme");
    assert_ne!(data["identity"]["meta"], Value::Null, "{answer}");
    Ok(())
}
