//! What a first start shows to the person at the terminal.

use std::time::Duration;

use anyhow::{Context, Result};
use keyplane_tests::{Server, eventually};

/// The keys are shown once the index is complete, so about when `/readyz` turns.
const SHOWN: Duration = Duration::from_secs(10);

/// Read from the output; the keys are nowhere else.
pub(crate) struct Shown {
    pub(crate) root_key: String,
    pub(crate) sample_key: String,
    /// To be pasted into a shell.
    pub(crate) command: String,
}

impl Shown {
    /// Waits until it is complete.
    pub(crate) async fn by(server: &Server) -> Result<Self> {
        eventually("the keys and the command are shown", SHOWN, || async { parse(&server.log()?).map(Some) }).await
    }
}

fn parse(output: &str) -> Result<Shown> {
    let line = output.lines().map(str::trim).find(|line| line.starts_with("keyplane_"));
    let root_key = line.context("no root key is shown")?.to_owned();
    let command = &output[output.find("curl ").context("no command is shown")?..];
    let mut lines = Vec::new();
    for line in command.split_inclusive('\n') {
        lines.push(line);
        if !line.ends_with("\\\n") {
            break;
        }
    }
    let command = lines.concat();
    let body = command.split_once("{\"key\":\"").and_then(|(_, body)| body.split_once("\"}'\n"));
    let sample_key = body.context("the command is not complete")?.0.to_owned();
    Ok(Shown { root_key, sample_key, command })
}
