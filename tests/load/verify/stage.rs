//! Everything that is measured, started and answering: each server a process of its own, all on one core.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use keyplane_api_server::registry::embedded::Embedded;
use keyplane_tests::process::{Launch, Process};
use keyplane_tests::{Program, Server, eventually, ports, workspace};

use super::generator::Generator;
use super::keys;
use super::measure::Target;
use super::pin::{self, Cores};
use super::serve::SERVING;
use super::workload::{Kind, VERIFY, Workload};

/// The caller of every request.
const ROOT_KEY: &str = "keyplane_benchmark_of_verification";
const STARTED: Duration = Duration::from_secs(20);
/// As many workers as cores; said once more for a server that would look elsewhere.
const WORKERS: (&str, &str) = ("TOKIO_WORKER_THREADS", "1");

pub(crate) struct Stage {
    pub(crate) cores: Cores,
    pub(crate) keys: usize,
    /// The file with an answer of `keys.verifyKey`, which every stand-in sends.
    pub(crate) answer: PathBuf,
    /// Bytes in it.
    pub(crate) answer_bytes: usize,
    api_server: Server,
    echoes: Vec<(&'static str, SocketAddr, Process)>,
    home: tempfile::TempDir,
}

impl Stage {
    /// Writes the store and starts the api-server and the echoes.
    pub(crate) async fn set(api_server: &Path, keys: usize) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("verify-load-").tempdir_in(workspace::target_directory()?);
        let home = home.context("make a directory under target/")?;
        let store = home.path().join("store");
        Embedded::open(&store)?.import(keys::all(keys)).await.context("import the keys")?;

        let cores = Cores::choose()?;
        pin::this_thread(cores.servers)?; // what is started from here on stays there
        let program = Program::api_server_at(api_server)?.flag("data-dir", store.as_os_str());
        let program = program.env("KEYPLANE_BOOTSTRAP_ROOT_KEY", ROOT_KEY).env(WORKERS.0, WORKERS.1);
        let api_server = program.start().await?;
        let mut stage = Self {
            cores,
            keys,
            answer: home.path().join("answer.json"),
            answer_bytes: 0,
            api_server,
            echoes: Vec::new(),
            home,
        };
        let verify = Generator::connect(stage.api_address()?)?.ask(&mut stage.workload(Kind::Verify));
        let verify = verify.with_context(|| format!("ask the api-server at {VERIFY}"))?;
        fs::write(&stage.answer, &verify).context("keep an answer")?;
        stage.answer_bytes = verify.len();
        for (name, command) in [("axum echo", "axum-echo"), ("hyper echo", "hyper-echo")] {
            let answer = stage.answer.clone();
            let (address, process) = stage.start(command, &[("answer", answer.into_os_string())]).await?;
            stage.echoes.push((name, address, process));
        }
        pin::this_thread(cores.generator)?;
        Ok(stage)
    }

    /// The echoes, verification, limiting, and verification over v1.
    pub(crate) fn targets(&self) -> Result<Vec<Target>> {
        let mut targets = Vec::new();
        for (name, address, process) in &self.echoes {
            let (address, pid) = (*address, process.pid());
            targets.push(Target { name, address, pid, workload: self.workload(Kind::Verify) });
        }
        for (name, kind) in
            [("keys.verifyKey", Kind::Verify), ("ratelimit.limit", Kind::Limit), ("v1 keys.verifyKey", Kind::VerifyV1)]
        {
            targets.push(self.api_target(name, kind)?);
        }
        Ok(targets)
    }

    /// The api-server, asked one kind of request.
    pub(crate) fn api_target(&self, name: &'static str, kind: Kind) -> Result<Target> {
        let pid = self.api_server.process().pid();
        Ok(Target { name, address: self.api_address()?, pid, workload: self.workload(kind) })
    }

    pub(crate) fn workload(&self, kind: Kind) -> Workload {
        Workload::new(kind, ROOT_KEY, self.keys)
    }

    /// Starts this program again as one of its servers, on a free port; returns when it listens.
    pub(crate) async fn start(&self, command: &str, flags: &[(&str, OsString)]) -> Result<(SocketAddr, Process)> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()?));
        let this = std::env::current_exe().context("find this program")?;
        let mut launch = Launch::new(format!("{command}-{}", address.port()), &this, self.home.path());
        launch = launch.args(["serve", command, "--listen"]).arg(address.to_string()).env(WORKERS.0, WORKERS.1);
        for (flag, value) in flags {
            launch = launch.arg(format!("--{flag}")).arg(value);
        }
        let process = launch.start()?;
        eventually(format!("{command} listens"), STARTED, || async {
            Ok::<_, anyhow::Error>(process.exit_status().is_some() || process.log()?.contains(SERVING))
        })
        .await?;
        ensure!(process.exit_status().is_none(), "{command} ended; its log:\n{}", process.log_tail());
        Ok((address, process))
    }

    /// A directory that goes with the run.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    fn api_address(&self) -> Result<SocketAddr> {
        let url = self.api_server.url("");
        url.trim_start_matches("http://").parse().with_context(|| format!("`{url}` is no address"))
    }
}
