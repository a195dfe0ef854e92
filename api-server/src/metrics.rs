//! What this process counts. Labels come from fixed sets: nothing that a client sends becomes one.

use axum::http::StatusCode;
use keyplane_core::verify::Code;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::counters::Held;
use crate::credits;

/// The families, registered by [`Metrics::register`]. Updating one is an atomic addition.
#[derive(Default)]
pub struct Metrics {
    verifications: Family<CodeLabel, Counter>,
    requests: Family<RequestLabels, Counter>,
    keys: Gauge,
    root_keys: Gauge,
    feed_events: Counter,
    feed_errors: Counter,
    counters: Gauge,
    counters_refused: Gauge,
    balances: Gauge,
    balances_refused: Gauge,
    rate_limits: Family<OutcomeLabel, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
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

impl Metrics {
    /// Registers every family. Those with a fixed set of labels appear with zero from the start, so that a rate over them is defined.
    pub fn register(&self, registry: &mut Registry) {
        for code in Code::ALL {
            drop(self.verifications.get_or_create(&CodeLabel { code: code.as_str() }));
        }
        registry.register("keyplane_verifications", "Verifications by outcome", self.verifications.clone());
        registry.register("keyplane_http_requests", "Requests of the API by route and status", self.requests.clone());
        registry.register("keyplane_index_keys", "ApiKey objects held in memory", self.keys.clone());
        registry.register("keyplane_index_root_keys", "RootKey objects held in memory", self.root_keys.clone());
        registry.register("keyplane_feed_events", "Events taken from the registry", self.feed_events.clone());
        registry.register("keyplane_rate_limits", "Answers of ratelimit.limit by outcome", self.rate_limits.clone());
        registry.register("keyplane_counters", "Counters of limits held in memory", self.counters.clone());
        registry.register(
            "keyplane_counters_refused",
            "Requests refused because no new counter could be held",
            self.counters_refused.clone(),
        );
        registry.register("keyplane_balances", "Balances of credits held in memory", self.balances.clone());
        registry.register(
            "keyplane_balances_refused",
            "Verifications refused because no new balance of credits could be held",
            self.balances_refused.clone(),
        );
        registry.register("keyplane_feed_errors", "Times that a watch of the registry broke", self.feed_errors.clone());
    }

    /// A verification was answered.
    pub fn verified(&self, code: Code) {
        self.verifications.get_or_create(&CodeLabel { code: code.as_str() }).inc();
    }

    /// A request was answered. `route` is the pattern, not the path.
    pub fn answered(&self, route: &str, status: StatusCode) {
        self.requests.get_or_create(&RequestLabels { route: route.to_owned(), status: status.as_u16() }).inc();
    }

    /// A limit was asked for.
    pub fn rate_limited(&self, passed: bool) {
        self.rate_limits.get_or_create(&OutcomeLabel { outcome: if passed { "passed" } else { "denied" } }).inc();
    }

    /// What the counters hold now.
    pub fn counters_hold(&self, held: Held) {
        self.counters.set(i64::try_from(held.counters).unwrap_or(i64::MAX));
        self.counters_refused.set(i64::try_from(held.refused).unwrap_or(i64::MAX));
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
