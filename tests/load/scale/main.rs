//! What a hundred thousand keys cost one api-server: start-up, memory for each key, the time of one lookup.
//!
//! `cargo run --release -p keyplane-tests --bin scale [-- --keys 100000 --starts 3 --json]`
//!
//! Keys of the same kind lie in (a) a directory of YAML manifests and (b) an embedded store. Each has 4 permissions (of 40, 40 different sets),
//! a role (of 10, with 3 permissions each), 2 limits of its own, 200 bytes of metadata and an external id (4 keys share one). For both:
//!
//! * **start**: from starting the process until `/readyz` answers 200, asked every 2 ms; the median of so many starts. Files are in the
//!   page cache, as after writing them.
//! * **memory**: resident memory one second after it is ready (and the most it ever had), and for each key: what it has more than a server
//!   without keys, divided by their number.
//! * **verifyKey**: the whole request over loopback, 500 a second over one connection, keys at random. At this rate each request pays
//!   for waking up two sleeping processes; it is context for the lookup, not a throughput.
//!
//! The lookup itself is measured inside of this process, with the same index and engine, fed from the same store: keys uniformly at
//! random over all of them (the worst case for caches), in one thread and in two; the key's hash is at hand, as it is in a request. Beside it
//! stand the loop without a lookup, lookups that wait for each other, and the **chase**: one load that waits for the one before it, at random
//! over as many bytes as the keys take. It says how much of a lookup is the machine's, and how busy the other core is. Without huge pages it
//! takes about twice as long; the allocator asks for them where `/sys/kernel/mm/transparent_hugepage/enabled` says `madvise` or `always`.
//! `--only lookup` measures this and what follows, in a minute.
//!
//! A **change** is one event handed to the feed, until every reader sees what follows from it, while two threads look up keys without a
//! pause: 1,000 keys change, go and come again, half a millisecond apart.
//!
//! The last table holds the figures against their bars, which are meant for a million keys; if one is missed the exit code is 2.

mod bars;
mod change;
mod chase;
mod lookup;
mod objects;
mod report;
mod start;
#[path = "../statistics.rs"]
mod statistics;
#[path = "../wire.rs"]
mod wire;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use keyplane_api_server::registry::embedded::Embedded;
use keyplane_tests::binaries::Binaries;
use keyplane_tests::workspace;
use mimalloc::MiMalloc;

use self::lookup::Scene;
use self::report::{Inside, Report};
use self::start::{ROOT_KEY, Source, starts};
use self::statistics::load_average;

/// The api-server's allocator, which decides where records lie and in pages of which size.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Measures what many keys cost.
#[derive(Parser)]
#[command(name = "scale")]
struct Args {
    /// How many keys.
    #[arg(long, default_value_t = 100_000)]
    keys: usize,
    /// Starts of each kind; figures are medians of them.
    #[arg(long, default_value_t = 3)]
    starts: usize,
    /// Leave out the directory of manifests, whose files take a while to write and to read.
    #[arg(long)]
    no_manifests: bool,
    /// Measure nothing else: no store is written and no server started.
    #[arg(long)]
    only: Option<Only>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// A part of the measurement.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Only {
    /// Lookups, and changes beside them.
    Lookup,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args).await {
        Ok(report) => {
            report.print(args.json);
            if report.holds() { ExitCode::SUCCESS } else { ExitCode::from(2) }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<Report> {
    ensure!(args.keys > 0 && args.starts > 0, "--keys and --starts must be at least 1");
    let load_before = load_average()?;
    let keys = args.keys;
    if args.only == Some(Only::Lookup) {
        let inside = tokio::task::spawn_blocking(move || inside(keys)).await.context("a measurement panicked")??;
        let mut report = Report::new(keys, None, inside, args.starts);
        report.load = (load_before, load_average()?);
        return Ok(report);
    }
    Binaries::build()?;
    let home = tempfile::Builder::new().prefix("scale-").tempdir_in(workspace::target_directory()?);
    let home = home.context("make a directory under target/")?;
    let (empty_store, store) = (home.path().join("empty-store"), home.path().join("store"));
    let (empty_manifests, manifests) = (home.path().join("empty"), home.path().join("manifests"));

    std::fs::create_dir(&empty_manifests).context("make a directory")?;
    let began = Instant::now();
    import(&store, args.keys).await?;
    let imported = began.elapsed();

    let empty = starts(&Source::Embedded(&empty_store), args.starts, 0).await?;
    let embedded = starts(&Source::Embedded(&store), args.starts, args.keys).await?;
    let inside = tokio::task::spawn_blocking(move || inside(keys)).await.context("a measurement panicked")??;
    let mut report = Report::new(keys, Some(imported), inside, args.starts);
    report.add("embedded", &store, &embedded, &empty)?;

    if !args.no_manifests {
        objects::write_manifests(&manifests, args.keys)?;
        let empty = starts(&Source::Manifests(&empty_manifests), args.starts, 0).await?;
        let read = starts(&Source::Manifests(&manifests), args.starts, args.keys).await?;
        report.add("manifests", &manifests, &read, &empty)?;
    }
    report.load = (load_before, load_average()?);
    Ok(report)
}

/// Keys in one transaction of the import.
const TRANSACTION: usize = 100_000;

async fn import(store: &Path, keys: usize) -> Result<()> {
    let store = Embedded::open(store)?;
    let mut objects = objects::all(keys).peekable();
    while objects.peek().is_some() {
        store.import(objects.by_ref().take(TRANSACTION).collect()).await.context("import the keys")?;
    }
    Ok(())
}

/// What is measured inside of this process.
fn inside(keys: usize) -> Result<Inside> {
    let mut scene = Scene::of(keys, ROOT_KEY)?;
    let resident = scene.resident;
    Ok(Inside { resident, lookups: scene.lookups()?, changes: change::measure(&mut scene)? })
}
