//! What a run found, as a table or as JSON, and whether the bars hold.

use std::time::Duration;

use serde::Serialize;

use super::statistics::{Samples, Summary};

/// A `hash` key is one write, as the floor is.
const HASH_BAR: f64 = 2.0;
/// A generated key is three writes one after the other, with the operator between them.
const GENERATE_BAR: f64 = 6.0;

/// Samples of one run.
#[derive(Default)]
pub(crate) struct Run {
    pub(crate) write_answered: Samples,
    pub(crate) floor_written: Samples,
    pub(crate) floor_deleted: Samples,
    pub(crate) hash_valid: Samples,
    pub(crate) hash_gone: Samples,
    pub(crate) secret_seen: Samples,
    pub(crate) status_seen: Samples,
    pub(crate) generate_valid: Samples,
}

#[derive(Serialize)]
pub(crate) struct Report {
    keys: usize,
    pods: usize,
    interval_micros: u128,
    seconds: f64,
    /// Load average of the last minute, before and after.
    load: (f64, f64),
    milliseconds: Milliseconds,
    ratios: Vec<Ratio>,
}

#[derive(Serialize)]
struct Milliseconds {
    write_answered: Summary,
    floor_written: Summary,
    floor_deleted: Summary,
    hash_valid: Summary,
    hash_gone: Summary,
    secret_seen: Summary,
    status_seen: Summary,
    generate_valid: Summary,
}

/// A measured figure divided by the floor's.
#[derive(Serialize)]
struct Ratio {
    of: &'static str,
    p50: f64,
    p99: f64,
    /// What it may be at most.
    bar: f64,
    holds: bool,
}

impl Ratio {
    fn new(of: &'static str, measured: Summary, floor: Summary, bar: f64) -> Self {
        let (p50, p99) = (measured.p50 / floor.p50, measured.p99 / floor.p99);
        Self { of, p50, p99, bar, holds: p50 <= bar && p99 <= bar }
    }
}

impl Report {
    pub(crate) fn new(run: &Run, pods: usize, interval: Duration, took: Duration, load: (f64, f64)) -> Self {
        let ms = Milliseconds {
            write_answered: run.write_answered.summary(),
            floor_written: run.floor_written.summary(),
            floor_deleted: run.floor_deleted.summary(),
            hash_valid: run.hash_valid.summary(),
            hash_gone: run.hash_gone.summary(),
            secret_seen: run.secret_seen.summary(),
            status_seen: run.status_seen.summary(),
            generate_valid: run.generate_valid.summary(),
        };
        let ratios = vec![
            Ratio::new("hash written", ms.hash_valid, ms.floor_written, HASH_BAR),
            Ratio::new("hash deleted", ms.hash_gone, ms.floor_deleted, HASH_BAR),
            Ratio::new("generate written", ms.generate_valid, ms.floor_written, GENERATE_BAR),
        ];
        Self {
            keys: ms.hash_valid.count,
            pods,
            interval_micros: interval.as_micros(),
            seconds: took.as_secs_f64(),
            load,
            milliseconds: ms,
            ratios,
        }
    }

    /// Whether every bar holds, at p50 and at p99.
    pub(crate) fn holds(&self) -> bool {
        self.ratios.iter().all(|ratio| ratio.holds)
    }

    pub(crate) fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::json!(self));
            return;
        }
        let (pods, ms) = (self.pods, &self.milliseconds);
        let (before, after) = self.load;
        println!(
            "{} keys, {pods} pods, {:.0} s, load {before:.1} before and {after:.1} after",
            self.keys, self.seconds
        );
        println!("{:58} {:>8} {:>8} {:>8}", "milliseconds since the request was sent", "p50", "p99", "max");
        for (what, summary) in [
            ("(a write is answered)".to_owned(), ms.write_answered),
            (format!("floor: written -> event at {pods} bare watchers"), ms.floor_written),
            (format!("hash: written -> VALID at {pods} pods"), ms.hash_valid),
            ("(generate: written -> Secret seen)".to_owned(), ms.secret_seen),
            ("(generate: written -> status at a bare watcher)".to_owned(), ms.status_seen),
            (format!("generate: written -> VALID at {pods} pods"), ms.generate_valid),
            (format!("floor: deleted -> event at {pods} bare watchers"), ms.floor_deleted),
            (format!("hash: deleted -> NOT_FOUND at {pods} pods"), ms.hash_gone),
        ] {
            println!("{what:58} {:8.2} {:8.2} {:8.2}", summary.p50, summary.p99, summary.most);
        }
        println!("{:58} {:>8} {:>8} {:>8}", "ratio to the floor", "p50", "p99", "at most");
        for ratio in &self.ratios {
            let verdict = if ratio.holds { "" } else { "  MISSED" };
            println!("{:58} {:8.2} {:8.2} {:8.1}{verdict}", ratio.of, ratio.p50, ratio.p99, ratio.bar);
        }
    }
}
