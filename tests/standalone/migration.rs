//! A key imported by its long token, in the embedded store: what its first use taught survives an orderly end of the server.

use anyhow::{Context, Result, ensure};
use keyplane_api_server::registry::embedded::Embedded;
use keyplane_api_server::registry::{Kind, Object, ObjectKey, Registry};
use keyplane_core::hash::KeyHash;
use keyplane_tests::{Program, Server};
use serde_json::json;

const ROOT_KEY: &str = "root-key-of-the-migration";
/// The documented example of the format.
const KEY: &str = "mycompany_BRTRKFsL_51FwqftsmMDHHbJAMEXXHCgG";

async fn code(server: &Server, migration: Option<&str>) -> Result<String> {
    let body = migration.map_or_else(|| json!({"key": KEY}), |id| json!({"key": KEY, "migrationId": id}));
    let (status, answer) = server.post("/v2/keys.verifyKey", ROOT_KEY, &body).await?;
    ensure!(status == 200, "{status} {answer}");
    Ok(answer["data"]["code"].as_str().context("no code")?.to_owned())
}

#[tokio::test]
async fn the_first_use_with_a_migration_is_remembered_for_good() -> Result<()> {
    let long_token = KeyHash::of("51FwqftsmMDHHbJAMEXXHCgG").to_hex();
    let imported = json!({
        "metadata": {"name": "imported", "namespace": "default"},
        "apiVersion": "keyplane.dev/v1alpha1", "kind": "ApiKey",
        "spec": {"key": {"prefixedHash": {"sha256": long_token, "migrationId": "seam"}}},
    });
    let program = Program::api_server()?.env("KEYPLANE_BOOTSTRAP_ROOT_KEY", ROOT_KEY);
    let data = program.directory().join("keyplane-data");
    {
        let store = Embedded::open(&data)?;
        store.create(Object::from_json(Kind::ApiKey, imported.to_string().as_bytes())?).await?;
    }
    let mut server = program.start().await?;
    assert_eq!(code(&server, None).await?, "NOT_FOUND");
    assert_eq!(code(&server, Some("seam")).await?, "VALID");
    assert_eq!(code(&server, None).await?, "VALID", "at once");
    assert_eq!(server.terminate().await?, 0);

    {
        let store = Embedded::open(&data)?;
        let key = ObjectKey { kind: Kind::ApiKey, namespace: "default".to_owned(), name: "imported".to_owned() };
        let written = String::from_utf8(store.get(&key).await?.to_json()?)?;
        assert!(written.contains(&KeyHash::of(KEY).to_hex()) && written.contains("\"mycompany_BRTR\""), "{written}");
        assert!(!written.contains("51Fwq"), "the key itself is nowhere");
    }
    server.start_again().await?;
    assert_eq!(code(&server, None).await?, "VALID");
    assert_eq!(server.metric("keyplane_verify_external_calls_total").await?, Some(0.0));
    Ok(())
}
