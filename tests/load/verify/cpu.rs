//! What the scheduler says of threads: time on a core, and time spent waiting for one.

use std::fs;
use std::ops::{Add, Sub};
use std::time::Duration;

use anyhow::{Context, Result};

/// Sums since the threads began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) running: Duration,
    /// Runnable, while the core did something else. It measures the neighbours.
    pub(crate) waiting: Duration,
}

impl Spent {
    /// By all threads of a process that live now.
    pub(crate) fn by_process(pid: u32) -> Result<Self> {
        let threads = format!("/proc/{pid}/task");
        let mut sum = Self::default();
        for thread in fs::read_dir(&threads).with_context(|| format!("list {threads}"))? {
            // A thread that has ended meanwhile had little to do with the requests.
            let file = thread.context("list threads")?.path().join("schedstat");
            if let Ok(text) = fs::read_to_string(file) {
                sum = sum + Self::parse(&text)?;
            }
        }
        Ok(sum)
    }

    /// By the calling thread.
    pub(crate) fn by_this_thread() -> Result<Self> {
        let file = "/proc/thread-self/schedstat";
        Self::parse(&fs::read_to_string(file).with_context(|| format!("read {file}"))?)
    }

    /// `RUNNING WAITING SLICES`, the first two in nanoseconds: Documentation/scheduler/sched-stats.rst of the kernel.
    fn parse(text: &str) -> Result<Self> {
        let mut numbers = text.split_ascii_whitespace().map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(running)), Some(Ok(waiting))) => {
                Ok(Self { running: Duration::from_nanos(running), waiting: Duration::from_nanos(waiting) })
            }
            _ => anyhow::bail!("a schedstat is `{}` and not three numbers", text.trim()),
        }
    }
}

impl Add for Spent {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { running: self.running + other.running, waiting: self.waiting + other.waiting }
    }
}

impl Sub for Spent {
    type Output = Self;

    /// A thread that ended in between can leave less than before; that is nothing, not an overflow.
    fn sub(self, before: Self) -> Self {
        Self {
            running: self.running.saturating_sub(before.running),
            waiting: self.waiting.saturating_sub(before.waiting),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedstat_is_two_times_and_a_count() {
        let spent = Spent::parse("51834434 52634527 164\n").unwrap();
        assert_eq!((spent.running.as_nanos(), spent.waiting.as_nanos()), (51_834_434, 52_634_527));
        assert!(Spent::parse("").is_err());
        assert!(Spent::parse("one two").is_err());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn work_of_this_thread_shows_in_its_own_figure_and_in_that_of_the_process() {
        let of_process = || Spent::by_process(std::process::id()).unwrap().running;
        let of_thread = || Spent::by_this_thread().unwrap().running;
        let (process, thread) = (of_process(), of_thread());
        while of_thread() < thread + Duration::from_millis(20) {}
        assert!(of_process() >= process + Duration::from_millis(15));
    }
}
