//! The operator's metric families. Names and units: `keyplane_operator_<noun>_<unit>`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::issuance::deadlines::Deadlines;

/// Buckets in seconds: a reconcile that only reads takes 2 to 5 ms, one that writes twice 10 to 20 ms, a retried request up to seconds.
const SECONDS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.25, 1.0, 5.0];

/// The label that says which controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Controller {
    /// The kind that the controller reconciles.
    pub controller: &'static str,
}

/// The labels of a finished reconcile.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    /// The kind that the controller reconciles.
    pub controller: &'static str,
    /// `ok`, or the class of the error.
    pub result: &'static str,
}

/// The labels of keys that took the place of others.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Rotation {
    /// The kind that the controller reconciles.
    pub controller: &'static str,
    /// `schedule`, `request`, `secret_deleted` or `secret_edited`.
    pub cause: &'static str,
}

/// All metrics of the operator; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    /// 1 while this process runs the controllers.
    pub leader: Gauge,
    /// Finished reconciles.
    pub reconciles: Family<Outcome, Counter>,
    /// How long a reconcile took.
    pub reconcile_seconds: Family<Controller, Histogram>,
    /// Keys made, each into a Secret.
    pub keys_generated: Family<Controller, Counter>,
    /// Those of them that took the place of another.
    pub rotations: Family<Rotation, Counter>,
    /// When keys expire and rotate.
    pub deadlines: Deadlines,
    /// Statuses written; stands still when nothing changes.
    pub status_writes: Family<Controller, Counter>,
    /// Objects applied for pools; stands still when nothing changes.
    pub applied: Counter,
    /// Breaks of a watch, each followed by a new one.
    pub watch_errors: Family<Controller, Counter>,
    /// Events not published because the queue was full.
    pub events_dropped: Counter,
}

impl Metrics {
    /// Registers every family.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            leader: Gauge::default(),
            reconciles: Family::default(),
            reconcile_seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            keys_generated: Family::default(),
            rotations: Family::default(),
            deadlines: Deadlines::default(),
            status_writes: Family::default(),
            applied: Counter::default(),
            watch_errors: Family::default(),
            events_dropped: Counter::default(),
        };
        let registry = registry.sub_registry_with_prefix("keyplane_operator");
        registry.register(
            "leader",
            "1 while this process holds the lease and runs the controllers",
            metrics.leader.clone(),
        );
        registry.register("reconciles", "Finished reconciles by controller and result", metrics.reconciles.clone());
        registry.register("reconcile_seconds", "Duration of a reconcile", metrics.reconcile_seconds.clone());
        registry.register("keys_generated", "Keys generated into a Secret", metrics.keys_generated.clone());
        registry.register("rotations", "Keys that took the place of another, by cause", metrics.rotations.clone());
        registry.register_collector(Box::new(metrics.deadlines.clone()));
        registry.register("status_writes", "Statuses written", metrics.status_writes.clone());
        registry.register("applied_objects", "Objects applied for VerifyPools", metrics.applied.clone());
        registry.register("watch_errors", "Broken watches, each begun again", metrics.watch_errors.clone());
        registry.register("events_dropped", "Events lost because the queue was full", metrics.events_dropped.clone());
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_documented() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.leader.set(1);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("keyplane_operator_leader 1\n"), "{text}");
        assert!(text.contains("keyplane_operator_events_dropped_total 0\n"), "{text}");
    }
}
