//! What was found, as text or as JSON.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::bars::Bar;
use super::change::Changes;
use super::chase::Resident;
use super::lookup::Lookups;
use super::start::Start;
use super::statistics::Summary;

#[derive(Serialize)]
pub(crate) struct Report {
    keys: usize,
    starts: usize,
    /// Load average of the last minute, before and after.
    pub(crate) load: (f64, f64),
    import_seconds: Option<f64>,
    backends: Vec<Backend>,
    #[serde(flatten)]
    inside: Inside,
    bars: Vec<Bar>,
}

/// What was measured in the benchmark's own process.
#[derive(Serialize)]
pub(crate) struct Inside {
    /// What the keys take there.
    pub(crate) resident: Resident,
    /// Nanoseconds.
    pub(crate) lookups: Lookups,
    pub(crate) changes: Changes,
}

/// Bytes of the whole process for each key.
const MEMORY_BAR: f64 = 1_300.0;
/// Nanoseconds.
const LOOKUP_BAR: f64 = 200.0;
/// Two threads against one.
const THREADS_BAR: f64 = 1.2;
/// Microseconds.
const CHANGE_BAR: f64 = 100.0;

/// Medians over the starts.
#[derive(Serialize)]
struct Backend {
    name: &'static str,
    disk_bytes: u64,
    ready_seconds: f64,
    ready_seconds_empty: f64,
    resident_bytes: u64,
    resident_bytes_empty: u64,
    most_resident_bytes: u64,
    resident_bytes_each_key: u64,
    most_resident_bytes_each_key: u64,
    /// Milliseconds.
    verify: Option<Summary>,
}

impl Report {
    /// `imported` is how long the import took, if there was one.
    pub(crate) fn new(keys: usize, imported: Option<Duration>, inside: Inside, starts: usize) -> Self {
        let import_seconds = imported.as_ref().map(Duration::as_secs_f64);
        let Inside { lookups: Lookups { index, .. }, changes, .. } = inside;
        let microseconds = |milliseconds: f64| milliseconds * 1_000.0;
        let bars = vec![
            Bar::new("lookup, one thread", "ns", index.one, LOOKUP_BAR),
            Bar::new("lookup, two threads against one", "times", index.two / index.one, THREADS_BAR),
            Bar::new("change while two threads read, p50", "us", microseconds(changes.clock.p50), CHANGE_BAR),
            Bar::new("change, the writer's own work, p99", "us", microseconds(changes.work.p99), CHANGE_BAR),
            #[expect(clippy::cast_precision_loss, reason = "a small count")]
            Bar::new("readers that had to wait meanwhile", "times", changes.readers_waited as f64, 0.0),
        ];
        Self { keys, starts, load: (0.0, 0.0), import_seconds, backends: Vec::new(), inside, bars }
    }

    /// Whether every bar holds.
    pub(crate) fn holds(&self) -> bool {
        self.bars.iter().all(Bar::holds)
    }

    /// Adds a backend: its files, its starts, and those without keys.
    pub(crate) fn add(&mut self, backend: &'static str, files: &Path, full: &[Start], empty: &[Start]) -> Result<()> {
        let memory_of = if backend == "embedded" { "memory of a key, embedded" } else { "memory of a key, manifests" };
        let seconds = |starts: &[Start]| median(starts, |start| start.ready).as_secs_f64();
        let (resident, resident_empty) = (median(full, |start| start.resident), median(empty, |start| start.resident));
        let most_resident = median(full, |start| start.most_resident);
        let each_key = |bytes: u64| bytes.saturating_sub(resident_empty) / self.keys as u64;
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        self.bars.push(Bar::new(memory_of, "bytes", each_key(resident) as f64, MEMORY_BAR));
        self.backends.push(Backend {
            name: backend,
            disk_bytes: size(files)?,
            ready_seconds: seconds(full),
            ready_seconds_empty: seconds(empty),
            resident_bytes: resident,
            resident_bytes_empty: resident_empty,
            most_resident_bytes: most_resident,
            resident_bytes_each_key: each_key(resident),
            most_resident_bytes_each_key: each_key(most_resident),
            verify: full.last().and_then(|start| start.verify),
        });
        Ok(())
    }

