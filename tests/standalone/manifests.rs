//! `--registry manifests:DIR`: a directory of YAML is the truth, and it is read again when it changes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use keyplane_core::hash::KeyHash;
use keyplane_tests::{Program, eventually};

const ROOT_KEY: &str = "root-key-in-a-manifest";
const KEY: &str = "acme-key-in-a-manifest";
/// From a written file to a line in the log; 50 ms on a quiet machine.
const SOON: Duration = Duration::from_secs(10);

/// A directory of manifests; removed with the value.
pub(crate) struct Directory(tempfile::TempDir);

impl Directory {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(tempfile::Builder::new().prefix("keyplane-manifests-").tempdir()?))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.path().join(name);
        fs::write(&file, text)?;
        Ok(file)
    }

    /// A server of this directory.
    pub(crate) fn program(&self) -> Result<Program> {
        Ok(Program::api_server()?.flag("registry", format!("manifests:{}", self.path().display())))
    }
}

/// An ApiKey with the hash of a plain key; `more` is a further line of its spec.
pub(crate) fn key_object(name: &str, plain: &str, more: &str) -> String {
    object("ApiKey", &format!("name: {name}"), plain, more)
}

fn object(kind: &str, metadata: &str, plain: &str, more: &str) -> String {
    let sha256 = KeyHash::of(plain).to_hex();
    format!(
        "---\napiVersion: keyplane.dev/v1alpha1\nkind: {kind}\nmetadata: {{{metadata}}}\nspec:\n  key: {{hash: {{sha256: {sha256}}}}}\n  {more}\n"
    )
}

/// A root key and a key.
fn two_objects(more: &str) -> String {
    object("RootKey", "name: caller", ROOT_KEY, "permissions: [api.*.verify_key]") + &key_object("acme", KEY, more)
}

#[tokio::test]
async fn a_change_of_a_file_is_served_without_a_restart() -> Result<()> {
    let directory = Directory::new()?;
    let file = directory.write("keys.yaml", &two_objects(""))?;
    let server = directory.program()?.start().await?;
    assert_eq!(server.verify(ROOT_KEY, KEY).await?, "VALID");

    directory.write("keys.yaml", &two_objects("enabled: false"))?;
    server.wait_for_code(ROOT_KEY, KEY, "DISABLED").await?;
    // As editors and deployment tools write: a new file takes the place of the old one.
    let aside = directory.write(".keys.yaml.new", &two_objects("expires: 2020-01-01T00:00:00Z"))?;
    fs::rename(aside, &file)?;
    server.wait_for_code(ROOT_KEY, KEY, "EXPIRED").await?;

    let second = directory.write("second.yml", &key_object("second", "second-key-in-a-manifest", ""))?;
    server.wait_for_code(ROOT_KEY, "second-key-in-a-manifest", "VALID").await?;
    fs::remove_file(second)?;
    server.wait_for_code(ROOT_KEY, "second-key-in-a-manifest", "NOT_FOUND").await?;
    assert_eq!(server.verify(ROOT_KEY, KEY).await?, "EXPIRED");
    Ok(())
}

