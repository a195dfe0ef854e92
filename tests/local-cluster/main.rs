//! A developer's Keyplane on one machine: a real Kubernetes API, the operator and two verify pods as processes, until
//! Ctrl-C.
//!
//! `cargo run -p keyplane-tests --bin local-cluster`. Files, logs and the kubeconfig are in `target/local-cluster/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use keyplane_tests::binaries::Binaries;
use keyplane_tests::cluster::{OPERATOR_ACCOUNT, SYSTEM_NAMESPACE};
use keyplane_tests::{Cluster, Program, Server, ports, workspace};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The pool that the chart makes; its pods run here, since the control plane has no nodes.
const POOL: &str = "default";
/// Addresses stay the same from run to run where they are free.
const API_PORT: u16 = 16_443;
const OPERATOR_PORT: u16 = 18_082;
const POD_PORTS: [(u16, u16); 2] = [(18_080, 18_081), (18_090, 18_091)];

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let began = Instant::now();
    let directory = workspace::target_directory()?.join("local-cluster");
    let _only_one = lock(&directory)?;
    eprintln!("building the operator and the api-server, starting a Kubernetes control plane ...");
    Binaries::build()?;
    let cluster = Cluster::start_at(&directory, Some(ports::free_or(API_PORT)?)).await?;
    let mut stop = Stop::listen()?;
    let running = tokio::select! {
        running = Running::start(cluster, &directory) => running?,
        name = stop.asked() => bail!("{name} before everything was up; stopped"),
    };
    running.explain(began.elapsed().as_secs_f32());
    let name = stop.asked().await;
    println!("\n{name}: stopping");
    tokio::select! {
        stopped = running.stop() => stopped,
        name = stop.asked() => bail!("{name} again: killed without waiting"),
    }
}

/// Empties the directory of the last run, unless that run is still there.
fn lock(directory: &Path) -> Result<File> {
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    let file = directory.join(".lock");
    let lock = File::create(&file).with_context(|| format!("create {}", file.display()))?;
    if lock.try_lock().is_err() {
        bail!("a local cluster is running already: export KUBECONFIG={}", directory.join("kubeconfig").display());
    }
    for entry in fs::read_dir(directory).context("list the files of the last run")? {
        let path = entry.context("list the files of the last run")?.path();
        let removed = match path.is_dir() {
            true => fs::remove_dir_all(&path),
            false if path == file => Ok(()),
            false => fs::remove_file(&path),
        };
        removed.with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(lock)
}

/// Everything, once it is up.
struct Running {
    cluster: Arc<Cluster>,
    kubeconfig: PathBuf,
    operator: Server,
    pods: Vec<Server>,
}

impl Running {
    async fn start(cluster: Arc<Cluster>, directory: &Path) -> Result<Self> {
        let kubeconfig = directory.join("kubeconfig");
        fs::copy(cluster.control_plane().admin().kubeconfig(), &kubeconfig).context("copy the kubeconfig")?;
        let operator = Self::operator(&cluster, directory).await?;
        let pods = Self::pods(&cluster, directory).await?;
        Ok(Self { cluster, kubeconfig, operator, pods })
    }

    async fn operator(cluster: &Cluster, directory: &Path) -> Result<Server> {
        let identity = cluster.service_account(SYSTEM_NAMESPACE, OPERATOR_ACCOUNT).await?;
        let program = Program::operator()?.in_directory(directory)?.identity(&identity);
        program.flag("lease-namespace", SYSTEM_NAMESPACE).on_ports(0, ports::free_or(OPERATOR_PORT)?).start().await
    }

    /// With the rights that the operator gives the pool's pods, so only after the operator works.
    async fn pods(cluster: &Cluster, directory: &Path) -> Result<Vec<Server>> {
        let identity = cluster.service_account(SYSTEM_NAMESPACE, &format!("keyplane-verify-{POOL}")).await?;
        let mut pods = Vec::new();
        for (number, (work, operations)) in POD_PORTS.into_iter().enumerate() {
            let name = format!("verify-{number}");
            let program = Program::api_server()?.in_directory(directory)?.named(&name).identity(&identity);
            let program =
                program.flag("registry", "kubernetes").flag("roles", "verify").flag("data-dir", directory.join(&name));
            pods.push(program.on_ports(ports::free_or(work)?, ports::free_or(operations)?).start().await?);
        }
        Ok(pods)
    }

    fn explain(&self, seconds: f32) {
        let programs = self.cluster.assets().kubectl.parent().unwrap_or(Path::new(""));
        println!("# Up after {seconds:.1} s. In another terminal (the PATH holds kubectl and helm):");
        println!("export KUBECONFIG={}", self.kubeconfig.display());
        println!("export PATH={}:$PATH", programs.display());
        println!();
        println!("Kubernetes API  {}", self.cluster.control_plane().endpoint().url);
        for pod in &self.pods {
            println!("{:15} {}   z-pages {}", pod.process().name(), pod.url(""), pod.ops_url("/statusz"));
        }
        println!("{:15} z-pages {}", "operator", self.operator.ops_url("/statusz"));
        println!("logs            {}/*.log", self.kubeconfig.parent().unwrap_or(Path::new("")).display());
        println!();
        println!(
            "There are no nodes: pods of the cluster stay Pending, the two above stand in for those of VerifyPool {POOL}."
        );
        println!("Ctrl-C stops everything.");
    }

    /// Pods first, while there is still something to watch; the operator gives back its lease; the control plane is
    /// thrown away.
    async fn stop(self) -> Result<()> {
        for server in self.pods.iter().chain([&self.operator]) {
            let name = server.process().name();
            match server.terminate().await {
                Ok(0) => {}
                Ok(code) => println!("{name} ended with exit code {code}"),
                Err(error) => println!("{error:#}"),
            }
        }
        self.cluster.control_plane().stop();
        println!("stopped");
        Ok(())
    }
}

/// What ends a local cluster. Until the control plane is up the default holds, which ends us at once; the kit's reaper
/// ends the children.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> Result<Self> {
        let interrupt = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
        let terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        Ok(Self { interrupt, terminate })
    }

    /// Waits for either; its name.
    async fn asked(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
