//! What this machine takes for one load that has to wait for the one before it: a measure for lookups, which are a few of those.

use std::fs;
use std::hint::black_box;

use anyhow::{Context, Result};
use serde::Serialize;

use super::lookup::Random;

/// As much as a cache fetches at once.
#[derive(Clone, Default)]
#[repr(align(64))]
struct Line {
    next: u32,
}

/// Lines that lead to one another: one cycle over all of them, in no order that a processor could foresee.
pub(crate) struct Chase(Vec<Line>);

impl Chase {
    /// Over so many bytes.
    pub(crate) fn over(bytes: u64) -> Result<Self> {
        let lines = u32::try_from(bytes / size_of::<Line>() as u64).context("too many bytes for the chase")?.max(2);
        let mut cycle: Vec<Line> = (0..lines).map(|next| Line { next }).collect();
        // Sattolo's shuffle: each place changes with an earlier one and never stays, which leaves one cycle.
        let mut random = Random::new(3);
        for place in (1..cycle.len()).rev() {
            let earlier = random.below(place);
            let next = cycle[place].next;
            cycle[place].next = cycle[earlier].next;
            cycle[earlier].next = next;
        }
        Ok(Self(cycle))
    }

    /// Follows the cycle for so many loads, from a place that differs by the seed.
    pub(crate) fn follow(&self, seed: u64, loads: u32) {
        let mut at = Random::new(seed).below(self.0.len());
        for _ in 0..loads {
            at = self.0[at].next as usize;
        }
        black_box(at);
    }
}

/// What of this process is in memory.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Resident {
    pub(crate) bytes: u64,
    /// In pages of 2 MiB: without them a lookup also misses the processor's table of pages.
    pub(crate) in_huge_pages: u64,
}

impl Resident {
    pub(crate) fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/self/smaps_rollup").context("read what memory this process has")?;
        let field = |name: &str| -> Result<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
            let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().with_context(|| format!("read {name}"))?;
            Ok(kibibytes * 1024)
        };
        Ok(Self { bytes: field("Rss:")?, in_huge_pages: field("AnonHugePages:")? })
    }

    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(before.bytes),
            in_huge_pages: self.in_huge_pages.saturating_sub(before.in_huge_pages),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shorter cycle would fit into a cache and flatter the machine.
    #[test]
    fn every_line_comes_once_before_the_first_comes_again() {
        let Chase(lines) = Chase::over(64 * 1_000).unwrap();
        let (mut at, mut steps) = (lines[0].next, 1);
        while at != 0 && steps <= lines.len() {
            (at, steps) = (lines[at as usize].next, steps + 1);
        }
        assert_eq!((steps, lines.len()), (1_000, 1_000));
    }
}
