//! Rules of the repository. No network, no servers.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it is"
)]

mod dependencies;
mod documents;
mod files;
mod rights;

use std::path::PathBuf;
use std::process::Command;

use keyplane_tests::workspace;

/// Every file that git knows or would add, relative to the root.
fn files() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(workspace::root())
        .output()
        .expect("git lists the files; install git");
    assert!(listed.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&listed.stderr));
    let text = String::from_utf8(listed.stdout).expect("file names are UTF-8");
    let files: Vec<PathBuf> =
        text.lines().map(PathBuf::from).filter(|file| workspace::root().join(file).is_file()).collect();
    assert!(files.len() > 100, "only {} files listed", files.len());
    files
}

/// The text of a file; `None` when it is not text.
fn text(file: &std::path::Path) -> Option<String> {
    std::fs::read_to_string(workspace::root().join(file)).ok()
}
