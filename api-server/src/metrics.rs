//! What this process counts. Labels come from fixed sets: nothing that a client sends becomes one.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;
use keyplane_core::time::Millis;
use keyplane_core::verify::Code;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::counters::{Held, Refused};
use crate::credits;
use crate::events::{self, Loss};
use crate::feed::{Origin, Standing};
use crate::snapshot::Facts;
use crate::waits::Waits;

/// The families, registered by [`Metrics::register`]. Updating one is an atomic addition.
#[derive(Default)]
pub struct Metrics {
    verifications: Verifications,
    requests: Requests,
    keys: Gauge,
    root_keys: Gauge,
    feed_events: Counter,
    feed_errors: Counter,
    counters: Gauge,
    counter_bytes: Gauge,
    counters_refused: Family<ShareLabel, Gauge>,
    balances: Gauge,
    balances_refused: Gauge,
    rate_limits: Family<OutcomeLabel, Counter>,
    load: Load,
    shed: Family<ReasonLabel, Counter>,
    waits: Waits,
    events_queued: Gauge,
    events_flushed: Counter,
    events_dropped: Family<ReasonLabel, Counter>,
    index_age: Gauge<f64, AtomicU64>,
    index_source: Family<SourceLabel, Gauge>,
    snapshot: SnapshotGauges,
    migrated: Gauge,
    migrated_lost: Counter,
}

/// What requests under way hold, and what was refused because that is bounded. Clones count on the same numbers.
#[derive(Clone, Debug, Default)]
pub struct Load {
    pub(crate) requests: Gauge,
    pub(crate) body_bytes: Gauge,
    pub(crate) shed_requests: Counter,
    pub(crate) shed_body_bytes: Counter,
    pub(crate) slow_bodies: Counter,
}

/// What is known of the snapshot; registered where there is one.
#[derive(Clone, Debug, Default)]
struct SnapshotGauges {
    age: Gauge<f64, AtomicU64>,
    objects: Gauge,
    bytes: Gauge,
    writes: Counter,
    failures: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShareLabel {
    share: &'static str,
}

/// The counters of every code are found once, so that a verification searches no table of labels.
struct Verifications {
    all: Family<CodeLabel, Counter>,
    codes: [Counter; Code::ALL.len()],
}

/// Likewise the successes of each direct route.
struct Requests {
    all: Family<RequestLabels, Counter>,
    direct: [Counter; DirectRoute::ALL.len()],
}

impl Default for Verifications {
    fn default() -> Self {
        let all = Family::<CodeLabel, Counter>::default();
        let codes = Code::ALL.map(|code| all.get_or_create(&CodeLabel { code: code.as_str() }).clone());
        Self { all, codes }
    }
}

impl Default for Requests {
    fn default() -> Self {
        let all = Family::<RequestLabels, Counter>::default();
        let labels = |route: DirectRoute| RequestLabels { route: route.path().to_owned(), status: 200 };
        let direct = DirectRoute::ALL.map(|route| all.get_or_create(&labels(route)).clone());
        Self { all, direct }
    }
}

/// The operations that are answered without the router, because they are called all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectRoute {
    /// `keys.verifyKey` of v2.
    VerifyKey,
    /// `ratelimit.limit` of v2.
    Limit,
    /// `keys.verifyKey` of v1.
    V1VerifyKey,
}

impl DirectRoute {
    /// Each of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::VerifyKey, Self::Limit, Self::V1VerifyKey];

