//! `/feedz`: how each watch of the registry stands.

use keyplane_core::time::Millis;
use serde::Serialize;
use zpages::{Lines, Page, PageKind};

use super::{GROUP, VERSIONS, or_dash, time};
use crate::feed::{Phase, Progress, WatchProgress};

/// The page.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Feedz {
    /// Every watch was listed once, so the index has answered since.
    complete: bool,
    /// The largest `lagSeconds` of all watches.
    lag_seconds: u64,
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
    age_seconds: u64,
}

impl Feedz {
    pub(super) fn read(progress: &Progress, now: Millis) -> Self {
        let (complete, watches) = progress.read();
        let watches: Vec<Watch> = watches.iter().map(|watch| Watch::new(watch, now)).collect();
        let lag_seconds = watches.iter().map(|watch| watch.lag_seconds).max().unwrap_or_default();
        Self { complete, lag_seconds, watches, snapshot: None }
    }
}

impl Watch {
    fn new(watch: &WatchProgress, now: Millis) -> Self {
        let lag = watch.not_standing_since.map_or(0, |since| now.0.saturating_sub(since.0) / 1000);
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
            lag_seconds: u64::try_from(lag).unwrap_or_default(),
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
        lines.fact(
            "Snapshot",
            self.snapshot
                .as_ref()
                .map_or_else(|| "none".to_owned(), |it| format!("{}, {} s old", it.file, it.age_seconds)),
        );
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
