//! Runs a command-line tool to its end: kubectl, helm.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::environment;

/// A tool and what all its runs have in common.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(&'static str, OsString)>,
}

/// A run that failed. Its text holds what the tool printed, for instance the API server's refusal.
#[derive(Debug, Error)]
#[error("`{command}` failed: {stderr}")]
pub struct Refused {
    /// The command line.
    pub command: String,
    /// What it printed to stdout.
    pub stdout: String,
    /// What it printed to stderr, trimmed.
    pub stderr: String,
}

impl Tool {
    pub(crate) fn new(program: &Path) -> Self {
        Self { program: program.to_owned(), args: Vec::new(), env: Vec::new() }
    }

    /// Adds arguments to each run.
    pub(crate) fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a variable to the environment of each run.
    pub(crate) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// Runs it, with `input` as its stdin; returns its stdout. A run that fails is a [`Refused`].
    pub(crate) async fn run(&self, args: &[&str], input: &str) -> Result<String> {
        let name = self.program.file_name().unwrap_or_default().to_string_lossy();
        let mut command = Command::new(&self.program);
        command.args(&self.args).args(args).kill_on_drop(true);
        command.env_clear().envs(environment::inherited()).envs(self.env.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("run {}", self.program.display()))?;
        let mut stdin = child.stdin.take().context("a piped stdin")?;
        let write = async move {
            // A tool that ends without reading its input breaks the pipe; its exit status tells more than that.
            let _ = stdin.write_all(input.as_bytes()).await;
        };
        let ((), output) = tokio::join!(write, child.wait_with_output());
        let output = output.with_context(|| format!("wait for {name}"))?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(stdout);
        }
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Refused { command: format!("{name} {}", args.join(" ")), stdout, stderr }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn input_larger_than_a_pipe_comes_back() {
        let text = "a line of a manifest\n".repeat(50_000);
        assert_eq!(Tool::new(Path::new("/bin/cat")).run(&[], &text).await.unwrap(), text);
    }

    #[tokio::test]
    async fn a_failed_run_holds_command_and_message() {
        let error =
            Tool::new(Path::new("/bin/sh")).run(&["-c", "echo refused >&2; exit 1"], "unread").await.unwrap_err();
        let refused = error.downcast_ref::<Refused>().unwrap();
        assert_eq!(refused.stderr, "refused");
        assert!(error.to_string().contains("`sh -c"), "{error}");
    }
}