    /// Where it is found.
    pub const fn path(self) -> &'static str {
        match self {
            Self::VerifyKey => "/v2/keys.verifyKey",
            Self::Limit => "/v2/ratelimit.limit",
            Self::V1VerifyKey => "/v1/keys.verifyKey",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: u16,
}

#[expect(clippy::cast_precision_loss, reason = "a second in ten thousand years is no matter")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

impl Metrics {
    /// Registers every family. Those with a fixed set of labels appear with zero from the start, so that a rate over them is defined.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("keyplane_verifications", "Verifications by outcome", self.verifications.all.clone());
        registry.register(
            "keyplane_http_requests",
            "Requests of the API by route and status",
            self.requests.all.clone(),
        );
        registry.register("keyplane_index_keys", "ApiKey objects held in memory", self.keys.clone());
        registry.register("keyplane_index_root_keys", "RootKey objects held in memory", self.root_keys.clone());
        registry.register("keyplane_feed_events", "Events taken from the registry", self.feed_events.clone());
        registry.register("keyplane_rate_limits", "Answers of ratelimit.limit by outcome", self.rate_limits.clone());
        registry.register("keyplane_counters", "Counters of limits held in memory", self.counters.clone());
        registry.register(
            "keyplane_counters_bytes",
            "Bytes of the tables that hold counters of limits",
            self.counter_bytes.clone(),
        );
        self.refused(Refused::default());
        registry.register(
            "keyplane_counters_refused",
            "Requests refused because no new counter could be held, by what was used up: the table, a namespace's share or a key's",
            self.counters_refused.clone(),
        );
        registry.register("keyplane_balances", "Balances of credits held in memory", self.balances.clone());
        registry.register(
            "keyplane_balances_refused",
            "Verifications refused because no new balance of credits could be held",
            self.balances_refused.clone(),
        );
        drop(self.load());
        registry.register(
            "keyplane_http_requests_in_flight",
            "Requests of the API under way",
            self.load.requests.clone(),
        );
        registry.register(
            "keyplane_http_body_bytes",
            "Bytes of the common budget that large request bodies take on their way in",
            self.load.body_bytes.clone(),
        );
        registry.register(
            "keyplane_http_shed",
            "Requests refused because of overload or a slow client, by reason",
            self.shed.clone(),
        );
        registry.register(
            "keyplane_verify_external_calls",
            "Calls to other processes on behalf of a verification; 0 as long as everything is in memory",
            self.waits.external_calls.clone(),
        );
        registry.register(
            "keyplane_verify_disk_waits",
            "Verifications that waited for the journal of credits on this machine's disk",
            self.waits.disk_waits.clone(),
        );
        for loss in Loss::ALL {
            drop(self.dropped(loss));
        }
        registry.register("keyplane_events_queued", "Events in the buffers of the workers", self.events_queued.clone());
        registry.register("keyplane_events_flushed", "Events that the sink took", self.events_flushed.clone());
        registry.register("keyplane_events_dropped", "Events that were lost, by reason", self.events_dropped.clone());
        registry.register(
            "keyplane_migrated_keys",
            "Keys imported by their long token of which the whole key was learnt here",
            self.migrated.clone(),
        );
        registry.register(
            "keyplane_migrated_keys_lost",
            "Keys that could not be learnt, or not be written into their objects, for want of room",
            self.migrated_lost.clone(),
        );
        self.index_stands(Standing::default(), Millis(0));
        registry.register(
            "keyplane_index_age_seconds",
            "How old what is held in memory may be: 0 while the registry is heard, NaN before anything is held",
            self.index_age.clone(),
        );
        registry.register(
            "keyplane_index_source",
            "1 for where what is held in memory came from: registry, snapshot or none",
            self.index_source.clone(),
        );
        registry.register("keyplane_feed_errors", "Times that a watch of the registry broke", self.feed_errors.clone());
    }

    /// Registers what is known of a snapshot, where one is kept.
    pub fn register_snapshot(&self, registry: &mut Registry) {
        let SnapshotGauges { age, objects, bytes, writes, failures } = self.snapshot.clone();
        age.set(f64::NAN);
        registry.register(
            "keyplane_snapshot_age_seconds",
            "How old the snapshot on the disk is; NaN: there is none that can be used",
            age,
        );
        registry.register("keyplane_snapshot_objects", "Objects in the snapshot on the disk", objects);
        registry.register("keyplane_snapshot_bytes", "Size of the snapshot's file", bytes);
        registry.register("keyplane_snapshot_writes", "Times that the snapshot was written", writes);
        registry.register("keyplane_snapshot_failures", "Times that the snapshot could not be written", failures);
    }

    /// What is known of the snapshot now.
    pub fn snapshot_is(&self, facts: &Facts, now: Millis) {
        let SnapshotGauges { age, objects, bytes, writes, failures } = &self.snapshot;
        age.set(facts.as_of.map_or(f64::NAN, |as_of| seconds(now.0.saturating_sub(as_of.0).max(0))));
        objects.set(i64::try_from(facts.objects).unwrap_or(i64::MAX));
        bytes.set(i64::try_from(facts.bytes).unwrap_or(i64::MAX));
        writes.inner().store(facts.writes, Ordering::Relaxed);
        failures.inner().store(facts.failures, Ordering::Relaxed);
    }

