//! Every difference that may be, and why.
//!
//! Each entry brings an example: a probe with which the difference shows. When it shows no more, the entry has to go.

use http::Method;

use super::answer::Difference;
use super::judge::Judge;
use super::probe::Probe;

/// A difference that may be.
pub(super) struct Allowed {
    /// What differs, and why it may.
    pub(super) what: &'static str,
    /// The judges from whom it is a difference.
    judges: &'static [Judge],
    /// A probe with which it shows.
    pub(super) example: Probe,
    excuses: fn(&Probe, &Difference) -> bool,
}

impl Allowed {
    /// Whether it is about this judge.
    pub(super) fn applies_to(&self, judge: Judge) -> bool {
        self.judges.contains(&judge)
    }

    /// Whether this is the difference that is meant.
    pub(super) fn excuses(&self, probe: &Probe, difference: &Difference) -> bool {
        (self.excuses)(probe, difference)
    }
}

const BOTH: &[Judge] = &[Judge::ApiServer, Judge::ControllerManager];
const API_SERVER: &[Judge] = &[Judge::ApiServer];

/// The table.
pub(super) fn table() -> Vec<Allowed> {
    vec![
        Allowed {
            what: "headers that only an API server sends: it audits requests and queues them by priority",
            judges: API_SERVER,
            example: Probe::get("/statusz"),
            excuses: |_, difference| {
                matches!(difference, Difference::Header { name, ours, .. }
                    if ours.is_empty() && (name == "audit-id" || name.starts_with("x-kubernetes-pf-")))
            },
        },
        Allowed {
            what: "long bodies come in chunks from Go and with their length from us: framing, not content",
            judges: BOTH,
            example: Probe::get("/flagz"),
            excuses: |_, difference| matches!(difference, Difference::Header { name, .. } if name == "content-length" || name == "transfer-encoding"),
        },
        Allowed {
            what: "we emulate no other version, so the line is empty and the fields are left out",
            judges: BOTH,
            example: Probe::get("/statusz"),
            excuses: |_, difference| {
                let Difference::Body { theirs, ours } = difference else { return false };
                let without = |lines: &[String]| -> Vec<String> {
                    let words = ["emulation", "mincompatibility"];
                    let emulation = |line: &&String| {
                        !line.is_empty() && !words.iter().any(|word| line.to_lowercase().contains(word))
                    };
                    lines.iter().filter(emulation).cloned().collect()
                };
                theirs != ours && without(theirs) == without(ours)
            },
        },
        Allowed {
            what: "the configuration of each component is its own; kind and version are there, and the layout is the same",
            judges: &[Judge::ControllerManager],
            example: Probe::get("/configz"),
            excuses: |probe, difference| {
                let Difference::Body { theirs, ours } = difference else { return false };
                let alike = |lines: &[String]| {
                    let has = |field: &str| lines.iter().any(|line| line.contains(field));
                    (lines.first().cloned(), has(".kind: "), has(".apiVersion: "))
                };
                probe.path() == "/configz" && alike(theirs) == alike(ours)
            },
        },
        Allowed {
            what: "metrics are not compressed: they are small, and the scraper is near",
            judges: BOTH,
            example: Probe::get("/metrics").header("accept-encoding", "gzip"),
            excuses: |probe, difference| {
                let of_metrics = probe.path().starts_with("/metrics");
                of_metrics
                    && match difference {
                        Difference::Header { name, theirs, ours } => {
                            name == "content-encoding" && theirs == &["gzip"] && ours.is_empty()
                        }
                        Difference::Body { theirs, .. } => {
                            matches!(theirs.as_slice(), [only] if only.ends_with("bytes that are no text"))
                        }
                        Difference::Status { .. } => false,
                    }
            },
        },
        Allowed {
            what: "metrics as OpenMetrics when they are asked for: for exemplars, which Kubernetes does not have",
            judges: BOTH,
            example: Probe::get("/metrics").accept("application/openmetrics-text"),
            excuses: |probe, difference| {
                let of_metrics = probe.path().starts_with("/metrics");
                of_metrics
                    && match difference {
                        Difference::Header { name, ours, .. } => {
                            name == "content-type"
                                && ours.iter().any(|it| it.starts_with("application/openmetrics-text"))
                        }
                        Difference::Body { ours, .. } => ours.iter().any(|line| line == "# EOF"),
                        Difference::Status { .. } => false,
                    }
            },
        },
        Allowed {
            what: "an API server refuses a `timeout` that it cannot read, whatever the path; ours is no parameter of any page",
            judges: API_SERVER,
            example: Probe::get("/statusz?timeout=x"),
            excuses: |probe, _| probe.query().contains("timeout=x"),
        },
        Allowed {
            what: "the index of /debug/flags is HTML from Go, for any path below, and text from us",
            judges: BOTH,
            example: Probe::get("/debug/flags/"),
            excuses: |probe, _| probe.path().starts_with("/debug/flags") && probe.path() != "/debug/flags/v",
        },
        Allowed {
            what: "the controllers have no check `ping`, ours is the first of every page",
            judges: &[Judge::ControllerManager],
            example: Probe::get("/healthz/ping"),
            excuses: |probe, difference| match difference {
                Difference::Body { .. } if probe.path() == "/healthz" => probe.query().contains("verbose"),
                _ => matches!(probe.path(), "/healthz/ping" | "/healthz/%70ing"),
            },
        },
        Allowed {
            what: "beyond 12 media ranges Go sorts by another algorithm, which is not stable; no client sends that many",
            judges: BOTH,
            example: Probe::get("/statusz").accept(THIRTEEN_RANGES),
            excuses: |probe, _| {
                let accept = probe.first_accept();
                accept.split(',').filter(|range| !range.trim().is_empty()).count() > 12
            },
        },
        Allowed {
            what: "a path has one spelling with us, and it is the one that was authorized; Go decodes it first",
            judges: BOTH,
            example: Probe::get("/%73tatusz"),
            excuses: |probe, _| matches!(probe.path(), "/%73tatusz" | "/%66lagz"),
        },
        Allowed {
            what: "our metrics can't be reset: a counter that goes back is taken for a restart",
            judges: API_SERVER,
            example: Probe::get("/metrics").sends(Method::DELETE, ""),
            excuses: |probe, difference| {
                probe.method == Method::DELETE
                    && probe.path() == "/metrics"
                    && !matches!(difference, Difference::Status { .. })
            },
        },
        Allowed {
            what: "bytes that are no UTF-8 are shown as the replacement character, by Go as an escape of each",
            judges: BOTH,
            example: Probe::get("/healthz?verbose&exclude=%ff"),
            excuses: |probe, difference| {
                matches!(difference, Difference::Body { .. }) && probe.query().contains("exclude=%ff")
            },
        },
        Allowed {
            what: "/version belongs to the product of an API server: it takes GET alone, negotiates the form, and answers for all paths below",
            judges: API_SERVER,
            example: Probe::get("/version/x"),
            excuses: |probe, _| {
                let below = probe.path().starts_with("/version/");
                let asked = probe.method != Method::GET || !probe.first_accept().is_empty();
                below || (probe.path() == "/version" && asked)
            },
        },
    ]
}

/// Sorted by insertion, the first complete one of them comes first; sorted as Go does from 13 elements on, the text does.
const THIRTEEN_RANGES: &str = "a/b,application/json;g=config.k8s.io;v=v1beta1;as=Statusz,\
    application/json;g=config.k8s.io;v=v1beta1;as=Statusz,application/json,application/json,a/b,text/plain,a/b,a/b,a/b,\
    a/b;q=-inf,application/*;v=x,*/*;v=x";
