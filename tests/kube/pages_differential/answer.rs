//! What came back, and in what two answers differ.
//!
//! Bodies are compared by their shape: what a page says of its own process (versions, times, flags, names of checks) is replaced by its
//! type, everything else stands as it is.

use std::collections::BTreeMap;
use std::fmt;

use http::response::Parts;

use super::shape;

/// Headers whose value says when or how long, never what.
const VALUE_OF_THE_MOMENT: [&str; 6] = [
    "date",
    "content-length",
    "audit-id",
    "x-kubernetes-pf-flowschema-uid",
    "x-kubernetes-pf-prioritylevel-uid",
    "process-start-time-unix",
];

/// An answer to a probe.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Lower-case name, and the values in their order.
    headers: BTreeMap<String, Vec<String>>,
    body: Vec<u8>,
}

/// One thing in which two answers differ.
#[derive(Clone, Debug)]
pub(super) enum Difference {
    Status {
        theirs: u16,
        ours: u16,
    },
    /// The values of one header; none when it is absent.
    Header {
        name: String,
        theirs: Vec<String>,
        ours: Vec<String>,
    },
    /// The lines of the shape.
    Body {
        theirs: Vec<String>,
        ours: Vec<String>,
    },
}

impl Answer {
    pub(super) fn new(head: &Parts, body: &[u8]) -> Self {
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in &head.headers {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            headers.entry(name.as_str().to_owned()).or_default().push(value);
        }
        for name in VALUE_OF_THE_MOMENT {
            let values = headers.get_mut(name).into_iter().flatten();
            values.for_each(|value| "*".clone_into(value));
        }
        Self { status: head.status.as_u16(), headers, body: body.to_vec() }
    }

    /// All differences, each by itself.
    pub(super) fn differences(&self, ours: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        if self.status != ours.status {
            found.push(Difference::Status { theirs: self.status, ours: ours.status });
        }
        let names: std::collections::BTreeSet<&String> = self.headers.keys().chain(ours.headers.keys()).collect();
        for name in names {
            let values = |answer: &Self| answer.headers.get(name).cloned().unwrap_or_default();
            let (theirs, ours) = (values(self), values(ours));
            if theirs != ours {
                found.push(Difference::Header { name: name.clone(), theirs, ours });
            }
        }
        let (theirs, ours) = (self.shape(), ours.shape());
        if theirs != ours {
            found.push(Difference::Body { theirs, ours });
        }
        found
    }

    fn shape(&self) -> Vec<String> {
        let content_type = self.headers.get("content-type").and_then(|values| values.first());
        shape::of(content_type.map_or("", String::as_str), &self.body)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { theirs, ours } => write!(formatter, "status: {theirs}, ours {ours}"),
            Self::Header { name, theirs, ours } => write!(formatter, "{name}: {theirs:?}, ours {ours:?}"),
            Self::Body { theirs, ours } => {
                let only = |lines: &[String], others: &[String]| -> Vec<String> {
                    lines.iter().filter(|line| !others.contains(line)).cloned().collect()
                };
                write!(formatter, "body: {:#?}, ours {:#?}", only(theirs, ours), only(ours, theirs))
            }
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.status)?;
        for (name, values) in &self.headers {
            values.iter().try_for_each(|value| writeln!(formatter, "{name}: {value}"))?;
        }
        let Ok(body) = std::str::from_utf8(&self.body) else {
            return write!(formatter, "\n({} bytes that are no text)", self.body.len());
        };
        let shown: String = body.chars().take(1500).collect();
        write!(formatter, "\n{shown}{}", if shown.len() < body.len() { "…" } else { "" })
    }
}