    /// What the index is worth now.
    pub fn index_stands(&self, standing: Standing, now: Millis) {
        self.index_age.set(standing.age(now).map_or(f64::NAN, seconds));
        let is = standing.origin();
        for (source, of) in [("registry", Some(Origin::Registry)), ("snapshot", Some(Origin::Snapshot)), ("none", None)]
        {
            self.index_source.get_or_create(&SourceLabel { source }).set(i64::from(is == of));
        }
    }

    /// For the one [`Admission`](crate::http::Admission) of the process.
    pub fn load(&self) -> Load {
        let shed = |reason| self.shed.get_or_create(&ReasonLabel { reason }).clone();
        Load {
            shed_requests: shed("requests"),
            shed_body_bytes: shed("body_bytes"),
            slow_bodies: shed("slow_body"),
            ..self.load.clone()
        }
    }

    /// The gate through which verifications wait.
    pub fn waits(&self) -> &Waits {
        &self.waits
    }

    fn dropped(&self, loss: Loss) -> Counter {
        self.events_dropped.get_or_create(&ReasonLabel { reason: loss.as_str() }).clone()
    }

    /// What happened to events so far.
    pub fn events_are(&self, stats: &events::Stats) {
        self.events_queued.set(i64::try_from(stats.queued).unwrap_or(i64::MAX));
        self.events_flushed.inner().store(stats.flushed, Ordering::Relaxed);
        for (loss, count) in Loss::ALL.into_iter().zip(stats.dropped) {
            self.dropped(loss).inner().store(count, Ordering::Relaxed);
        }
    }

    /// What was learnt of keys imported by their long token.
    pub fn migrations_hold(&self, held: usize, lost: u64) {
        self.migrated.set(i64::try_from(held).unwrap_or(i64::MAX));
        self.migrated_lost.inner().store(lost, Ordering::Relaxed);
    }

    /// A verification was answered.
    pub fn verified(&self, code: Code) {
        if let Some(count) = self.verifications.codes.get(code as usize) {
            count.inc();
        }
    }

    /// A request was answered without the router. Cost: an atomic addition for a success, a search by labels for the rest.
    pub fn answered_directly(&self, route: DirectRoute, status: StatusCode) {
        match self.requests.direct.get(route as usize) {
            Some(successes) if status == StatusCode::OK => drop(successes.inc()),
            _ => self.answered(route.path(), status),
        }
    }

    /// A request was answered. `route` is the pattern, not the path.
    pub fn answered(&self, route: &str, status: StatusCode) {
        self.requests.all.get_or_create(&RequestLabels { route: route.to_owned(), status: status.as_u16() }).inc();
    }

    /// A limit was asked for.
    pub fn rate_limited(&self, passed: bool) {
        self.rate_limits.get_or_create(&OutcomeLabel { outcome: if passed { "passed" } else { "denied" } }).inc();
    }

    /// What the counters hold now.
    pub fn counters_hold(&self, held: Held) {
        self.counters.set(i64::try_from(held.counters).unwrap_or(i64::MAX));
        self.counter_bytes.set(i64::try_from(held.bytes).unwrap_or(i64::MAX));
        self.refused(held.refused);
    }

    fn refused(&self, Refused { full, namespace, key }: Refused) {
        for (share, count) in [("table", full), ("namespace", namespace), ("key", key)] {
            let gauge = self.counters_refused.get_or_create(&ShareLabel { share });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// What is held of credits now.
    pub fn balances_hold(&self, held: credits::Held) {
        self.balances.set(i64::try_from(held.balances).unwrap_or(i64::MAX));
        self.balances_refused.set(i64::try_from(held.refused).unwrap_or(i64::MAX));
    }

    /// An event came from the registry.
    pub fn feed_event(&self) {
        self.feed_events.inc();
    }

    /// A watch broke.
    pub fn feed_error(&self) {
        self.feed_errors.inc();
    }

    /// What the feed holds now.
    pub fn index_holds(&self, keys: usize, root_keys: usize) {
        self.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
        self.root_keys.set(i64::try_from(root_keys).unwrap_or(i64::MAX));
    }
}
