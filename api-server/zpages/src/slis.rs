//! `/metrics/slis`: what the health checks came to, the service level indicators of a Kubernetes component.
//!
//! Counted is every check that a request for a whole page ran: not the excluded ones, and not the pages of single checks.
//! A check appears with its first result.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// What one check of one page came to so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: AtomicU64,
    failed: AtomicU64,
    /// 1 after a success; read only when there was a result.
    last: AtomicU64,
}

impl Tally {
    /// Counts a result.
    pub(crate) fn count(&self, passed: bool) {
        let counter = if passed { &self.passed } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        self.last.store(u64::from(passed), Ordering::Relaxed);
    }
}

/// A check with the page it belongs to.
#[derive(Debug)]
pub(crate) struct Sli<'a> {
    /// The check.
    pub(crate) name: &'a str,
    /// `healthz`, `livez` or `readyz`: the label `type`.
    pub(crate) page: &'a str,
    /// Its results.
    pub(crate) tally: &'a Tally,
}

/// The two families in OpenMetrics text, samples in the order of name and page.
pub(crate) fn exposition<'a>(slis: impl Iterator<Item = Sli<'a>>) -> String {
    let read = |sli: Sli<'a>| {
        let (passed, failed) = (sli.tally.passed.load(Ordering::Relaxed), sli.tally.failed.load(Ordering::Relaxed));
        (escape(sli.name), sli.page, passed, failed, sli.tally.last.load(Ordering::Relaxed))
    };
    let mut slis: Vec<_> = slis.map(read).filter(|(_, _, passed, failed, _)| passed + failed > 0).collect();
    slis.sort();
    let mut text = String::new();
    let family = |text: &mut String, name: &str, kind: &str, help: &str| {
        text.extend(["# HELP ", name, " [STABLE] ", help, "\n# TYPE ", name, " ", kind, "\n"]);
    };
    if slis.is_empty() {
        return text;
    }
    family(&mut text, "kubernetes_healthcheck", "gauge", "This metric records the result of a single healthcheck.");
    for (name, page, _, _, last) in &slis {
        let _infallible = writeln!(text, "kubernetes_healthcheck{{name=\"{name}\",type=\"{page}\"}} {last}");
    }
    let (name, help) = ("kubernetes_healthchecks", "This metric records the results of all healthcheck.");
    family(&mut text, name, "counter", help);
    for (name, page, passed, failed, _) in &slis {
        for (status, count) in [("error", failed), ("success", passed)] {
            if *count > 0 {
                let _infallible = writeln!(
                    text,
                    "kubernetes_healthchecks_total{{name=\"{name}\",status=\"{status}\",type=\"{page}\"}} {count}"
                );
            }
        }
    }
    text
}

/// A label value: checks are named by the program.
fn escape(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::{Sli, Tally, exposition};

    #[test]
    fn results_are_counted_by_check_page_and_status() {
        let (well, ill, never) = (Tally::default(), Tally::default(), Tally::default());
        for _ in 0..3 {
            well.count(true);
        }
        ill.count(true);
        ill.count(false);
        let sli = |name, page, tally| Sli { name, page, tally };
        let text = exposition(
            [sli("ping", "readyz", &well), sli("a\"b", "livez", &ill), sli("never", "livez", &never)].into_iter(),
        );
        let wanted = r#"# HELP kubernetes_healthcheck [STABLE] This metric records the result of a single healthcheck.
# TYPE kubernetes_healthcheck gauge
kubernetes_healthcheck{name="a\"b",type="livez"} 0
kubernetes_healthcheck{name="ping",type="readyz"} 1
# HELP kubernetes_healthchecks [STABLE] This metric records the results of all healthcheck.
# TYPE kubernetes_healthchecks counter
kubernetes_healthchecks_total{name="a\"b",status="error",type="livez"} 1
kubernetes_healthchecks_total{name="a\"b",status="success",type="livez"} 1
kubernetes_healthchecks_total{name="ping",status="success",type="readyz"} 3
"#;
        assert_eq!(text, wanted);
        assert_eq!(exposition([sli("never", "livez", &never)].into_iter()), "");
    }
}
