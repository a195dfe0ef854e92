//! What was found, as text or as JSON.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::lookup::Lookups;
use super::start::Start;
use super::statistics::Summary;

#[derive(Serialize)]
pub(crate) struct Report {
    keys: usize,
    starts: usize,
    /// Load average of the last minute, before and after.
    pub(crate) load: (f64, f64),
    import_seconds: f64,
    backends: Vec<Backend>,
    /// Nanoseconds.
    lookups: Lookups,
}

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
    /// Milliseconds.
    verify: Option<Summary>,
}

impl Report {
    pub(crate) fn new(keys: usize, imported: Duration, lookups: Lookups, starts: usize) -> Self {
        let import_seconds = imported.as_secs_f64();
        Self { keys, starts, load: (0.0, 0.0), import_seconds, backends: Vec::new(), lookups }
    }

    /// Adds a backend: its files, its starts, and those without keys.
    pub(crate) fn add(&mut self, backend: &'static str, files: &Path, full: &[Start], empty: &[Start]) -> Result<()> {
        let seconds = |starts: &[Start]| median(starts, |start| start.ready).as_secs_f64();
        let (resident, resident_empty) = (median(full, |start| start.resident), median(empty, |start| start.resident));
        self.backends.push(Backend {
            name: backend,
            disk_bytes: size(files)?,
            ready_seconds: seconds(full),
            ready_seconds_empty: seconds(empty),
            resident_bytes: resident,
            resident_bytes_empty: resident_empty,
            most_resident_bytes: median(full, |start| start.most_resident),
            resident_bytes_each_key: resident.saturating_sub(resident_empty) / self.keys as u64,
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
        println!("{} keys, medians of {} starts, load {before:.1} before and {after:.1} after", self.keys, self.starts);
        println!("import into the embedded store, one transaction: {:.1} s", self.import_seconds);
        for backend in &self.backends {
            backend.print();
        }
        let Lookups { floor, index, engine, hash } = self.lookups;
        println!("{:46} {:>10} {:>10}", "one lookup, uniform over all keys, ns", "1 thread", "2 threads");
        for (what, threads) in
            [("loop without a lookup", floor), ("index: key and record", index), ("engine: whole verdict", engine)]
        {
            println!("  {what:44} {:10.0} {:10.0}", threads.one, threads.two);
        }
        println!("  {:44} {hash:10.0}", "SHA-256 of the plain key (loop included)");
    }
}

impl Backend {
    fn print(&self) {
        let mebibytes = |bytes: u64| bytes >> 20;
        println!("{}, {} MiB on disk", self.name, mebibytes(self.disk_bytes));
        println!(
            "  started in {:.2} s ({:.2} s without keys); resident {} MiB ({} without keys, at most {}); {} bytes each key",
            self.ready_seconds,
            self.ready_seconds_empty,
            mebibytes(self.resident_bytes),
            mebibytes(self.resident_bytes_empty),
            mebibytes(self.most_resident_bytes),
            self.resident_bytes_each_key
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
