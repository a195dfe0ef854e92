//! What a verification costs beside a server that does nothing, and beside one that asks the network.
//!
//! `cargo run --release -p keyplane-tests --bin verify-load [-- --rounds 3 --keys 100000 --json]`
//!
//! Needs no root and nothing outside of loopback, and takes about three minutes. Each server is a process of its own on one core with one
//! worker; the generator, one thread, has another core to itself.
//!
//! * **axum echo**, **hyper echo**: read the whole request, answer with the bytes of a verification's answer. What no server on these
//!   libraries can be below.
//! * **keys.verifyKey**: the release build of `keyplane-api-server`, alone, with an embedded store. Each key has 4 permissions, a role, two
//!   limits that each verification counts, 200 bytes of metadata and an identity. Keys are drawn by Zipf (rank `r` with a frequency of 1/r).
//! * **ratelimit.limit**, **v1 keys.verifyKey**: the same server, for information; their answers are smaller.
//!
//! Two phases for each, in turns A B C A B C, over 64 kept-alive connections:
//!
//! * an *open loop* at a low rate: requests arrive by a Poisson process and each one's time runs from the moment at which it should have
//!   been sent, so that a stall hits all who would have come meanwhile;
//! * a *closed loop* at full speed: CPU for each request, user space and kernel, from the scheduler's own count (`schedstat`).
//!
//! A round in which a server or the generator waited for its core for more than 5 % of a phase is measured again. Ratios are made round by
//! round. Only they are judged: absolute times belong to the machine. Exit code 2 when a bar is missed.
//!
//! **Memory or network** asks the same of a hyper server that fetches the key's record from a real Redis (`redis-server` on the PATH) over
//! one multiplexed connection without Nagle's algorithm, at several distances: a proxy in user space holds each piece back for half of the
//! round trip. See `redis_lookup.rs` for what it leaves out, in Redis' favour.

mod connection;
mod cpu;
mod delay;
mod echo;
mod figures;
mod generator;
mod keys;
mod measure;
mod network;
mod pin;
mod redis_lookup;
mod report;
mod rounds;
mod serve;
mod stage;
mod workload;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use keyplane_tests::binaries::Binaries;
use mimalloc::MiMalloc;

use self::measure::Plan;
use self::report::Report;
use self::serve::Serve;
use self::stage::Stage;

/// The api-server's allocator: an echo must not pay for another one.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Measures what a verification costs.
#[derive(Parser)]
#[command(name = "verify-load")]
struct Args {
    /// How many keys.
    #[arg(long, default_value_t = 100_000)]
    keys: usize,
    /// Undisturbed rounds.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Requests in a second, for latencies.
    #[arg(long, default_value_t = 2_000.0)]
    rate: f64,
    /// One short round with few keys: shows that everything runs, and measures nothing.
    #[arg(long)]
    quick: bool,
    /// Leave out memory or network.
    #[arg(long)]
    no_redis: bool,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// One of the processes that this program starts.
    #[command(hide = true, subcommand)]
    Serve(Serve),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let json = args.json;
    let done = match args.command {
        Some(Command::Serve(serve)) => serve.run().map(|()| ExitCode::SUCCESS),
        None => start(&args).map(|report| {
            report.print(json);
            if args.quick || report.holds() { ExitCode::SUCCESS } else { ExitCode::from(2) }
        }),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn start(args: &Args) -> Result<Report> {
    ensure!(!cfg!(debug_assertions), "figures of a debug build say nothing; run it with `cargo run --release`");
    ensure!(args.keys > 0 && args.rounds > 0 && args.rate > 0.0, "--keys, --rounds and --rate must be above 0");
    // One thread: it is bound to a core, and generates.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start tokio")?;
    runtime.block_on(run(args))
}

async fn run(args: &Args) -> Result<Report> {
    let [api_server] = Binaries::release(["keyplane-api-server"])?;
    let (keys, rounds) = if args.quick { (args.keys.min(1_000), 1) } else { (args.keys, args.rounds) };
    let stage = Stage::set(&api_server, keys).await?;
    let milliseconds = |quick, full| Duration::from_millis(if args.quick { quick } else { full });
    let (warm_up, open, saturated) = (milliseconds(50, 300), milliseconds(200, 3_000), milliseconds(100, 1_500));
    let plan = Plan { warm_up, open, rate: args.rate, saturated };
    let servers = rounds::rounds(&mut stage.targets()?, plan, rounds)?;
    let network = match network::redis_server().filter(|_| !args.no_redis) {
        Some(redis) => {
            let plan = Plan { rate: network::RATE, saturated: Duration::ZERO, ..plan };
            Some(network::measure(&stage, &redis, plan, rounds).await?)
        }
        None => None,
    };
    Report::new(&stage, args.rate, servers, network)
}
