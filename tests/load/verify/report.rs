//! What a run found, as a table or as JSON, and whether the bars hold.

use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

use super::figures::Spread;
use super::network::{Distance, Network, WITHOUT_REDIS};
use super::rounds::Rounds;
use super::stage::Stage;

/// CPU of a verification, as a multiple of the axum echo's.
const CPU_BAR: f64 = 1.35;
/// Its median time at a low rate, likewise.
const LATENCY_BAR: f64 = 1.15;
/// The server with bars; the others are information.
const JUDGED: &str = "keys.verifyKey";

#[derive(Serialize)]
pub(crate) struct Report {
    machine: String,
    keys: usize,
    answer_bytes: usize,
    server_core: usize,
    generator_core: usize,
    /// Requests in a second, for latencies.
    rate: f64,
    servers: Vec<Rounds>,
    ratios: Vec<Ratio>,
    network: Option<Network>,
}

/// To the axum echo.
#[derive(Serialize)]
struct Ratio {
    of: &'static str,
    cpu: Spread,
    p50: Spread,
    bars: Option<Bars>,
}

#[derive(Serialize)]
struct Bars {
    cpu: f64,
    cpu_holds: bool,
    p50: f64,
    p50_holds: bool,
}

impl Report {
    pub(crate) fn new(stage: &Stage, rate: f64, servers: Vec<Rounds>, network: Option<Network>) -> Result<Self> {
        let floor = servers.first().context("the echo was measured")?;
        let ratio = |server: &Rounds| {
            let (cpu, p50) = (server.ratio_to(floor, |seen| seen.cpu), server.ratio_to(floor, |seen| seen.p50));
            let bars = (server.name == JUDGED).then_some(Bars {
                cpu: CPU_BAR,
                cpu_holds: cpu.median <= CPU_BAR,
                p50: LATENCY_BAR,
                p50_holds: p50.median <= LATENCY_BAR,
            });
            Ratio { of: server.name, cpu, p50, bars }
        };
        Ok(Self {
            machine: machine()?,
            keys: stage.keys,
            answer_bytes: stage.answer_bytes,
            server_core: stage.cores.servers,
            generator_core: stage.cores.generator,
            rate,
            ratios: servers.iter().skip(1).map(ratio).collect(),
            servers,
            network,
        })
    }

    /// Whether every bar holds.
    pub(crate) fn holds(&self) -> bool {
        let bars = self.ratios.iter().filter_map(|ratio| ratio.bars.as_ref());
        let mut distances = self.network.iter().flat_map(|network| &network.redis);
        bars.into_iter().all(|bars| bars.cpu_holds && bars.p50_holds) && distances.all(Distance::holds)
    }

    pub(crate) fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::json!(self));
            return;
        }
        println!("{}; servers on core {}, generator on core {}", self.machine, self.server_core, self.generator_core);
        println!("{} keys by Zipf, 64 connections, answers of {} bytes", self.keys, self.answer_bytes);
        println!("figures: the median of the rounds (the least - the most)\n");
        self.print_servers();
        self.print_ratios();
        match &self.network {
            Some(network) => print_network(network),
            None => println!("\n{WITHOUT_REDIS}"),
        }
    }

    fn print_servers(&self) {
        let rate = format!("{:.0} requests a second, us: p50", self.rate);
        println!("{:18} {rate:>32} {:>20} {:>20}", "", "p90", "p99");
        for server in &self.servers {
            let [p50, p90, p99] =
                [server.spread(|seen| seen.p50), server.spread(|seen| seen.p90), server.spread(|seen| seen.p99)];
            println!("{:18} {p50:>32.0} {p90:>20.0} {p99:>20.0}", server.name);
        }
        println!(
            "\n{:18} {:>32} {:>20} {:>20}",
            "", "saturated: us of CPU a request", "requests a second", "core busy"
        );
        for server in &self.servers {
            let (cpu, busy) = (server.spread(|seen| seen.cpu), server.spread(|seen| seen.busy));
            let throughput = server.spread(|seen| seen.throughput / 1e3);
            println!("{:18} {cpu:>32.2} {:>20} {busy:>20.2}", server.name, format!("{:.0}k", throughput.median));
        }
        print_doubts(&self.servers);
    }

    fn print_ratios(&self) {
        println!("\n{:18} {:>32} {:>8} {:>24} {:>8}", "ratio to axum echo", "CPU", "at most", "p50", "at most");
        for ratio in &self.ratios {
            let (cpu, p50) = match &ratio.bars {
                Some(bars) => (verdict(bars.cpu, bars.cpu_holds), verdict(bars.p50, bars.p50_holds)),
                None => (String::new(), String::new()),
            };
            println!("{:18} {:>32.2} {cpu:>12} {:>20.2} {p50:>12}", ratio.of, ratio.cpu, ratio.p50);
        }
    }
}

fn print_network(network: &Network) {
    println!("\nmemory or network at {:.0} requests a second, us", network.rate);
    println!("{:20} {:>22} {:>22} {:>20} {:>18} {:>8}  PING", "", "p50", "p90", "p99", "p50 / memory", "at least");
    let row = |rounds: &Rounds| {
        let [p50, p90, p99] =
            [rounds.spread(|seen| seen.p50), rounds.spread(|seen| seen.p90), rounds.spread(|seen| seen.p99)];
        format!("{:20} {p50:>22.0} {p90:>22.0} {p99:>20.0}", rounds.name)
    };
    println!("{}", row(&network.memory));
    for distance in &network.redis {
        let bar = distance.at_least.map(|least| verdict(least, distance.holds())).unwrap_or_default();
        let (ratio, ping) = (distance.ratio, distance.measured_round_trip);
        println!("{} {ratio:>18.1} {bar:>10}  +{ping:.2} ms", row(&distance.rounds));
    }
    print_doubts(std::slice::from_ref(&network.memory));
}

fn print_doubts(servers: &[Rounds]) {
    let Some(server) = servers.first() else { return };
    if server.disturbed > 0 {
        println!("{} rounds were disturbed by other work on these cores", server.disturbed);
    }
    if server.doubtful {
        println!("TOO FEW ROUNDS WERE UNDISTURBED: don't trust these figures");
    }
}

fn verdict(bar: f64, holds: bool) -> String {
    format!("{bar} {}", if holds { "met" } else { "MISSED" })
}

fn machine() -> Result<String> {
    let processors = fs::read_to_string("/proc/cpuinfo").context("read /proc/cpuinfo")?;
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("read the kernel's release")?;
    let cores = processors.lines().filter(|line| line.starts_with("processor")).count();
    let model = model.map_or("a processor without a name", |(_, model)| model);
    Ok(format!("{cores} x {model}, Linux {}", kernel.trim()))
}
