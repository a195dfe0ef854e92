//! One server measured once: at a fixed low rate for its latency, saturated for its cost.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use super::cpu::Spent;
use super::figures::percentile;
use super::generator::{Answers, Generator};
use super::workload::Workload;

/// More waiting for a core than this share of the time, and the machine had something else to do: the round doesn't count.
const LARGEST_WAIT: f64 = 0.05;

/// A server and what it is asked.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    pub(crate) workload: Workload,
}

/// How long and how fast.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// Before each measurement: caches and branch predictors learn.
    pub(crate) warm_up: Duration,
    pub(crate) open: Duration,
    /// Requests in a second while the loop is open.
    pub(crate) rate: f64,
    /// Zero: the server is not saturated.
    pub(crate) saturated: Duration,
}

/// What was seen of one server in one round.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Seen {
    /// Microseconds.
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    /// Microseconds of CPU for each request, by all threads of the server, in user space and in the kernel.
    pub(crate) cpu: f64,
    /// Requests in a second when saturated.
    pub(crate) throughput: f64,
    /// The share of time for which the saturated server ran. Well below 1, the generator was the limit.
    pub(crate) busy: f64,
    /// The largest share of time for which server or generator waited for their cores.
    pub(crate) waiting: f64,
    pub(crate) answers: usize,
}

impl Seen {
    /// Whether something else took time from the server or the generator.
    pub(crate) fn is_disturbed(&self) -> bool {
        self.waiting > LARGEST_WAIT
    }
}

/// Both phases. A wrong answer is an error: whatever was measured, it was not this.
pub(crate) fn measure(target: &mut Target, plan: Plan) -> Result<Seen> {
    let mut generator = Generator::connect(target.address)?;
    let mut seen = Seen::default();

    let warm_up = generator.at_rate(&mut target.workload, plan.rate, plan.warm_up)?;
    check(target.name, &warm_up)?;
    let (mut open, during) = watched(target, |workload| generator.at_rate(workload, plan.rate, plan.open))?;
    open.times.sort_unstable();
    (seen.p50, seen.p90, seen.p99) =
        (percentile(&open.times, 50), percentile(&open.times, 90), percentile(&open.times, 99));
    seen.waiting = during.waiting;
    seen.answers = open.times.len();

    if !plan.saturated.is_zero() {
        let warm_up = generator.saturate(&mut target.workload, plan.warm_up)?;
        check(target.name, &warm_up)?;
        let (closed, during) = watched(target, |workload| generator.saturate(workload, plan.saturated))?;
        let requests = f64::from(u32::try_from(closed.times.len()).unwrap_or(u32::MAX));
        seen.cpu = during.running.as_secs_f64() * 1e6 / requests;
        seen.throughput = requests / closed.took.as_secs_f64();
        seen.busy = during.running.as_secs_f64() / closed.took.as_secs_f64();
        seen.waiting = seen.waiting.max(during.waiting);
        seen.answers += closed.times.len();
    }
    Ok(seen)
}

struct During {
    /// Of the server.
    running: Duration,
    /// The larger share of server and generator.
    waiting: f64,
}

/// Runs a phase and asks the scheduler what server and generator got meanwhile.
fn watched(target: &mut Target, phase: impl FnOnce(&mut Workload) -> Result<Answers>) -> Result<(Answers, During)> {
    let before = (Spent::by_process(target.pid)?, Spent::by_this_thread()?, Instant::now());
    let answers = phase(&mut target.workload)?;
    let took = before.2.elapsed();
    let (server, generator) = (Spent::by_process(target.pid)? - before.0, Spent::by_this_thread()? - before.1);
    check(target.name, &answers)?;
    let waiting = server.waiting.max(generator.waiting).as_secs_f64() / took.as_secs_f64();
    Ok((answers, During { running: server.running, waiting }))
}

fn check(name: &str, answers: &Answers) -> Result<()> {
    ensure!(!answers.times.is_empty(), "{name} gave no answer; make the phases longer");
    let text = answers.wrong_text.as_deref().unwrap_or_default();
    ensure!(
        answers.wrong == 0,
        "{} of {} answers of {name} are wrong; one is: {text}",
        answers.wrong,
        answers.times.len()
    );
    Ok(())
}