#[tokio::test]
async fn a_broken_file_leaves_the_last_good_state() -> Result<()> {
    let directory = Directory::new()?;
    directory.write("keys.yaml", &two_objects(""))?;
    let server = directory.program()?.start().await?;
    for (broken, why) in [
        ("kind: [", "broken.yaml"),
        ("apiVersion: keyplane.dev/v1alpha1\nkind: ApiKey\nmetadata: {name: x}\nspec: {enabled: 7}\n", "enabled"),
        ("apiVersion: keyplane.dev/v1alpha1\nkind: ApiKy\nmetadata: {name: x}\n", "`ApiKy` is not known"),
        ("apiVersion: keyplane.dev/v9\nkind: ApiKey\nmetadata: {name: x}\n", "write keyplane.dev/v1alpha1"),
    ] {
        // Not even a change beside it is taken: half of what was meant may be worse than none.
        directory.write("keys.yaml", &two_objects("enabled: false"))?;
        directory.write("broken.yaml", broken)?;
        let before = server.log()?.len();
        directory.write("broken.yaml", broken)?;
        eventually(format!("the log says {why}"), SOON, || async {
            let log = server.log()?;
            let told = log[before..].lines().any(|line| line.contains("not reloaded") && line.contains(why));
            Ok::<_, anyhow::Error>(told && log[before..].contains("broken.yaml"))
        })
        .await?;
        server.ops_page("/readyz").await?;
        directory.write("keys.yaml", &two_objects(""))?;
        fs::remove_file(directory.path().join("broken.yaml"))?;
        server.wait_for_code(ROOT_KEY, KEY, "VALID").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_mounted_config_map_is_followed_when_its_link_is_swapped() -> Result<()> {
    let directory = Directory::new()?;
    let version = |name: &str, text: &str| -> Result<()> {
        fs::create_dir(directory.path().join(name))?;
        fs::write(directory.path().join(name).join("keys.yaml"), text)?;
        symlink(name, directory.path().join("..data_tmp"))?;
        Ok(fs::rename(directory.path().join("..data_tmp"), directory.path().join("..data"))?)
    };
    version("..2026_11_21.1", &two_objects(""))?;
    symlink("..data/keys.yaml", directory.path().join("keys.yaml"))?;
    let server = directory.program()?.start().await?;
    assert_eq!(server.verify(ROOT_KEY, KEY).await?, "VALID");
    version("..2026_11_21.2", &two_objects("enabled: false"))?;
    server.wait_for_code(ROOT_KEY, KEY, "DISABLED").await
}

#[tokio::test]
async fn a_start_with_a_broken_file_is_refused_by_file_and_document() -> Result<()> {
    let directory = Directory::new()?;
    directory.write("keys.yaml", &format!("{}---\nkind: ApiKey\n", two_objects("")))?;
    let refused = crate::command_line::refusal(&directory.program()?.start_unready()?).await?;
    assert!(refused.contains("keys.yaml`, document 3: apiVersion and kind are missing"), "{refused}");

    let missing = Program::api_server()?.flag("registry", "manifests:/nonexistent/keys").start_unready()?;
    let refused = crate::command_line::refusal(&missing).await?;
    assert!(refused.contains("/nonexistent/keys"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn the_callers_namespace_decides_which_keys_are_seen() -> Result<()> {
    let directory = Directory::new()?;
    let of = |kind: &str, namespace: &str, plain: &str| {
        let more = if kind == "RootKey" { "permissions: [api.*.verify_key]" } else { "" };
        object(kind, &format!("name: only, namespace: {namespace}"), plain, more)
    };
    directory
        .write("root.yaml", &(of("RootKey", "team-a", "root-key-of-a") + &of("RootKey", "team-b", "root-key-of-b")))?;
    // One plain key in two namespaces is two keys.
    let disabled = object("ApiKey", "name: shared, namespace: team-b", "key-of-both", "enabled: false");
    let keys =
        of("ApiKey", "team-a", "key-of-a") + &object("ApiKey", "name: shared, namespace: team-a", "key-of-both", "");
    directory.write("keys.yaml", &(keys + &disabled))?;
    let server = directory.program()?.start().await?;
    for (root_key, key, code) in [
        ("root-key-of-a", "key-of-a", "VALID"),
        ("root-key-of-b", "key-of-a", "NOT_FOUND"),
        ("root-key-of-a", "key-of-both", "VALID"),
        ("root-key-of-b", "key-of-both", "DISABLED"),
    ] {
        assert_eq!(server.verify(root_key, key).await?, code, "{root_key} {key}");
    }
    Ok(())
}

#[tokio::test]
async fn a_default_namespace_is_given_by_the_workspace() -> Result<()> {
    let directory = Directory::new()?;
    directory.write("keys.yaml", &two_objects(""))?;
    directory.write("theirs.yaml", &object("ApiKey", "name: theirs, namespace: team-a", "key-of-team-a", ""))?;
    let server = directory.program()?.flag("workspace", "team-a").start().await?;
    assert_eq!(server.verify(ROOT_KEY, "key-of-team-a").await?, "VALID");
    assert_eq!(server.verify(ROOT_KEY, KEY).await?, "VALID");
    let server = directory.program()?.start().await?;
    assert_eq!(server.verify(ROOT_KEY, "key-of-team-a").await?, "NOT_FOUND");
    Ok(())
}
