//! `/eventz`: events that wait, went and were lost.

use serde::Serialize;
use zpages::{Lines, Page, PageKind};

use super::{GROUP, VERSIONS, or_dash, time};
use crate::events::{Loss, Stats};

/// The page.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Eventz {
    /// Events in the buffers now.
    queued: u64,
    /// What the buffers hold together before they are given on.
    capacity: u64,
    /// Events that the sink took.
    flushed: u64,
    /// Events that were lost.
    dropped: Vec<Dropped>,
    last_flush: Option<String>,
    sinks: Vec<Sink>,
}

#[derive(Debug, Serialize)]
struct Dropped {
    reason: &'static str,
    events: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sink {
    name: &'static str,
    /// `Healthy`, or `Failing` when the last batch did not arrive.
    state: &'static str,
    /// `Events`, or `Numbers` for a sink that only counts.
    takes: &'static str,
    last_error: Option<String>,
}

impl Eventz {
    pub(super) fn read(stats: &Stats) -> Self {
        let Stats { queued, capacity, flushed, dropped, last_flush, sinks } = stats;
        let lost = Loss::ALL.iter().zip(dropped);
        let sink = |sink: &crate::events::SinkState| Sink {
            name: sink.name,
            state: if sink.last_error.is_some() { "Failing" } else { "Healthy" },
            takes: if sink.wants_events { "Events" } else { "Numbers" },
            last_error: sink.last_error.clone(),
        };
        Self {
            queued: *queued,
            capacity: *capacity,
            flushed: *flushed,
            dropped: lost.map(|(loss, events)| Dropped { reason: loss.as_str(), events: *events }).collect(),
            last_flush: last_flush.map(time),
            sinks: sinks.iter().map(sink).collect(),
        }
    }
}

impl Page for Eventz {
    const KIND: &'static PageKind = &PageKind { group: GROUP, kind: "Eventz", versions: &VERSIONS };

    fn text(&self) -> String {
        let mut lines = Lines::new();
        lines.fact("Queued", format!("{} of {}", self.queued, self.capacity));
        lines.fact("Flushed", self.flushed);
        for Dropped { reason, events } in &self.dropped {
            lines.fact(&format!("Dropped ({reason})"), events);
        }
        lines.fact("Last flush", or_dash(self.last_flush.as_ref()));
        let row = |sink: &Sink| {
            [sink.name.to_owned(), sink.state.to_owned(), sink.takes.to_owned(), or_dash(sink.last_error.as_ref())]
        };
        lines.table(["SINK", "STATE", "TAKES", "LAST ERROR"], self.sinks.iter().map(row));
        lines.into_text()
    }
}
