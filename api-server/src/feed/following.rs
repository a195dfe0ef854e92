//! Following a registry: from the snapshot if there is one, then from its watches, and judging all the while what the index is worth.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use keyplane_core::time::Millis;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{BATCH, Feed, Freshness, Heard, KINDS, Mirror, Origin, Standing, Tagged, fixed, tag};
use crate::clock;
use crate::registry::{Event, Object, Registry, Source};
use crate::snapshot::{self, Recorder, Snapshot, Wish, shown};

/// Between two judgements while nothing comes.
const TICK: Duration = Duration::from_secs(1);

/// What a feed is to keep, and how long it is good for.
pub struct Keeping {
    /// How old what is served may be, in milliseconds; `None`: the registry is a part of this process, and nothing grows old.
    pub max_age: Option<i64>,
    /// Where it is kept.
    pub snapshot: Option<Snapshot>,
    /// When this is cancelled, the feed writes the snapshot for the last time and returns.
    pub stop: CancellationToken,
}

type Batches = BoxStream<'static, Vec<Tagged>>;

impl Feed {
    /// As [`Feed::run`], and keeps a snapshot. Returns when it is stopped.
    pub async fn run_keeping(self, registry: Arc<dyn Registry>, overlay: Vec<Object>, keeping: Keeping) {
        let Keeping { max_age, snapshot, stop } = keeping;
        let mut sources = registry.sources(KINDS);
        let watched = sources.len();
        if let Some(kind) = overlay.first().map(Object::kind) {
            sources.push(Source { kind, namespace: None });
        }
        self.progress.begin(&sources, clock::now());
        let mut freshness = Freshness::new(clock::now(), max_age);
        let mut mirror = Mirror::new(self.index.clone(), sources.len());
        let status = snapshot.as_ref().map(Snapshot::status);
        let mut recorder = match snapshot {
            Some(snapshot) => self.load(snapshot, &sources, &mut mirror, &mut freshness).await,
            None => None,
        };
        let watches = || -> Batches {
            let watches = sources.iter().take(watched).map(|source| registry.watch(source));
            let overlay = (sources.len() > watched).then(|| fixed(overlay.clone()));
            let tagged = watches.chain(overlay).enumerate().map(|(number, watch)| tag(number, watch));
            stream::select_all(tagged).ready_chunks(BATCH).boxed()
        };
        let mut batches = watches();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                batch = batches.next() => {
                    let Some(batch) = batch else { return };
                    let listed = listed_in(&batch);
                    let changes = self.take(&mut mirror, batch);
                    self.judge(&mut freshness, &mirror, clock::now());
                    if let Some(recorder) = &mut recorder {
                        recorder.record(changes, &listed).await;
                    }
                }
                _ = ticks.tick() => {
                    let now = clock::now();
                    self.judge(&mut freshness, &mirror, now);
                    if let Some(status) = &status {
                        self.metrics.snapshot_is(&status.facts(), now);
                    }
                    if let Some(recorder) = &mut recorder
                        && recorder.tick(now, self.progress.known_until(now), || self.heads()) == Wish::ListAgain
                    {
                        batches = watches();
                    }
                }
            }
        }
        if let Some(recorder) = recorder {
            let now = clock::now();
            recorder.close(self.progress.known_until(now), || self.heads()).await;
        }
    }

    /// Fills the mirror from the snapshot, or leaves it empty. Its verdict is not served until [`Freshness`] says so.
    pub(super) async fn load(
        &self,
        snapshot: Snapshot,
        sources: &[Source],
        mirror: &mut Mirror,
        freshness: &mut Freshness,
    ) -> Option<Recorder> {
        let (status, now) = (snapshot.status(), clock::now());
        let file = status.file().display().to_string();
        let (loaded, result) = snapshot.load(sources, now, |batch| mirror.apply(batch)).await;
        match (result, loaded.as_of()) {
            (Err(refusal), _) => {
                tracing::error!(file, error = %refusal, "the snapshot is not used");
                // It may hold a part of what is not to be used.
                *mirror = Mirror::new(self.index.clone(), sources.len());
            }
            (Ok(()), None) => {
                tracing::info!(file, "there is no snapshot yet");
                *mirror = Mirror::new(self.index.clone(), sources.len());
            }
            (Ok(()), Some(as_of)) => {
                let (objects, of) = (loaded.objects(), shown(as_of));
                tracing::info!(file, objects, of, "snapshot read; the registry is asked what changed since");
                self.metrics.index_holds(mirror.keys(), mirror.callers());
                self.tell_balances(mirror.credit_changes(), true);
                freshness.holds_snapshot(as_of);
            }
        }
        mirror.fold.keep_changes();
        let recorder = Recorder::start(loaded, sources);
        recorder
            .inspect_err(|error| tracing::error!(%error, "the thread that writes the snapshot can't be started"))
            .ok()
    }

    /// Says what the index is worth now, to everyone who tells others.
    pub(super) fn judge(&self, freshness: &mut Freshness, mirror: &Mirror, now: Millis) {
        let (known_until, last_heard) = (self.progress.known_until(now), self.progress.last_heard());
        let standing = freshness.judge(Heard { known_until, last_heard }, now);
        let before = self.progress.standing();
        self.progress.serves(standing);
        self.metrics.index_stands(standing, now);
        tell(before, standing, mirror, now);
        if known_until.is_some() {
            self.progress.complete();
        }
        self.readiness.index_is(standing);
    }

    pub(super) fn heads(&self) -> snapshot::Heads {
        let (_, watches) = self.progress.read();
        snapshot::heads(watches.iter().map(|watch| (&watch.source, watch.revision)))
    }
}

/// Logs what is new about what is served.
fn tell(before: Standing, standing: Standing, mirror: &Mirror, now: Millis) {
    let (keys, root_keys) = (mirror.keys(), mirror.callers());
    let kind = |standing: Standing| (standing.is_served(), standing.origin());
    if kind(before) == kind(standing) {
        return;
    }
    match standing {
        Standing::Waiting { .. } => {}
        Standing::Serving { from: Origin::Registry, .. } => {
            tracing::info!(keys, root_keys, "index complete");
        }
        Standing::Serving { .. } => {
            tracing::warn!(keys, root_keys, "{}", standing.warning(now).unwrap_or_default());
        }
        Standing::TooOld { .. } => {
            tracing::error!("nothing is served: {}", standing.check(now).err().unwrap_or_default());
        }
    }
}

/// The sources whose listings end in this batch.
fn listed_in(batch: &[Tagged]) -> Vec<usize> {
    batch.iter().filter(|(_, event)| matches!(event, Ok(Event::Listed))).map(|(source, _)| *source).collect()
}