    pub(crate) fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::json!(self));
            return;
        }
        let (before, after) = self.load;
        let starts =
            if self.backends.is_empty() { String::new() } else { format!(", medians of {} starts", self.starts) };
        println!("{} keys{starts}, load {before:.1} before and {after:.1} after", self.keys);
        if let Some(seconds) = self.import_seconds {
            println!("import into the embedded store, one transaction: {seconds:.1} s");
        }
        for backend in &self.backends {
            backend.print();
        }
        let Inside { resident: Resident { bytes, in_huge_pages }, lookups, changes } = &self.inside;
        println!("keys in this process: {} MiB, {} MiB of them in huge pages", bytes >> 20, in_huge_pages >> 20);
        let Lookups { floor, chase, index, index_waiting, engine, hash } = *lookups;
        println!("{:46} {:>10} {:>10}", "one lookup, uniform over all keys, ns", "1 thread", "2 threads");
        for (what, threads) in [
            ("loop without a lookup", floor),
            ("chase: one load over as many bytes", chase),
            ("index: key and record", index),
            ("index: each waits for the one before", index_waiting),
            ("engine: whole verdict", engine),
        ] {
            println!("  {what:44} {:10.0} {:10.0}", threads.one, threads.two);
        }
        let (one, two) = (index_waiting.one / chase.one, index_waiting.two / chase.two);
        println!("  {:44} {one:10.1} {two:10.1}", "one that waits, in loads of the chase");
        println!("  {:44} {hash:10.0}", "SHA-256 of the plain key (loop included)");
        let Changes { clock, work, lookup, readers_waited } = *changes;
        println!("{:46} {:>10} {:>10} {:>10}", "one change while two threads read, us", "p50", "p99", "max");
        for (what, Summary { p50, p99, most, .. }) in [("by the clock", clock), ("the writer's own work", work)] {
            println!("  {what:44} {:10.1} {:10.1} {:10.1}", p50 * 1_000.0, p99 * 1_000.0, most * 1_000.0);
        }
        println!("  a lookup meanwhile: {lookup:.0} ns of processor time; readers had to wait {readers_waited} times");
        println!("{:56} {:>10} {:>10}", "bars, for 1,000,000 keys", "figure", "at most");
        self.bars.iter().for_each(Bar::print);
    }
}

impl Backend {
    fn print(&self) {
        let mebibytes = |bytes: u64| bytes >> 20;
        println!("{}, {} MiB on disk", self.name, mebibytes(self.disk_bytes));
        println!(
            "  started in {:.2} s ({:.2} s without keys); resident {} MiB ({} without keys, at most {}); {} bytes each key (at most {})",
            self.ready_seconds,
            self.ready_seconds_empty,
            mebibytes(self.resident_bytes),
            mebibytes(self.resident_bytes_empty),
            mebibytes(self.most_resident_bytes),
            self.resident_bytes_each_key,
            self.most_resident_bytes_each_key
        );
        if let Some(verify) = self.verify {
            println!(
                "  verifyKey over HTTP, 500 a second: p50 {:.3} ms, p99 {:.3} ms ({} requests)",
                verify.p50, verify.p99, verify.count
            );
        }
    }
}

fn median<T: Ord + Default>(starts: &[Start], of: impl Fn(&Start) -> T) -> T {
    let mut values: Vec<T> = starts.iter().map(of).collect();
    values.sort_unstable();
    let middle = values.len() / 2;
    values.into_iter().nth(middle).unwrap_or_default()
}

fn size(path: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(path).with_context(|| format!("read {}", path.display()))? {
        bytes += entry.and_then(|entry| entry.metadata()).context("read the size of a file")?.len();
    }
    Ok(bytes)
}
