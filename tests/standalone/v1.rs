//! `POST /v1/keys.verifyKey` on a server that runs alone: for anyone, but for keys of one namespace.

use anyhow::Result;
use keyplane_tests::Server;
use serde_json::{Value, json};

use crate::manifests::{Directory, key_object};

async fn code(server: &Server, key: &str) -> Result<Value> {
    // No Authorization header: v1 verification has no caller.
    let asked = server.http().post(server.url("/v1/keys.verifyKey")).header("content-type", "application/json");
    let mut answer: Value =
        serde_json::from_str(&asked.body(json!({ "key": key }).to_string()).send().await?.text().await?)?;
    Ok(answer["code"].take())
}

#[tokio::test]
async fn keys_of_the_workspace_are_verified_unless_another_namespace_is_named() -> Result<()> {
    let directory = Directory::new()?;
    directory.write("ours.yaml", &key_object("ours", "a-key-without-a-namespace", ""))?;
    directory.write("theirs.yaml", &key_object("theirs, namespace: team-b", "a-key-of-team-b", ""))?;
    for (flag, ours, theirs) in [(None, "VALID", "NOT_FOUND"), (Some("team-b"), "NOT_FOUND", "VALID")] {
        let program = directory.program()?;
        let program = flag.into_iter().fold(program, |program, namespace| program.flag("v1-namespace", namespace));
        let server = program.start().await?;
        assert_eq!(code(&server, "a-key-without-a-namespace").await?, ours, "{flag:?}");
        assert_eq!(code(&server, "a-key-of-team-b").await?, theirs, "{flag:?}");
    }
    Ok(())
}
