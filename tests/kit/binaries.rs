//! Our own programs, built once per test process.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail};
use cargo_metadata::Message;

use crate::{environment, workspace};

/// Where our programs are.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// `keyplane-api-server`
    pub api_server: PathBuf,
    /// `keyplane-operator`
    pub operator: PathBuf,
}

impl Binaries {
    /// Has cargo build them, in the profile of this kit, unless `KEYPLANE_TESTS_BINARIES` names a folder with them. After
    /// `cargo test --workspace` only the last linking is left to do, and later calls in this process return at once.
    ///
    /// # Errors
    /// When they do not compile; the text holds the compiler's errors.
    pub fn build() -> Result<&'static Self> {
        static BUILT: OnceLock<Result<Binaries, String>> = OnceLock::new();
        BUILT.get_or_init(|| find().map_err(|error| format!("{error:#}"))).as_ref().map_err(|text| anyhow!("{text}"))
    }
}

fn find() -> Result<Binaries> {
    let Some(folder) = environment::binaries() else { return run_cargo() };
    let found = |name: &str| {
        let path = folder.join(name);
        path.is_file().then_some(path).with_context(|| format!("no {name} in {}", folder.display()))
    };
    Ok(Binaries { api_server: found("keyplane-api-server")?, operator: found("keyplane-operator")? })
}

/// The whole workspace is named, so that dependencies have the same features as in `cargo test --workspace` and are not
/// built twice.
const COMMAND: [&str; 7] =
    ["build", "--workspace", "--bin", "keyplane-api-server", "--bin", "keyplane-operator", "--message-format=json"];

fn run_cargo() -> Result<Binaries> {
    let mut cargo = Command::new(environment::cargo());
    cargo.current_dir(workspace::root()).args(COMMAND);
    // Benchmarks are built with --release and measure what was built so, too.
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    for name in environment::of_the_outer_cargo() {
        cargo.env_remove(name);
    }
    let output = cargo.stdin(Stdio::null()).output().context("run `cargo build`")?;
    let messages: Vec<Message> =
        Message::parse_stream(output.stdout.as_slice()).collect::<Result<_, _>>().context("read cargo's messages")?;
    if !output.status.success() {
        bail!(
            "`cargo {}` failed:\n{}\n{}",
            COMMAND.join(" "),
            errors(&messages),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(Binaries {
        api_server: executable(&messages, "keyplane-api-server")?,
        operator: executable(&messages, "keyplane-operator")?,
    })
}

fn errors(messages: &[Message]) -> String {
    let rendered = messages.iter().filter_map(|message| match message {
        Message::CompilerMessage(message) => message.message.rendered.clone(),
        _ => None,
    });
    rendered.collect()
}

fn executable(messages: &[Message], name: &str) -> Result<PathBuf> {
    let path = messages.iter().find_map(|message| match message {
        Message::CompilerArtifact(artifact) if artifact.target.name == name => artifact.executable.clone(),
        _ => None,
    });
    Ok(path.with_context(|| format!("the workspace has no program `{name}`"))?.into_std_path_buf())
}
