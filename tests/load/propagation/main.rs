//! How long a change takes from the Kubernetes API to the verdict of every pod, beside the floor below which nothing can be.
//!
//! `cargo run --release -p keyplane-tests --bin propagation [-- --keys 300 --pods 5 --json]`
//!
//! The control plane, the operator and the pods run as processes on this machine. Everything happens one at a time, in rounds:
//!
//! ```text
//! floor     an ApiKey is written where nobody of ours watches -> its event at five bare watch streams; deleted -> the same
//! hash      an ApiKey with a hash is written -> VALID at every pod; deleted -> NOT_FOUND at every pod
//! generate  an ApiKey without a key is written -> the operator makes it -> its Secret reaches a watch here -> VALID at every pod
//! ```
//!
//! **The floor** is measured in the same run and in turns with the rest, first in even rounds and last in odd ones, so that what else
//! happens on the machine hits both. Its writes go to a namespace of their own: pods and bare watchers never share an event, so neither
//! waits for the other's work. All clocks start when the request is sent.
//!
//! **The control plane's garbage collectors** are asked to run before each round, so that they are not due within one. The API server's
//! takes 20 to 40 ms of CPU, on the cores of everyone else, and its next run falls into some change by chance: in about one of a hundred,
//! which then decides the p99. That was seen by the CPU time of each process in slow changes, and they were gone with a collector that runs
//! a tenth as often. `--collect never` leaves the collectors alone.
//!
//! **Resolution.** A pod is asked from the moment the last write it needs is known here (answered, or seen by a bare watcher for the
//! status that the operator writes), and again 0.5 ms after the last time it was asked. So a figure is too large by at most one interval
//! and one verification (0.1 ms), and never too small: no verdict changes before its write. Asking earlier would take time from those who
//! do the work: five pods, asked so by one thread each over a kept-alive connection, get 10,000 requests a second of about 30 µs for both
//! sides, a seventh of two cores; now that lasts for a millisecond or two. Threads, because the timers of an async runtime have a
//! resolution of 1 ms. A run with `--interval 2ms` shows what the asking itself costs.

mod collector;
mod floor;
mod pods;
mod report;
mod secrets;
#[path = "../statistics.rs"]
mod statistics;
#[path = "../wire.rs"]
mod wire;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use keyplane_api::{ApiKey, ApiKeySpec, HashKey, KeySource};
use keyplane_core::hash::KeyHash;
use keyplane_tests::{Cluster, Install, Namespace, Server};
use kube::Api;
use kube::api::{DeleteParams, PostParams};

use self::collector::Collectors;
use self::floor::{Change, Watchers};
use self::pods::Pods;
use self::report::{Report, Run};
use self::secrets::Secrets;
use self::statistics::{Samples, load_average};

