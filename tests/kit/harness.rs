//! Runs trials against one shared control plane, under cargo's usual command line and with its usual result lines.

use std::future::Future;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use crate::binaries::Binaries;
use crate::cluster::{Cluster, Install};
use crate::trial_log;

/// No trial hangs: past this it fails. The longest wait of one trial is a lease that ends, some seconds.
const LIMIT: Duration = Duration::from_secs(180);

/// The trials of one module.
pub type Trials = fn(&SharedCluster) -> Vec<Trial>;

/// The control plane that all trials share. It starts with the first trial that runs, so `--list` and a filter that
/// matches nothing are free.
#[derive(Clone, Default)]
pub struct SharedCluster {
    started: Arc<OnceLock<Result<Slot, String>>>,
}

/// Emptied at the end, so that no trial keeps the cluster.
type Slot = Mutex<Option<Arc<Cluster>>>;

impl SharedCluster {
    /// A trial: an async function that gets the cluster. It runs on a thread and a runtime of its own.
    pub fn trial<F, T>(&self, name: &str, run: T) -> Trial
    where
        T: FnOnce(Arc<Cluster>) -> F + Send + 'static,
        F: Future<Output = Result<()>>,
    {
        let shared = self.clone();
        // `kube::keys::expired` becomes `keys::expired`: the first part is the program.
        let name = name.split_once("::").map_or(name, |(_, rest)| rest).to_owned();
        Trial::test(name.clone(), move || shared.run(&name, run).map_err(|error| Failed::from(format!("{error:#}"))))
    }

    fn run<F, T>(&self, name: &str, run: T) -> Result<()>
    where
        T: FnOnce(Arc<Cluster>) -> F,
        F: Future<Output = Result<()>>,
    {
        let cluster = self.cluster()?;
        let logs = ShowLogs::begin(name);
        let outcome = runtime()?.block_on(async {
            let limited = tokio::time::timeout(LIMIT, run(cluster)).await;
            limited.unwrap_or_else(|_| Err(anyhow!("the trial took longer than {LIMIT:?}")))
        });
        logs.end(outcome.is_ok());
        outcome
    }

    fn cluster(&self) -> Result<Arc<Cluster>> {
        let started = self.started.get_or_init(|| match start() {
            Ok(cluster) => Ok(Mutex::new(Some(cluster))),
            Err(error) => Err(format!("{error:#}")),
        });
        let slot = started.as_ref().map_err(|text| anyhow!("the shared control plane did not start: {text}"))?;
        slot.lock()
            .expect("no thread panics while it holds the cluster")
            .clone()
            .context("the control plane was stopped")
    }

    /// Stops it, if it was started. Trials that still hold it fail from here on.
    fn stop(&self) {
        if let Some(Ok(slot)) = self.started.get()
            && let Some(cluster) = slot.lock().expect("no thread panics while it holds the cluster").take()
        {
            cluster.control_plane().stop();
        }
    }
}

/// The main function of a test target with `harness = false`.
pub fn main(modules: &[Trials]) -> ExitCode {
    let arguments = Arguments::from_args();
    let shared = SharedCluster::default();
    let trials = modules.iter().flat_map(|trials| trials(&shared)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    shared.stop();
    conclusion.exit_code()
}

/// Starts the control plane while cargo links our programs. Programs that do not compile fail the trials that start
/// them, no others.
fn start() -> Result<Arc<Cluster>> {
    let began = Instant::now();
    let cluster = std::thread::scope(|scope| {
        scope.spawn(Binaries::build);
        runtime()?.block_on(Cluster::start(Install::CrdsAndChart))
    })?;
    eprintln!("a Kubernetes control plane is ready after {:.1} s", began.elapsed().as_secs_f32());
    Ok(cluster)
}

/// Two threads: a trial may block in one, for instance while it counts, and its connections still go on.
fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("start a tokio runtime")
}

/// Shows what the trial's processes printed unless the trial passed; a panic drops it without `end`.
struct ShowLogs<'a> {
    name: &'a str,
    passed: bool,
}

impl<'a> ShowLogs<'a> {
    fn begin(name: &'a str) -> Self {
        trial_log::begin();
        Self { name, passed: false }
    }

    fn end(mut self, passed: bool) {
        self.passed = passed;
    }
}

impl Drop for ShowLogs<'_> {
    fn drop(&mut self) {
        let logs = trial_log::end();
        if !self.passed && !logs.is_empty() {
            eprint!("--- {} failed; what its processes printed last:\n{logs}", self.name);
        }
    }
}

/// A `Vec<Trial>` of async functions, each named by its module and itself: `trials![cluster; expired_key_is_refused,
/// ...]`.
#[macro_export]
macro_rules! trials {
    ($cluster:expr; $($function:ident),+ $(,)?) => {
        vec![$($cluster.trial(concat!(module_path!(), "::", stringify!($function)), $function)),+]
    };
}
