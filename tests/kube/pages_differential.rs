//! Our z-pages and those of Kubernetes itself, asked the same questions.
//!
//! Probes are drawn from a grammar of `Accept` headers, methods, paths and queries (`grammar.rs`) and sent byte for byte alike to a real
//! component and to our api-server. Whatever differs in status, headers or the shape of the body (`shape.rs`) fails the trial, unless
//! the table in `allowed.rs` says why it may; each entry of the table is shown to be needed by an example of its own.
//!
//! `KEYPLANE_TESTS_PROBES=12000` draws more of them.

mod allowed;
mod answer;
mod grammar;
mod judge;
mod probe;
mod shape;

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use keyplane_tests::{Cluster, Program, Server, SharedCluster, Trial, environment, trials};
use kube::{Client, Config};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use allowed::Allowed;
use answer::{Answer, Difference};
use judge::Judge;
use probe::Probe;

/// Drawn from the grammar for each judge: about a second, and every rule of the grammar is used many times.
const PROBES: usize = 400;
/// Shown in full when the trial fails; more of them say nothing new.
const SHOWN: usize = 12;

pub(crate) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster; the_pages_are_those_of_the_api_server, the_pages_are_those_of_the_controller_manager]
}

async fn the_pages_are_those_of_the_api_server(cluster: Arc<Cluster>) -> Result<()> {
    compare(&cluster, Judge::ApiServer).await
}

async fn the_pages_are_those_of_the_controller_manager(cluster: Arc<Cluster>) -> Result<()> {
    compare(&cluster, Judge::ControllerManager).await
}

async fn compare(cluster: &Arc<Cluster>, judge: Judge) -> Result<()> {
    let server = Program::api_server()?.start().await?;
    let sides = Sides { judge, theirs: judge.client(cluster).await?, ours: client(&server)? };
    let mut report = Report::default();

    for allowed in allowed::table().iter().filter(|allowed| allowed.applies_to(judge)) {
        let (differences, theirs, ours) = sides.ask(&allowed.example).await?;
        if !differences.iter().any(|difference| allowed.excuses(&allowed.example, difference)) {
            let probe = &allowed.example;
            let what = allowed.what;
            report.failures.push(format!(
                "not needed any more: {what}\n{probe}\n--- {judge:?} answers {theirs}\n--- we answer {ours}"
            ));
        }
    }

    let (probes, wanted) = (grammar::probe(judge), number_of_probes()?);
    let mut runner = TestRunner::deterministic();
    for _ in 0..wanted {
        let drawn = probes.new_tree(&mut runner).ok().context("draw a probe")?;
        if sides.unexcused(&drawn.current(), &mut report.excused).await?.is_some() {
            report.failures.push(sides.smallest(drawn).await?);
        }
    }
    report.conclude(judge, wanted)
}

fn client(server: &Server) -> Result<Client> {
    let url = server.ops_url("").parse().context("the address of the operations listener")?;
    Client::try_from(Config::new(url)).context("make a client for the operations listener")
}

fn number_of_probes() -> Result<usize> {
    let Some(number) = environment::read(environment::PROBES) else { return Ok(PROBES) };
    number
        .to_string_lossy()
        .parse()
        .with_context(|| format!("{}={} is no number", environment::PROBES, number.display()))
}

/// The judge and us.
struct Sides {
    judge: Judge,
    theirs: Client,
    ours: Client,
}

impl Sides {
    /// Sends a probe to both; what differs, and both answers.
    async fn ask(&self, probe: &Probe) -> Result<(Vec<Difference>, Answer, Answer)> {
        let (theirs, ours) = (probe.send(&self.theirs).await?, probe.send(&self.ours).await?);
        Ok((theirs.differences(&ours), theirs, ours))
    }

    /// The probe with both answers and what may not differ in them, when there is such a thing. Counts what may.
    async fn unexcused(&self, probe: &Probe, excused: &mut usize) -> Result<Option<String>> {
        let (differences, theirs, ours) = self.ask(probe).await?;
        let table = allowed::table();
        let allowed = |difference: &Difference| {
            table.iter().any(|allowed: &Allowed| allowed.applies_to(self.judge) && allowed.excuses(probe, difference))
        };
        let unexcused: Vec<String> =
            differences.iter().filter(|difference| !allowed(difference)).map(Difference::to_string).collect();
        *excused += differences.len() - unexcused.len();
        let shown = || {
            let unexcused = unexcused.join("\n");
            let judge = self.judge;
            format!(
                "{probe}\n--- {judge:?} answers {theirs}\n--- we answer {ours}\n--- what may not differ\n{unexcused}"
            )
        };
        Ok((!unexcused.is_empty()).then(shown))
    }

    /// Makes a failing probe smaller for as long as it fails.
    async fn smallest(&self, mut drawn: impl ValueTree<Value = Probe>) -> Result<String> {
        let mut smallest = String::new();
        let mut uncounted = 0;
        // Bounded: every turn is two requests, and a probe has a few dozen parts.
        for _ in 0..300 {
            let fails = self.unexcused(&drawn.current(), &mut uncounted).await?;
            let goes_on = if let Some(shown) = fails {
                smallest = shown;
                drawn.simplify()
            } else {
                drawn.complicate()
            };
            if !goes_on {
                break;
            }
        }
        Ok(smallest)
    }
}

#[derive(Default)]
struct Report {
    failures: Vec<String>,
    excused: usize,
}

impl Report {
    fn conclude(self, judge: Judge, probes: usize) -> Result<()> {
        let Self { failures, excused } = self;
        let shown = failures.iter().take(SHOWN).fold(String::new(), |text, failure| text + "\n\n=== " + failure);
        ensure!(failures.is_empty(), "{} of {probes} probes differ from {judge:?}; the first:{shown}", failures.len());
        // A judge and we can't be alike in everything (every text of /statusz has an allowed difference): then nothing was compared.
        ensure!(excused * 4 > probes, "only {excused} allowed differences in {probes} probes");
        Ok(())
    }
}