/// Rounds before those that count: connections are opened, caches filled.
const WARM_UP: usize = 10;
/// A change that takes longer is a failure of the run.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Measures how long changes take to reach every verify pod.
#[derive(Parser)]
#[command(name = "propagation")]
struct Args {
    /// Rounds that count.
    #[arg(long, default_value_t = 300)]
    keys: usize,
    /// Verify pods, and bare watchers beside them.
    #[arg(long, default_value_t = 5)]
    pods: usize,
    /// From asking a pod to asking it again, such as 500us or 2ms.
    #[arg(long, default_value = "500us", value_parser = short_duration)]
    interval: Duration,
    /// Between two measured changes, in which what the last one set off comes to its end.
    #[arg(long, default_value = "25ms", value_parser = short_duration)]
    pause: Duration,
    /// When the control plane collects its garbage at our word, besides when it wants to.
    #[arg(long, value_enum, default_value = "each-round")]
    collect: Collect,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Collect {
    EachRound,
    Never,
}

fn short_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().map_err(|_| format!("`{text}` does not begin with a number"))?;
    match unit {
        "us" => Ok(Duration::from_micros(number)),
        "ms" => Ok(Duration::from_millis(number)),
        _ => Err(format!("`{text}` does not end in us or ms")),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let json = args.json;
    match run(args).await {
        Ok(report) => {
            report.print(json);
            if report.holds() { ExitCode::SUCCESS } else { ExitCode::from(2) }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<Report> {
    ensure!(args.keys > 0 && args.pods > 0, "--keys and --pods must be at least 1");
    let stage = Stage::set(&args).await?;
    let (began, load_before) = (Instant::now(), load_average()?);
    let run = stage.rounds(&args).await?;
    let load = (load_before, load_average()?);
    Ok(Report::new(&run, args.pods, args.interval, began.elapsed(), load))
}

/// Everything that runs while we measure.
struct Stage {
    watched: Api<ApiKey>,
    unwatched: Api<ApiKey>,
    bare: Watchers,
    /// One bare watcher where the pods watch: it says when asking them can make sense.
    beside: Watchers,
    secrets: Secrets,
    pods: Pods,
    pause: Duration,
    collectors: Option<Collectors>,
    // Kept: dropped, they end.
    _servers: Vec<Server>,
    _cluster: Arc<Cluster>,
}

impl Stage {
    async fn set(args: &Args) -> Result<Self> {
        let cluster = Cluster::start(Install::CrdsAndChart).await?;
        let (watched, unwatched) = (cluster.namespace("watched").await?, cluster.namespace("floor").await?);
        let mut servers = vec![watched.operator("a").await?.start().await?];
        let reader = watched.reader().await?;
        let mut pods = Vec::new();
        for number in 0..args.pods {
            pods.push(watched.verify_pod(&format!("pod-{number}"), &reader)?.start().await?);
        }
        let root_key = caller(&watched).await?;
        for pod in &pods {
            pod.wait_for_code(&root_key, "nobody has this key", "NOT_FOUND").await?;
        }
        let collectors = match args.collect {
            Collect::EachRound => Some(Collectors::of(&cluster).await?),
            Collect::Never => None,
        };
        let polls = Pods::connect(&pods, &root_key, args.interval)?;
        servers.extend(pods);
        Ok(Self {
            watched: watched.api(),
            unwatched: unwatched.api(),
            bare: Watchers::start(&unwatched, args.pods).await?,
            beside: Watchers::start(&watched, 1).await?,
            secrets: Secrets::watch(&watched).await?,
            pods: polls,
            pause: args.pause,
            collectors,
            _servers: servers,
            _cluster: cluster,
        })
    }

    async fn rounds(mut self, args: &Args) -> Result<Run> {
        let mut run = Run::default();
        for round in 0..WARM_UP + args.keys {
            if round == WARM_UP {
                run = Run::default();
            }
            self.collect().await?;
            if round % 2 == 0 {
                self.floor(round, &mut run).await?;
            }
            self.hash(round, &mut run).await?;
            self.generate(round, &mut run).await?;
            if round % 2 == 1 {
                self.floor(round, &mut run).await?;
            }
        }
        Ok(run)
    }

    async fn floor(&mut self, round: usize, run: &mut Run) -> Result<()> {
        let name = format!("floor-{round}");
        let sent = create(&self.unwatched, &name, hashed(&name), &mut run.write_answered).await?;
        run.floor_written.add(self.bare.all_see(&name, Change::Written).await? - sent);
        self.pause().await;
        let sent = delete(&self.unwatched, &name).await?;
        run.floor_deleted.add(self.bare.all_see(&name, Change::Deleted).await? - sent);
        self.pause().await;
        Ok(())
    }

    async fn hash(&mut self, round: usize, run: &mut Run) -> Result<()> {
        let name = format!("hash-{round}");
        let sent = create(&self.watched, &name, hashed(&name), &mut Samples::default()).await?;
        run.hash_valid.add(self.pods.all_answer(&plain_of(&name), "VALID").await? - sent);
        self.pause().await;
        let sent = delete(&self.watched, &name).await?;
        run.hash_gone.add(self.pods.all_answer(&plain_of(&name), "NOT_FOUND").await? - sent);
        self.pause().await;
        Ok(())
    }

    async fn generate(&mut self, round: usize, run: &mut Run) -> Result<()> {
        let name = format!("generate-{round}");
        let sent = create(&self.watched, &name, ApiKeySpec::default(), &mut Samples::default()).await?;
        let (key, seen) = self.secrets.key_of(&name).await?;
        run.secret_seen.add(seen - sent);
        run.status_seen.add(self.beside.all_see(&name, Change::Issued).await? - sent);
        run.generate_valid.add(self.pods.all_answer(&key, "VALID").await? - sent);
        self.pause().await;
        Ok(())
    }

    async fn collect(&self) -> Result<()> {
        if let Some(collectors) = &self.collectors {
            collectors.collect().await?;
            self.pause().await;
        }
        Ok(())
    }

    async fn pause(&self) {
        tokio::time::sleep(self.pause).await;
    }
}

/// A root key that exists for the pods without the operator.
async fn caller(namespace: &Namespace) -> Result<String> {
    let plain = plain_of("caller");
    let (name, hash) = (namespace.name(), KeyHash::of(&plain).to_hex());
    let manifest = format!(
        "{{apiVersion: keyplane.dev/v1alpha1, kind: RootKey, metadata: {{name: caller}}, \
         spec: {{permissions: ['unkey:v1:{name}:**#*'], key: {{hash: {{sha256: '{hash}'}}}}}}}}"
    );
    namespace.kubectl().apply(&manifest).await?;
    Ok(plain)
}

/// Keys of this control plane only, which ends with the run.
fn plain_of(name: &str) -> String {
    format!("plain-key-of-{name}")
}

fn hashed(name: &str) -> ApiKeySpec {
    let sha256 = KeyHash::of(&plain_of(name)).to_hex();
    ApiKeySpec { key: KeySource::Hash(HashKey { sha256 }), ..ApiKeySpec::default() }
}

/// Returns when the request was sent.
async fn create(api: &Api<ApiKey>, name: &str, spec: ApiKeySpec, answered: &mut Samples) -> Result<Instant> {
    let object = ApiKey::new(name, spec);
    let sent = Instant::now();
    api.create(&PostParams::default(), &object).await.with_context(|| format!("create ApiKey {name}"))?;
    answered.add(sent.elapsed());
    Ok(sent)
}

async fn delete(api: &Api<ApiKey>, name: &str) -> Result<Instant> {
    let sent = Instant::now();
    api.delete(name, &DeleteParams::default()).await.with_context(|| format!("delete ApiKey {name}"))?;
    Ok(sent)
}
