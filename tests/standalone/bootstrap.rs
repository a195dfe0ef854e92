//! `KEYPLANE_BOOTSTRAP_ROOT_KEY`: the environment says which root key works, whatever the store says.

use std::path::PathBuf;

use anyhow::Result;
use keyplane_api_server::registry::embedded::Embedded;
use keyplane_api_server::registry::{Kind, Object, Registry, Source};
use keyplane_tests::Program;

use crate::manifests::{Directory, key_object};
use crate::shown::Shown;

const NAME: &str = "KEYPLANE_BOOTSTRAP_ROOT_KEY";
const KEY: &str = "bootstrap-key-of-this-test";

#[tokio::test]
async fn it_works_beside_the_keys_of_a_store() -> Result<()> {
    let program = Program::api_server()?;
    let mut shown = None;
    for plain in [None, Some(KEY), Some("another-bootstrap-key"), Some(KEY)] {
        let program = plain.map_or_else(|| program.clone(), |plain| program.clone().env(NAME, plain));
        let server = program.start().await?;
        let first = match shown.take() {
            None => Shown::by(&server).await?,
            Some(first) => first,
        };
        for root_key in plain.iter().copied().chain([first.root_key.as_str()]) {
            assert_eq!(server.verify(root_key, &first.sample_key).await?, "VALID");
        }
        shown = Some(first);
        assert_eq!(server.terminate().await?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn with_it_a_first_start_makes_and_shows_no_key() -> Result<()> {
    let program = Program::api_server()?.env(NAME, KEY);
    let server = program.start().await?;
    assert_eq!(server.verify(KEY, "unknown").await?, "NOT_FOUND", "the caller is known");
    assert_eq!(server.terminate().await?, 0);
    assert!(!server.log()?.contains("curl"), "{}", server.log()?);
    let store = Embedded::open(&data_of(&program))?;
    assert_eq!(root_keys(&store).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_disabled_one_is_enabled_again_at_the_next_start() -> Result<()> {
    let program = Program::api_server()?.env(NAME, KEY);
    let server = program.start().await?;
    assert_eq!(server.terminate().await?, 0);
    disable_root_keys(&program).await?;

    // Another key in the environment leaves it as it is.
    let server = program.clone().env(NAME, "another-bootstrap-key").start().await?;
    let refused = server.verify(KEY, "unknown").await.unwrap_err().to_string();
    assert!(refused.contains("403") && refused.contains("key_disabled"), "{refused}");
    assert_eq!(server.terminate().await?, 0);

    let server = program.start().await?;
    assert_eq!(server.verify(KEY, "unknown").await?, "NOT_FOUND", "the caller is known");
    Ok(())
}

#[tokio::test]
async fn it_works_beside_manifests_and_leaves_them_alone() -> Result<()> {
    let manifests = Directory::new()?;
    let file = manifests.write("keys.yaml", &key_object("acme", "a-key-in-a-manifest", ""))?;
    let before = std::fs::read(&file)?;
    let server = manifests.program()?.env(NAME, KEY).start().await?;
    assert_eq!(server.verify(KEY, "a-key-in-a-manifest").await?, "VALID");
    manifests.write("more.yaml", &key_object("more", "another-key-in-a-manifest", ""))?;
    server.wait_for_code(KEY, "another-key-in-a-manifest", "VALID").await?;
    assert_eq!(std::fs::read(&file)?, before);
    assert_eq!(std::fs::read_dir(manifests.path())?.count(), 2, "nothing was written beside them");
    Ok(())
}

#[tokio::test]
async fn one_that_cannot_be_used_is_refused_without_repeating_it() -> Result<()> {
    for (plain, why) in [("too-short", "at least 16"), (" a-key-with-a-space-in-front", "white space")] {
        let server = Program::api_server()?.env(NAME, plain).start_unready()?;
        let refused = crate::command_line::refusal(&server).await?;
        assert!(refused.contains("--bootstrap-root-key") && refused.contains(why), "{refused}");
        assert!(!refused.contains(plain.trim()), "{refused}");
    }
    Ok(())
}

/// The default of `--data-dir` is in the working directory.
fn data_of(program: &Program) -> PathBuf {
    program.directory().join("keyplane-data")
}

async fn root_keys(store: &Embedded) -> Result<Vec<Object>> {
    Ok(store.list(&Source { kind: Kind::RootKey, namespace: None }).await?)
}

/// As the control API will do it.
async fn disable_root_keys(program: &Program) -> Result<()> {
    let store = Embedded::open(&data_of(program))?;
    for mut object in root_keys(&store).await? {
        if let Object::RootKey(root_key) = &mut object {
            root_key.spec.enabled = false;
        }
        store.update(object).await?;
    }
    Ok(())
}
