//! How the watches stand: written by the feed, read by pages.

use std::sync::{Mutex, MutexGuard, PoisonError};

use keyplane_core::time::Millis;

use super::freshness::Standing;
use crate::registry::{Event, Source};

/// The state of every watch. Locked for moments: by the feed once a batch, by a page to copy it.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    complete: bool,
    standing: Standing,
    watches: Vec<WatchProgress>,
}

/// Where a watch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It has said nothing yet.
    #[default]
    Pending,
    /// A listing began.
    Listing,
    /// The listing is complete, and changes come as they happen.
    Watching,
    /// It broke, and is tried again.
    Broken,
}

/// One watch.
#[derive(Clone, Debug)]
pub struct WatchProgress {
    /// Of what.
    pub source: Source,
    /// Where it is.
    pub phase: Phase,
    /// Since when it is not [`Phase::Watching`]; `None` while it is. A connection that is silently dead still counts as standing, until
    /// the client notices.
    pub not_standing_since: Option<Millis>,
    /// The newest `resourceVersion` among the objects that came, where it is a number. Deletions carry none.
    pub revision: Option<u64>,
    /// When the last event came.
    pub last_event: Option<Millis>,
    /// Events, those of listings included.
    pub events: u64,
    /// Listings that began.
    pub listings: u64,
    /// Times that it broke.
    pub errors: u64,
    /// What was wrong the last time.
    pub last_error: Option<String>,
    /// It was listed once.
    pub listed: bool,
    /// When the registry last said something. That a listing begins is what we say, and do so again and again while nobody answers.
    pub last_heard: Option<Millis>,
}

impl Progress {
    /// The watches that there will be, in the order of their numbers.
    pub fn begin(&self, sources: &[Source], now: Millis) {
        let watch = |source: &Source| WatchProgress {
            source: source.clone(),
            phase: Phase::Pending,
            not_standing_since: Some(now),
            revision: None,
            last_event: None,
            events: 0,
            listings: 0,
            errors: 0,
            last_error: None,
            listed: false,
            last_heard: None,
        };
        self.lock().watches = sources.iter().map(watch).collect();
    }

    /// Everything was listed once, and is in the index.
    pub fn complete(&self) {
        self.lock().complete = true;
    }

    /// What to write about a batch of events.
    pub fn batch(&self, now: Millis) -> Batch<'_> {
        Batch { inner: self.lock(), now }
    }

    /// Whether everything was listed once, and every watch as it is.
    pub fn read(&self) -> (bool, Vec<WatchProgress>) {
        let inner = self.lock();
        (inner.complete, inner.watches.clone())
    }

    /// Up to when everything that happened in the registry was heard: now, or since when the first of the watches does not stand. `None`
    /// before every one was listed.
    pub fn known_until(&self, now: Millis) -> Option<Millis> {
        let inner = self.lock();
        let until = |watch: &WatchProgress| watch.listed.then(|| watch.not_standing_since.unwrap_or(now));
        inner.watches.iter().map(until).try_fold(now, |oldest, until| Some(oldest.min(until?)))
    }

    /// When the registry last said something to any watch.
    pub fn last_heard(&self) -> Option<Millis> {
        self.lock().watches.iter().filter_map(|watch| watch.last_heard).max()
    }

    /// What is served.
    pub fn serves(&self, standing: Standing) {
        self.lock().standing = standing;
    }

    /// As the feed said last.
    pub fn standing(&self) -> Standing {
        self.lock().standing
    }

    /// The newest revision of all watches.
    pub fn revision(&self) -> Option<u64> {
        self.lock().watches.iter().filter_map(|watch| watch.revision).max()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes down what a batch says.
pub struct Batch<'a> {
    inner: MutexGuard<'a, Inner>,
    now: Millis,
}

