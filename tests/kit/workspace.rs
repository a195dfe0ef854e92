//! Where things are: the checkout and cargo's target directory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;

use crate::environment;

/// The root of the checkout.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Cargo's target directory, whatever set it (`CARGO_TARGET_DIR`, a configuration file, the default).
///
/// # Errors
/// When cargo cannot be asked.
pub fn target_directory() -> Result<&'static Path> {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    if let Some(directory) = DIRECTORY.get() {
        return Ok(directory);
    }
    let metadata = MetadataCommand::new()
        .cargo_path(environment::cargo())
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("ask `cargo metadata` for the target directory")?;
    Ok(DIRECTORY.get_or_init(|| metadata.target_directory.into_std_path_buf()))
}

/// `go env GOVERSION`, for messages and to know whether there is a Go at all.
pub(crate) fn go_version() -> Result<String> {
    let output = Command::new("go").args(["env", "GOVERSION"]).output().context("run `go`")?;
    ensure!(output.status.success(), "`go env GOVERSION`: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace_and_the_target_holds_this_program() {
        assert!(root().join("crds").parent().unwrap().join("Cargo.toml").exists());
        let program = std::env::current_exe().unwrap().canonicalize().unwrap();
        assert!(program.starts_with(target_directory().unwrap().canonicalize().unwrap()));
    }
}
