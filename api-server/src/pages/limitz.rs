//! `/limitz`: counters of rate limits, and balances of credits.

use keyplane_core::time::Millis;
use serde::Serialize;
use zpages::{Lines, Page, PageKind};

use super::{GROUP, VERSIONS, time};
use crate::counters::{Held, Hot, Local};
use crate::credits;

/// Counters that are listed. More tell no more.
const HOTTEST: usize = 20;

/// The page.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Limitz {
    counters: Counters,
    /// The counters with the highest running counts.
    hottest: Vec<Counter>,
    /// Shares of other pods' counters. There are none yet: each pod counts for itself.
    leases: Vec<Lease>,
    /// `null` while the server reads them from its disk.
    credits: Option<Credits>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counters {
    held: usize,
    capacity: usize,
    /// Of the tables that hold them, empty places included.
    bytes: usize,
    /// Counters forgotten because their time was over.
    evicted: u64,
    /// Requests refused because no new counter could be held.
    refused: Refused,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refused {
    /// By the whole table.
    table: u64,
    /// By the namespace's share of it.
    namespace: u64,
    /// By the key's.
    key: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counter {
    /// The first 8 of the 32 digits of the hash that names it: of namespace, limit, subject and window.
    id: String,
    count: u64,
    /// When it is forgotten, unless it counts again.
    forgotten_after: String,
}

#[derive(Debug, Serialize)]
struct Lease {}

#[derive(Debug, Serialize)]
struct Credits {
    balances: usize,
    /// Spendings refused because no new balance could be held.
    refused: u64,
}

impl Limitz {
    pub(super) fn read(counters: &Local, credits: Option<credits::Held>, now: Millis) -> Self {
        Self::of(counters.held(), counters.capacity(), &counters.hottest(HOTTEST, now), credits)
    }

    pub(super) fn of(held: Held, capacity: usize, hottest: &[Hot], credits: Option<credits::Held>) -> Self {
        let counter = |hot: &Hot| Counter {
            id: hot.id.to_string().chars().take(8).collect(),
            count: hot.count,
            forgotten_after: time(hot.forget_at),
        };
        Self {
            counters: Counters {
                held: held.counters,
                capacity,
                bytes: held.bytes,
                evicted: held.forgotten,
                refused: Refused { table: held.refused.full, namespace: held.refused.namespace, key: held.refused.key },
            },
            hottest: hottest.iter().map(counter).collect(),
            leases: Vec::new(),
            credits: credits.map(|held| Credits { balances: held.balances, refused: held.refused }),
        }
    }
}

impl Page for Limitz {
    const KIND: &'static PageKind = &PageKind { group: GROUP, kind: "Limitz", versions: &VERSIONS };

    fn text(&self) -> String {
        let Self { counters, hottest, leases, credits } = self;
        let mut lines = Lines::new();
        lines.fact("Counters", format!("{} of {}, {} bytes", counters.held, counters.capacity, counters.bytes));
        lines.fact("Evicted", counters.evicted);
        let Refused { table, namespace, key } = counters.refused;
        lines.fact("Refused", format!("{table} by the table, {namespace} by a namespace's share, {key} by a key's"));
        lines.fact("Leases", if leases.is_empty() { "none".to_owned() } else { leases.len().to_string() });
        match credits {
            Some(Credits { balances, refused }) => {
                lines.fact("Balances of credits", format!("{balances}, {refused} spendings refused"));
            }
            None => lines.fact("Balances of credits", "being read"),
        }
        let row = |it: &Counter| [it.id.clone(), it.count.to_string(), it.forgotten_after.clone()];
        lines.table(["HOTTEST", "COUNT", "FORGOTTEN AFTER"], hottest.iter().map(row));
        lines.into_text()
    }
}
