//! Plain keys of a standalone server are in what it shows at its first start, and nowhere else.

use anyhow::Result;
use keyplane_core::hash::KeyHash;
use keyplane_tests::leaks::{self, Leaks};
use keyplane_tests::{Program, Server};

use crate::manifests::{Directory, key_object};
use crate::shown::Shown;

const TALKATIVE: &str = "debug,keyplane_api=trace,keyplane_api_server=trace,keyplane_core=trace,zpages=trace";

/// With JSON lines, the log can be told from what is shown on standard output.
fn talkative(program: Program) -> Program {
    program.flag("log-format", "json").flag("log-filter", TALKATIVE)
}

/// Asks for everything with keys in all the wrong places, and searches answers, pages and log.
async fn search(leaks: &mut Leaks, server: &Server, root_key: &str, key: &str) -> Result<()> {
    for (place, answer) in leaks::bad_requests(server, root_key, key).await? {
        leaks.look(place, answer);
    }
    for by in [root_key, key] {
        for (place, page) in leaks::ops_pages(server, by).await? {
            leaks.look(place, page);
        }
    }
    assert_eq!(server.terminate().await?, 0);
    let log = server.log()?;
    let lines: Vec<&str> = log.lines().filter(|line| line.starts_with('{')).collect();
    assert!(lines.iter().any(|line| line.contains(r#""message":"serving""#)), "where are the JSON lines?\n{log}");
    leaks.look("the log", lines.join("\n"));
    Ok(())
}

#[tokio::test]
async fn keys_made_at_the_first_start_are_shown_and_nowhere_else() -> Result<()> {
    let program = talkative(Program::api_server()?);
    let server = program.start().await?;
    let shown = Shown::by(&server).await?;
    let mut leaks = Leaks::of([("the root key", shown.root_key.as_str()), ("the sample key", &shown.sample_key)]);
    search(&mut leaks, &server, &shown.root_key, &shown.sample_key).await?;

    let log = server.log()?;
    let output: Vec<&str> = log.lines().filter(|line| !line.starts_with('{')).collect();
    for key in ["the root key", "the sample key"] {
        leaks.must_find(key, "standard output", output.join("\n"))?;
    }
    let data = program.directory().join("keyplane-data");
    assert!(leaks.look_through_files("data file", &data)? > 0);
    let store = std::fs::read(data.join("keyplane.redb"))?;
    let hash = KeyHash::of(&shown.root_key).to_hex();
    assert!(String::from_utf8_lossy(&store).contains(&hash), "the store is readable, and has the hash");
    leaks.finish()
}

#[tokio::test]
async fn a_bootstrap_key_is_nowhere() -> Result<()> {
    let (root_key, key) = ("keyplane_Boot3kTq9vXz7LmNpQrSt", "pay_Mani7f4kTq9vXz7LmNpQrSt");
    let manifests = Directory::new()?;
    manifests.write("keys.yaml", &key_object("acme", key, ""))?;
    let programs = [
        ("embedded, environment", Program::api_server()?.env("KEYPLANE_BOOTSTRAP_ROOT_KEY", root_key)),
        ("embedded, command line", Program::api_server()?.flag("bootstrap-root-key", root_key)),
        ("manifests", manifests.program()?.env("KEYPLANE_BOOTSTRAP_ROOT_KEY", root_key)),
    ];
    for (how, program) in programs {
        let program = talkative(program);
        let server = program.start().await?;
        let code = server.verify(root_key, key).await?;
        assert_eq!(code, if how == "manifests" { "VALID" } else { "NOT_FOUND" }, "{how}");
        let mut leaks = Leaks::of([("the bootstrap key", root_key), ("the key", key)]);
        search(&mut leaks, &server, root_key, key).await?;
        // The log and, embedded, the store.
        assert!(leaks.look_through_files(how, program.directory())? >= if how == "manifests" { 1 } else { 2 });
        leaks.finish()?;
    }
    Ok(())
}

#[tokio::test]
async fn a_plain_key_where_its_hash_belongs_is_refused_and_not_repeated() -> Result<()> {
    let key = "pay_Mis7ake4kTq9vXz7LmNpQrSt";
    let directory = Directory::new()?;
    for (field, source) in [
        ("spec.key: ", key.to_owned()),
        ("spec.key.hash: ", format!("{{hash: {key}}}")),
        ("spec.key.hash: ", format!("{{hash: {{sha256: {key}}}}}")),
    ] {
        let text = format!(
            "apiVersion: keyplane.dev/v1alpha1\nkind: ApiKey\nmetadata: {{name: x}}\nspec: {{key: {source}}}\n"
        );
        directory.write("keys.yaml", &text)?;
        let refused = crate::command_line::refusal(&talkative(directory.program()?).start_unready()?).await?;
        assert!(refused.contains(&format!("keys.yaml`, document 1: {field}")), "{refused}");
        let mut leaks = Leaks::of([("the key", key)]);
        leaks.must_find("the key", "the manifest", text)?;
        leaks.look("the log", refused);
        leaks.finish()?;
    }
    Ok(())
}
