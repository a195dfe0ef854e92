//! Memory or network: the same requests, answered from this server's memory and with a record fetched from Redis over several distances.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use keyplane_tests::process::{Launch, Process};
use keyplane_tests::{environment, eventually, ports};
use serde::Serialize;

use super::figures::Spread;
use super::measure::{Plan, Target};
use super::pin;
use super::redis_lookup;
use super::rounds::{Rounds, rounds};
use super::stage::Stage;
use super::workload::Kind;

/// Added round trips in microseconds, and how many times as slow as memory the median must be at least.
const DISTANCES: [(u64, &str, Option<f64>); 4] = [
    (0, "Redis on loopback", None),
    (300, "Redis, 0.3 ms away", Some(4.0)),
    (1_000, "Redis, 1 ms away", Some(10.0)),
    (30_000, "Redis, 30 ms away", None),
];
/// Requests in a second. With 30 ms each, 15 are under way: well below the number of connections.
pub(crate) const RATE: f64 = 500.0;
const PINGS: usize = 200;
const STARTED: Duration = Duration::from_secs(10);

/// How to get what this section needs.
pub(crate) const WITHOUT_REDIS: &str =
    "memory or network is left out: --no-redis, or no redis-server on the PATH (apt-get install redis-server)";

#[derive(Serialize)]
pub(crate) struct Network {
    pub(crate) rate: f64,
    pub(crate) memory: Rounds,
    pub(crate) redis: Vec<Distance>,
}

#[derive(Serialize)]
pub(crate) struct Distance {
    pub(crate) name: &'static str,
    /// What was asked for and what a bare PING sees more than on loopback; milliseconds.
    pub(crate) round_trip: f64,
    pub(crate) measured_round_trip: f64,
    pub(crate) rounds: Rounds,
    /// Of the median to that from memory, round by round.
    pub(crate) ratio: Spread,
    pub(crate) at_least: Option<f64>,
}

impl Distance {
    pub(crate) fn holds(&self) -> bool {
        self.at_least.is_none_or(|least| self.ratio.median >= least)
    }
}

/// `redis-server` on the PATH.
pub(crate) fn redis_server() -> Option<PathBuf> {
    let path = environment::read("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("redis-server")).find(|program| program.is_file())
}

/// Starts Redis, and for each distance a proxy and a server behind it, all on the servers' core; then measures in turns.
pub(crate) async fn measure(stage: &Stage, redis_server: &Path, plan: Plan, wanted: usize) -> Result<Network> {
    pin::this_thread(stage.cores.servers)?;
    let (redis, _redis) = start_redis(stage, redis_server).await?;
    redis_lookup::fill(redis, stage.keys).await?;
    let mut processes = Vec::new();
    let mut targets = vec![stage.api_target("in memory", Kind::Verify)?];
    let mut measured = Vec::new();
    let direct = ping(redis)?;
    let detour = {
        let (proxy, _proxy) = start_delay(stage, redis, Duration::ZERO).await?;
        ping(proxy)?.saturating_sub(direct)
    };
    for (micros, name, _) in DISTANCES {
        let mut address = redis;
        if micros > 0 {
            // What the way through the proxy costs by itself is taken off, so that the round trip is what is asked for.
            let (proxy, process) =
                start_delay(stage, redis, Duration::from_micros(micros).saturating_sub(detour) / 2).await?;
            processes.push(process);
            address = proxy;
        }
        measured.push(ping(address)?.saturating_sub(direct).as_secs_f64() * 1e3);
        let flags = [("answer", stage.answer.clone().into_os_string()), ("redis", text(address))];
        let (address, process) = stage.start("redis-lookup", &flags).await?;
        targets.push(Target { name, address, pid: process.pid(), workload: stage.workload(Kind::Verify) });
        processes.push(process);
    }
    pin::this_thread(stage.cores.generator)?;

    let mut seen = rounds(&mut targets, plan, wanted)?.into_iter();
    let memory = seen.next().context("memory was measured")?;
    let redis = DISTANCES.into_iter().zip(measured).zip(seen).map(|(((micros, name, at_least), ping), rounds)| {
        let ratio = rounds.ratio_to(&memory, |seen| seen.p50);
        let round_trip = Duration::from_micros(micros).as_secs_f64() * 1e3;
        Distance { name, round_trip, measured_round_trip: ping, rounds, ratio, at_least }
    });
    Ok(Network { rate: RATE, redis: redis.collect(), memory })
}

/// Without files: what Redis writes to a disk is not the question.
async fn start_redis(stage: &Stage, program: &Path) -> Result<(SocketAddr, Process)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()?));
    let port = address.port().to_string();
    let arguments = ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no", "--daemonize", "no"];
    let process = Launch::new("redis", program, stage.home()).args(arguments).start()?;
    eventually("Redis answers", STARTED, || async {
        ensure!(process.exit_status().is_none(), "it ended: {}", process.log_tail());
        TcpStream::connect(address).context("connect")?;
        Ok(())
    })
    .await?;
    Ok((address, process))
}

async fn start_delay(stage: &Stage, to: SocketAddr, each_way: Duration) -> Result<(SocketAddr, Process)> {
    let nanoseconds = OsString::from(each_way.as_nanos().to_string());
    stage.start("delay", &[("to", text(to)), ("nanoseconds", nanoseconds)]).await
}

fn text(address: SocketAddr) -> OsString {
    address.to_string().into()
}

/// The median time of a PING, which does nothing.
fn ping(redis: SocketAddr) -> Result<Duration> {
    let mut stream = TcpStream::connect(redis).context("connect to Redis")?;
    stream.set_nodelay(true).context("set TCP_NODELAY")?;
    let mut times = Vec::new();
    let began = Instant::now();
    while times.len() < PINGS && began.elapsed() < Duration::from_secs(1) {
        let sent = Instant::now();
        stream.write_all(b"PING\r\n").context("send PING")?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).context("wait for PONG")?;
        ensure!(&answer == b"+PONG\r\n", "PING is answered by {}", String::from_utf8_lossy(&answer));
        times.push(sent.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
