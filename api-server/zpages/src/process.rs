//! What the operating system knows about this process: when it started, and the usual `process_*` metrics.
//!
//! Read from `/proc`; elsewhere than on Linux the facts that are missing are left out.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Linux counts the time of processes for programs in hundredths of a second on every architecture in use (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

/// When the process started, truncated to seconds; `None` when the operating system does not tell.
pub(crate) fn start_time() -> Option<SystemTime> {
    let boot = boot_seconds(&fs::read_to_string("/proc/stat").ok()?)?;
    let Stat { start_ticks, .. } = Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)?;
    Some(UNIX_EPOCH + Duration::from_secs(boot + start_ticks / TICKS_PER_SECOND))
}

/// The start of the process alone, as upstream has it beside its service level indicators.
pub(crate) fn start_exposition(started: u64) -> String {
    let name = "process_start_time_seconds";
    let help = "[ALPHA] Start time of the process since unix epoch in seconds.";
    format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {started}\n")
}

/// The `process_*` families in OpenMetrics text. **Cost**: reads four small files of `/proc`.
pub(crate) fn exposition(started: u64) -> String {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, value: Option<u64>| {
        if let Some(value) = value {
            let _infallible = write!(text, "# HELP {name} {help}.\n# TYPE {name} gauge\n{name} {value}\n");
        }
    };
    gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds", Some(started));
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    gauge("process_resident_memory_bytes", "Resident memory size in bytes", kilobytes(&status, "VmRSS:"));
    gauge("process_virtual_memory_bytes", "Virtual memory size in bytes", kilobytes(&status, "VmSize:"));
    gauge("process_open_fds", "Number of open file descriptors", open_files());
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    gauge("process_max_fds", "Maximum number of open file descriptors", max_files(&limits));
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::parse) {
        let (seconds, hundredths) = (stat.cpu_ticks / TICKS_PER_SECOND, stat.cpu_ticks % TICKS_PER_SECOND);
        let name = "process_cpu_seconds";
        let help = "Total user and system CPU time spent in seconds";
        let _infallible =
            write!(text, "# HELP {name} {help}.\n# TYPE {name} counter\n{name}_total {seconds}.{hundredths:02}\n");
    }
    text
}

struct Stat {
    cpu_ticks: u64,
    /// Since the machine was started.
    start_ticks: u64,
}

impl Stat {
    /// Reads `/proc/self/stat`. The name of the program, in parentheses, may hold anything, so counting starts behind
    /// its end, where field 3 stands; user time is field 14, system time 15, start 22.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self { cpu_ticks: field(14)? + field(15)?, start_ticks: field(22)? })
    }
}

fn boot_seconds(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn kilobytes(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// Without the one that reading the directory opens.
fn open_files() -> Option<u64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(open).ok().map(|open| open.saturating_sub(1))
}

fn max_files(limits: &str) -> Option<u64> {
    let value = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    value.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Stat, boot_seconds, exposition, kilobytes, max_files, start_time};
    use crate::clock;

    #[test]
    fn the_name_of_the_program_may_hold_spaces_and_parentheses() {
        let numbers = (4..=52).map(|field| (field * 10).to_string()).collect::<Vec<_>>().join(" ");
        let stat = Stat::parse(&format!("4711 (a ) b) R {numbers}\n")).unwrap();
        assert_eq!((stat.cpu_ticks, stat.start_ticks), (140 + 150, 220));
        assert!(Stat::parse("4711 (short) R 1 2 3").is_none());
    }

    #[test]
    fn facts_are_read_from_their_lines() {
        assert_eq!(boot_seconds("cpu 1 2\nbtime 1768217860\nprocesses 3\n"), Some(1_768_217_860));
        assert_eq!(kilobytes("VmSize:\t  12 kB\nVmRSS:\t       3 kB\n", "VmRSS:"), Some(3072));
        assert_eq!(max_files("Limit  Soft\nMax open files            1024      4096   files\n"), Some(1024));
        assert_eq!(max_files("Max open files            unlimited unlimited files\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_started_a_moment_ago_and_tells_all_its_facts() {
        let up = clock::now().duration_since(start_time().unwrap()).unwrap_or_default();
        assert!(up < Duration::from_secs(3600), "up for {up:?}");
        let text = exposition(17);
        assert!(text.contains("process_start_time_seconds 17\n"));
        assert_eq!(text.matches("# TYPE ").count(), 6, "{text}");
    }
}
