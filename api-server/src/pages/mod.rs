//! The pages on which this server explains itself beside those that every component has: for people as text, for programs
//! as JSON or YAML of the group `debug.keyplane.dev`. What their fields mean is in `api-server/PAGES.md`.
//!
//! A page is a structure that is filled at the request from what the parts of the server hold, and knows how to write
//! itself. No page holds a key, a hash of a key, or an identifier that a caller brought.

mod cachez;
mod eventz;
mod feedz;
mod keyz;
mod limitz;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use keyplane_core::time::Millis;
use zpages::{PageVersion, ZPages};

use crate::clock;
use crate::counters::Local;
use crate::credits::Balances;
use crate::events::Events;
use crate::feed::Progress;
use crate::index::Index;
use crate::snapshot::Status;

/// The API group of the pages.
pub const GROUP: &str = "debug.keyplane.dev";

/// The version of the object at `/configz`.
pub const CONFIGURATION: &str = "config.keyplane.dev/v1alpha1";

/// They are young, and may change with a release: a changed field is a new version.
static VERSIONS: [PageVersion; 1] = [PageVersion { name: "v1alpha1", deprecated: false }];

/// What the pages are read from. Cheap to clone.
#[derive(Clone)]
pub struct Parts {
    /// The mirror of all keys.
    pub index: Arc<Index>,
    /// How the watches stand.
    pub progress: Arc<Progress>,
    /// Running counts.
    pub counters: Arc<Local>,
    /// What leaves the engine.
    pub events: Arc<Events>,
    /// Balances of credits; not there while the server reads them from its disk.
    pub balances: Arc<OnceLock<Arc<Balances>>>,
    /// The snapshot; not there where none is kept, or while its file is opened.
    pub snapshot: Arc<OnceLock<Arc<Status>>>,
}

/// Adds the pages.
pub fn add(pages: ZPages, parts: &Parts) -> ZPages {
    let Parts { index, progress, counters, events, balances, snapshot } = parts.clone();
    let (cached, fed) = ((index.clone(), progress.clone()), progress);
    let (counted, balanced) = (counters.clone(), balances.clone());
    pages
        .group(GROUP)
        .page("/cachez", "what the index holds; equal digests on two pods prove equal content", move || {
            cachez::Cachez::read(&cached.0, &cached.1)
        })
        .page("/feedz", "how the watches of the registry stand, and how old what is served is", move || {
            feedz::Feedz::read(&fed, snapshot.get().map(|it| &**it), clock::now())
        })
        .page("/limitz", "counters of rate limits, and balances of credits", move || {
            limitz::Limitz::read(&counted, balanced.get().map(|balances| balances.held()), clock::now())
        })
        .page("/eventz", "events that wait, went and were lost", move || eventz::Eventz::read(&events.stats()))
        .page_about("/keyz/{keyId}", "what this pod believes about a key, and why it would be refused now", {
            move |key_id: &str| {
                keyz::Keyz::read(key_id, &index, &*counters, balances.get().map(|it| &**it), clock::now())
            }
        })
}

/// A point in time as the pages write it: `2026-11-21T12:00:00Z`.
fn time(at: Millis) -> String {
    let since_epoch = Duration::from_millis(u64::try_from(at.0).unwrap_or_default());
    zpages::rfc3339(UNIX_EPOCH + since_epoch)
}

/// For people: a dash where there is nothing.
fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod golden;
