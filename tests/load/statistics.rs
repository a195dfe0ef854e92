//! Figures of one run: percentiles of durations, and how busy the machine was.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

/// Durations of one kind, in the order of measuring.
#[derive(Default)]
pub(crate) struct Samples(Vec<Duration>);

/// What a report says of samples, in milliseconds.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Summary {
    pub(crate) count: usize,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) most: f64,
}

impl Samples {
    pub(crate) fn add(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    pub(crate) fn summary(&self) -> Summary {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let milliseconds = |rank: usize| sorted.get(rank).map_or(f64::NAN, |d| d.as_secs_f64() * 1_000.0);
        let last = sorted.len().saturating_sub(1);
        Summary {
            count: sorted.len(),
            p50: milliseconds(rank(sorted.len(), 50)),
            p99: milliseconds(rank(sorted.len(), 99)),
            most: milliseconds(last),
        }
    }
}

/// The place of a percentile in sorted samples: the smallest that is not below so many of a hundred.
fn rank(count: usize, percent: usize) -> usize {
    (count * percent).div_ceil(100).saturating_sub(1)
}

/// Runnable tasks in the last minute: on a machine with two cores, figures taken above about 2.5 measure the neighbours too.
pub(crate) fn load_average() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").context("read /proc/loadavg")?;
    let first = text.split_whitespace().next().context("/proc/loadavg is empty")?;
    first.parse().with_context(|| format!("the load average `{first}` is no number"))
}
