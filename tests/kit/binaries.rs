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

    /// Some programs of the workspace in the release profile, whatever the profile of this kit: what is measured in a test is
    /// what ships. A first build takes some minutes.
    ///
    /// # Errors
    /// When they do not compile; the text holds the compiler's errors.
    pub fn release<const N: usize>(names: [&str; N]) -> Result<[PathBuf; N]> {
        let found = find_all(&names, true)?;
        found.try_into().map_err(|_| anyhow!("as many programs as names"))
    }
}

fn find() -> Result<Binaries> {
    // Benchmarks are built with --release and measure what was built so, too.
    let mut found = find_all(&["keyplane-api-server", "keyplane-operator"], !cfg!(debug_assertions))?.into_iter();
    let mut next = || found.next().context("as many programs as names");
    Ok(Binaries { api_server: next()?, operator: next()? })
}

fn find_all(names: &[&str], release: bool) -> Result<Vec<PathBuf>> {
    let Some(folder) = environment::binaries() else { return run_cargo(names, release) };
    let found = |name: &&str| {
        let path = folder.join(name);
        path.is_file().then_some(path).with_context(|| format!("no {name} in {}", folder.display()))
    };
    names.iter().map(found).collect()
}

/// The whole workspace is named, so that dependencies have the same features as in `cargo test --workspace` and are not
/// built twice.
fn run_cargo(names: &[&str], release: bool) -> Result<Vec<PathBuf>> {
    let mut arguments = vec!["build", "--workspace", "--message-format=json"];
    arguments.extend(release.then_some("--release"));
    arguments.extend(names.iter().flat_map(|name| ["--bin", name]));
    let mut cargo = Command::new(environment::cargo());
    cargo.current_dir(workspace::root()).args(&arguments);
    for name in environment::of_the_outer_cargo() {
        cargo.env_remove(name);
    }
    let output = cargo.stdin(Stdio::null()).output().context("run `cargo build`")?;
    let messages: Vec<Message> =
        Message::parse_stream(output.stdout.as_slice()).collect::<Result<_, _>>().context("read cargo's messages")?;
    if !output.status.success() {
        bail!(
            "`cargo {}` failed:\n{}\n{}",
            arguments.join(" "),
            errors(&messages),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    names.iter().map(|name| executable(&messages, name)).collect()
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
