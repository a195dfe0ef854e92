//! Credits of a standalone server survive its end: exactly after SIGTERM, within the stated bound after SIGKILL.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use keyplane_core::hash::KeyHash;
use keyplane_tests::{Program, Server, eventually};
use serde_json::json;
use tokio::task::JoinSet;

use crate::manifests::{Directory, key_object};

const ROOT_KEY: &str = "root-key-of-the-credits";
const KEY: &str = "a-key-with-credits";
const OPENING: u64 = 10_000;
const CLIENTS: u64 = 8;
/// A loaded machine verifies some hundred keys a second.
const SOON: Duration = Duration::from_secs(60);

/// A server of one key with credits; its data survives it.
fn program() -> Result<(Directory, Program)> {
    let directory = Directory::new()?;
    let root = format!(
        "apiVersion: keyplane.dev/v1alpha1\nkind: RootKey\nmetadata: {{name: caller}}\nspec: {{permissions: [api.*.verify_key], key: {{hash: {{sha256: {}}}}}}}\n",
        KeyHash::of(ROOT_KEY).to_hex()
    );
    let key = key_object("paid", KEY, &format!("credits: {{remaining: {OPENING}}}"));
    directory.write("keys.yaml", &(root + &key))?;
    let program = directory.program()?;
    Ok((directory, program))
}

/// Code and balance after spending `cost`.
async fn spend(server: &Server, cost: u64) -> Result<(String, u64)> {
    let body = json!({"key": KEY, "credits": {"cost": cost}});
    let (status, answer) = server.post("/v2/keys.verifyKey", ROOT_KEY, &body).await?;
    ensure!(status == 200, "{status} {answer}");
    let data = &answer["data"];
    Ok((
        data["code"].as_str().context("no code")?.to_owned(),
        data["credits"].as_u64().with_context(|| data.to_string())?,
    ))
}

/// Spends one by one from several clients until nothing is left or nobody answers; counts what was answered VALID.
async fn drain(server: &Arc<Server>, valid: &Arc<AtomicU64>) -> bool {
    let mut clients = JoinSet::new();
    let exceeded = Arc::new(AtomicBool::new(false));
    for _ in 0..CLIENTS {
        let (server, valid, exceeded) = (server.clone(), valid.clone(), exceeded.clone());
        clients.spawn(async move {
            while let Ok((code, _)) = spend(&server, 1).await {
                match code.as_str() {
                    "VALID" => drop(valid.fetch_add(1, Ordering::SeqCst)),
                    _ => return exceeded.store(code == "USAGE_EXCEEDED", Ordering::SeqCst),
                }
            }
        });
    }
    clients.join_all().await;
    exceeded.load(Ordering::SeqCst)
}

#[tokio::test]
async fn after_a_kill_nothing_is_given_twice_and_little_is_lost() -> Result<()> {
    let (_directory, program) = program()?;
    let valid = Arc::new(AtomicU64::new(0));
    let mut lost = 0;
    for kill_at in [1_000, 2_500] {
        let server = Arc::new(program.start().await?);
        let spending = tokio::spawn({
            let (server, valid) = (server.clone(), valid.clone());
            async move { drain(&server, &valid).await }
        });
        eventually("credits are spent", SOON, || async { (valid.load(Ordering::SeqCst) >= kill_at).then_some(()) })
            .await?;
        server.process().kill();
        assert!(!spending.await?, "it was killed in the middle");
        // What is lost: blocks that were not used up (3/32 of the balance), and answers that did not arrive.
        lost += (OPENING - kill_at) * 3 / 32 + 1 + CLIENTS;
    }
    let server = Arc::new(program.start().await?);
    assert!(drain(&server, &valid).await, "spent to the end");
    let valid = valid.load(Ordering::SeqCst);
    assert!(valid <= OPENING && valid >= OPENING - lost, "{valid} of {OPENING}, at most {lost} lost");
    assert_eq!(spend(&server, 1).await?, ("USAGE_EXCEEDED".to_owned(), 0));
    Ok(())
}

#[tokio::test]
async fn after_an_orderly_stop_the_balance_is_exact() -> Result<()> {
    let (directory, program) = program()?;
    let mut server = program.start().await?;
    assert_eq!(spend(&server, 7).await?, ("VALID".to_owned(), OPENING - 7));
    assert_eq!(server.terminate().await?, 0);
    server.start_again().await?;
    assert_eq!(spend(&server, 0).await?, ("VALID".to_owned(), OPENING - 7));

    // Another opening sets the balance, once.
    let file = directory.path().join("keys.yaml");
    let written = std::fs::read_to_string(&file)?;
    directory.write("keys.yaml", &written.replace(&format!("remaining: {OPENING}"), "remaining: 50"))?;
    eventually("the new opening is seen", SOON, || async {
        let (_, left) = spend(&server, 0).await?;
        ensure!(left == 50, "{left}");
        Ok(())
    })
    .await?;
    assert_eq!(spend(&server, 20).await?, ("VALID".to_owned(), 30));
    assert_eq!(server.terminate().await?, 0);
    server.start_again().await?;
    assert_eq!(spend(&server, 31).await?, ("USAGE_EXCEEDED".to_owned(), 30));
    eventually("the balance is counted", SOON, || async {
        let held = server.metric("keyplane_balances").await?;
        ensure!(held == Some(1.0), "{held:?}");
        Ok(())
    })
    .await?;
    Ok(())
}