impl Batch<'_> {
    /// An event of the watch of this number. **Cost**: the number of an applied object's version is read, some 10 ns.
    pub fn event(&mut self, number: usize, event: &Event) {
        let now = self.now;
        let Some(watch) = self.inner.watches.get_mut(number) else { return };
        watch.events += 1;
        watch.last_event = Some(now);
        if !matches!(event, Event::Restarted) {
            watch.last_heard = Some(now);
        }
        match event {
            Event::Restarted => {
                watch.listings += 1;
                watch.phase = Phase::Listing;
                watch.not_standing_since = watch.not_standing_since.or(Some(now));
            }
            Event::Listed => {
                watch.listed = true;
                watch.phase = Phase::Watching;
                watch.not_standing_since = None;
            }
            Event::Applied(object) => {
                let version = object.metadata().resource_version.as_deref().and_then(|version| version.parse().ok());
                watch.revision = watch.revision.max(version);
                watch.stands_again();
            }
            Event::Deleted(_) | Event::Unreadable(..) => watch.stands_again(),
        }
    }

    /// The watch of this number broke.
    pub fn error(&mut self, number: usize, error: &str) {
        let now = self.now;
        let Some(watch) = self.inner.watches.get_mut(number) else { return };
        watch.errors += 1;
        watch.phase = Phase::Broken;
        watch.not_standing_since = watch.not_standing_since.or(Some(now));
        watch.last_error = Some(error.to_owned());
    }
}

impl WatchProgress {
    /// A watch that was resumed begins no listing: its next event is the first sign that it stands.
    fn stands_again(&mut self) {
        if self.phase == Phase::Broken {
            self.phase = Phase::Watching;
            self.not_standing_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use keyplane_core::time::Millis;

    use super::{Phase, Progress};
    use crate::registry::{Event, Kind, Object, ObjectKey, Source};

    fn key(version: &str) -> Event {
        let mut object = keyplane_api::ApiKey::new("a", keyplane_api::ApiKeySpec::default());
        object.metadata.resource_version = Some(version.to_owned());
        Event::Applied(Object::from(object))
    }

    #[test]
    fn a_watch_lags_from_its_break_to_its_next_listing_or_event() {
        let progress = Progress::default();
        let source = Source { kind: Kind::ApiKey, namespace: None };
        progress.begin(std::slice::from_ref(&source), Millis(1));
        let now = |at: i64, event: Result<Event, &str>| {
            let mut batch = progress.batch(Millis(at));
            match event {
                Ok(event) => batch.event(0, &event),
                Err(error) => batch.error(0, error),
            }
            drop(batch);
            let watch = progress.read().1.remove(0);
            (watch.phase, watch.not_standing_since.map(|since| since.0))
        };
        let gone = || Event::Deleted(ObjectKey { kind: Kind::ApiKey, namespace: "n".into(), name: "a".into() });
        assert_eq!(now(2, Ok(Event::Restarted)), (Phase::Listing, Some(1)));
        assert_eq!((progress.last_heard(), progress.known_until(Millis(2))), (None, None), "nobody answered yet");
        assert_eq!(now(3, Ok(key("7"))), (Phase::Listing, Some(1)));
        assert_eq!(now(4, Ok(Event::Listed)), (Phase::Watching, None));
        assert_eq!(now(5, Err("reset")), (Phase::Broken, Some(5)));
        assert_eq!(now(6, Err("refused")), (Phase::Broken, Some(5)), "since the first of several errors");
        assert_eq!(now(7, Ok(gone())), (Phase::Watching, None), "a watch that was resumed");
        assert_eq!(now(8, Ok(key("5"))), (Phase::Watching, None));
        assert_eq!(now(9, Ok(Event::Restarted)), (Phase::Listing, Some(9)));
        assert_eq!((progress.last_heard(), progress.known_until(Millis(12))), (Some(Millis(8)), Some(Millis(9))));
        let watch = progress.read().1.remove(0);
        assert_eq!((watch.events, watch.listings, watch.errors), (6, 2, 2));
        assert_eq!((watch.revision, watch.last_event), (Some(7), Some(Millis(9))));
        assert_eq!((watch.last_error.as_deref(), progress.revision()), (Some("refused"), Some(7)));
    }
}
