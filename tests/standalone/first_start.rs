//! The first start makes a root key and a sample key and shows them once; the store keeps their hashes for good.

use std::process::Stdio;

use anyhow::{Context, Result};
use keyplane_tests::{Program, environment};
use serde_json::Value;
use tokio::process::Command;

use crate::shown::Shown;

#[tokio::test]
async fn a_first_start_shows_a_key_once_and_a_command_that_works_as_it_is() -> Result<()> {
    let server = Program::api_server()?.start().await?;
    let shown = Shown::by(&server).await?;
    let answer: Value = serde_json::from_str(&pasted(&shown.command).await?)?;
    assert_eq!((&answer["data"]["valid"], &answer["data"]["code"]), (&Value::Bool(true), &"VALID".into()), "{answer}");

    let output = server.log()?;
    assert_eq!(output.lines().filter(|line| line.trim() == shown.root_key).count(), 1, "once for reading");
    assert_eq!(output.matches(&shown.root_key).count(), 2, "and once in the command");
    assert_eq!(output.matches(&shown.sample_key).count(), 1);
    Ok(())
}

#[tokio::test]
async fn a_second_start_shows_no_key_and_knows_the_first_ones() -> Result<()> {
    let mut server = Program::api_server()?.start().await?;
    let shown = Shown::by(&server).await?;
    let mut before = server.log()?.len();
    for how in ["stopped", "killed"] {
        if how == "stopped" {
            assert_eq!(server.terminate().await?, 0);
        }
        server.start_again().await?;
        assert_eq!(server.verify(&shown.root_key, &shown.sample_key).await?, "VALID", "{how}");
        assert_eq!(server.verify(&shown.root_key, "another key").await?, "NOT_FOUND", "{how}");
        // What is shown at the start is shown before the stop is looked at.
        assert_eq!(server.terminate().await?, 0);
        let output = server.log()?;
        let since = &output[before..];
        assert!(since.contains("index complete") && !since.contains("curl"), "{since}");
        assert!(!since.contains(&shown.root_key) && !since.lines().any(|line| line.trim().starts_with("keyplane_")));
        before = output.len();
        server.start_again().await?;
    }
    Ok(())
}

#[tokio::test]
async fn keys_of_one_data_directory_are_unknown_in_another() -> Result<()> {
    let (one, other) = (Program::api_server()?.start().await?, Program::api_server()?.start().await?);
    let (of_one, of_other) = (Shown::by(&one).await?, Shown::by(&other).await?);
    assert_ne!(of_one.root_key, of_other.root_key);
    assert_eq!(other.verify(&of_other.root_key, &of_one.sample_key).await?, "NOT_FOUND");
    assert!(other.verify(&of_one.root_key, &of_other.sample_key).await.unwrap_err().to_string().contains("401"));
    Ok(())
}

/// Runs a command as a person does who pastes it.
async fn pasted(command: &str) -> Result<String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env_clear().envs(environment::inherited()).stdin(Stdio::null()).kill_on_drop(true);
    let output = shell.output().await.context("run sh")?;
    assert!(output.status.success(), "install curl? {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
