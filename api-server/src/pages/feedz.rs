//! `/feedz`: how each watch of the registry stands.

use keyplane_core::time::Millis;
use serde::Serialize;
use zpages::{Lines, Page, PageKind};

use super::{GROUP, VERSIONS, or_dash, time};
use crate::feed::{Origin, Phase, Progress, Standing, WatchProgress};
use crate::snapshot::{Facts, Status};

/// The page.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Feedz {
    /// Every watch was listed once, so the index has answered since.
    complete: bool,
    /// The largest `lagSeconds` of all watches.
    lag_seconds: u64,
    index: Index,
    watches: Vec<Watch>,
    /// The copy of the index on disk. `null`: there is none.
    snapshot: Option<Snapshot>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Watch {
    kind: &'static str,
    /// `null` for all namespaces.
    namespace: Option<String>,
    /// `Pending`, `Listing`, `Watching` or `Broken`.
    state: &'static str,
    /// The newest `resourceVersion` among the objects that came.
    revision: Option<String>,
    /// 0 while the watch stands; else how long it has not.
    lag_seconds: u64,
    last_event: Option<String>,
    events: u64,
    /// Listings after the first.
    relists: u64,
    errors: u64,
    last_error: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Snapshot {
    file: String,
    /// Up to when it is known to be true. `null`: there is nothing in the file that can be used.
    as_of: Option<String>,
    age_seconds: Option<u64>,
    objects: u64,
    bytes: u64,
    writes: u64,
    failures: u64,
    last_error: Option<String>,
}

/// What verifications are answered from.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    /// `Registry` or `Snapshot`; `null`: from nothing yet.
    source: Option<&'static str>,
    /// Whether verifications are answered.
    served: bool,
    /// Up to when it is known to be true.
    as_of: Option<String>,
    /// 0 while the registry is heard.
    age_seconds: Option<u64>,
}

impl Feedz {
    pub(super) fn read(progress: &Progress, snapshot: Option<&Status>, now: Millis) -> Self {
        let (complete, watches) = progress.read();
        let watches: Vec<Watch> = watches.iter().map(|watch| Watch::new(watch, now)).collect();
        let lag_seconds = watches.iter().map(|watch| watch.lag_seconds).max().unwrap_or_default();
        let index = Index::new(progress.standing(), now);
        Self { complete, lag_seconds, index, watches, snapshot: snapshot.map(|status| Snapshot::new(status, now)) }
    }
}

impl Index {
    fn new(standing: Standing, now: Millis) -> Self {
        let source = standing.origin().map(|origin| match origin {
            Origin::Registry => "Registry",
            Origin::Snapshot => "Snapshot",
        });
        let as_of = standing.as_of();
        Self { source, served: standing.is_served(), as_of: as_of.map(time), age_seconds: as_of.map(|at| age(at, now)) }
    }

    fn text(&self) -> String {
        let (Some(source), Some(as_of), Some(age)) = (self.source, &self.as_of, self.age_seconds) else {
            return "not complete".to_owned();
        };
        let served = if self.served { "served" } else { "not served" };
        format!("{served}, from the {} of {as_of}, {age} s old", source.to_lowercase())
    }
}

impl Snapshot {
    fn new(status: &Status, now: Millis) -> Self {
        let Facts { as_of, objects, bytes, writes, failures, last_error, .. } = status.facts();
        let (file, age_seconds) = (status.file().display().to_string(), as_of.map(|at| age(at, now)));
        Self { file, as_of: as_of.map(time), age_seconds, objects, bytes, writes, failures, last_error }
    }

    fn text(&self) -> String {
        let age = match (&self.as_of, self.age_seconds) {
            (Some(as_of), Some(age)) => {
                format!("of {as_of}, {age} s old, {} objects, {} bytes", self.objects, self.bytes)
            }
            _ => "nothing of use yet".to_owned(),
        };
        let error = self.last_error.as_ref().map_or_else(String::new, |error| format!("; last error: {error}"));
        format!("{}, {age}, written {} times, failed {} times{error}", self.file, self.writes, self.failures)
    }
}

fn age(at: Millis, now: Millis) -> u64 {
    u64::try_from(now.0.saturating_sub(at.0) / 1000).unwrap_or_default()
}

impl Watch {
    fn new(watch: &WatchProgress, now: Millis) -> Self {
        let lag_seconds = watch.not_standing_since.map_or(0, |since| age(since, now));
        Self {
            kind: watch.source.kind.as_str(),
            namespace: watch.source.namespace.clone(),
            state: match watch.phase {
                Phase::Pending => "Pending",
                Phase::Listing => "Listing",
                Phase::Watching => "Watching",
                Phase::Broken => "Broken",
            },
            revision: watch.revision.map(|revision| revision.to_string()),
            lag_seconds,
            last_event: watch.last_event.map(time),
            events: watch.events,
            relists: watch.listings.saturating_sub(1),
            errors: watch.errors,
            last_error: watch.last_error.clone(),
        }
    }
}

impl Page for Feedz {
    const KIND: &'static PageKind = &PageKind { group: GROUP, kind: "Feedz", versions: &VERSIONS };

    fn text(&self) -> String {
        let mut lines = Lines::new();
        lines.fact("Complete", self.complete);
        lines.fact("Lag", format!("{} s", self.lag_seconds));
        lines.fact("Index", self.index.text());
        lines.fact("Snapshot", self.snapshot.as_ref().map_or_else(|| "none".to_owned(), Snapshot::text));
        let header = ["KIND", "NAMESPACE", "STATE", "REVISION", "LAG", "LAST EVENT", "EVENTS", "RELISTS", "ERRORS"];
        let row = |watch: &Watch| {
            [
                watch.kind.to_owned(),
                watch.namespace.clone().unwrap_or_else(|| "*".to_owned()),
                watch.state.to_owned(),
                or_dash(watch.revision.as_ref()),
                format!("{} s", watch.lag_seconds),
                or_dash(watch.last_event.as_ref()),
                watch.events.to_string(),
                watch.relists.to_string(),
                watch.errors.to_string(),
            ]
        };
        lines.table(header, self.watches.iter().map(row));
        let errors = self.watches.iter().filter_map(|watch| Some([watch.kind.to_owned(), watch.last_error.clone()?]));
        let errors: Vec<_> = errors.collect();
        if !errors.is_empty() {
            lines.table(["KIND", "LAST ERROR"], errors);
        }
        lines.into_text()
    }
}
