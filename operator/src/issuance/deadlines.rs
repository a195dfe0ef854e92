//! When keys expire and when they rotate next, as metrics: fed by the watch, read by a scrape.
//!
//! ```text
//! keyplane_operator_key_expiry_timestamp_seconds{controller="ApiKey",namespace="team-a",name="acme"} 1798761600
//! keyplane_operator_key_next_rotation_timestamp_seconds{controller="ApiKey",namespace="team-a",name="acme"} 1798761600
//! ```
//!
//! Cardinality: a key has a series only if it has the time in question, and only the [`SHOWN`] soonest of each family are shown, so a cluster with a
//! million keys has as many series as one with a thousand. An alert looks at the soonest anyway. What was over a day ago is not shown,
//! lest old expired keys take the places of those that will expire.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::clock;

/// Series of one family at most: 100 KiB of text.
pub const SHOWN: usize = 1_000;
/// How long a time that is over is still shown.
const OVER: SignedDuration = SignedDuration::from_hours(24);

/// The labels of a series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct Labels {
    controller: &'static str,
    namespace: String,
    name: String,
}

/// The two times of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// When it expires.
    pub expiry: Option<Timestamp>,
    /// When it rotates next.
    pub next_rotation: Option<Timestamp>,
}

/// The times of all keys that have one. About 400 bytes for each; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Deadlines(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    times: HashMap<Labels, Times>,
    expiries: BTreeSet<(Timestamp, Labels)>,
    rotations: BTreeSet<(Timestamp, Labels)>,
}

impl Known {
    fn put(&mut self, labels: Labels, times: Times) {
        let before = if times == Times::default() {
            self.times.remove(&labels)
        } else {
            self.times.insert(labels.clone(), times)
        };
        let before = before.unwrap_or_default();
        let sets = [
            (&mut self.expiries, before.expiry, times.expiry),
            (&mut self.rotations, before.next_rotation, times.next_rotation),
        ];
        for (set, before, now) in sets.into_iter().filter(|(_, before, now)| before != now) {
            if let Some(before) = before {
                set.remove(&(before, labels.clone()));
            }
            set.extend(now.map(|now| (now, labels.clone())));
        }
    }
}

impl Deadlines {
    /// Notes the times of a key; none of them forgets it. Cost: O(log n).
    pub fn put(&self, controller: &'static str, namespace: &str, name: &str, times: Times) {
        let labels = Labels { controller, namespace: namespace.to_owned(), name: name.to_owned() };
        self.known().put(labels, times);
    }

    /// Forgets the keys of this kind that `exists` denies, by namespace and name.
    pub fn prune(&self, controller: &str, exists: impl Fn(&str, &str) -> bool) {
        let mut known = self.known();
        let is_gone = |labels: &&Labels| labels.controller == controller && !exists(&labels.namespace, &labels.name);
        let gone: Vec<Labels> = known.times.keys().filter(is_gone).cloned().collect();
        for labels in gone {
            known.put(labels, Times::default());
        }
    }

    fn encode_at(&self, mut encoder: DescriptorEncoder<'_>, now: Timestamp) -> Result<(), fmt::Error> {
        let from = now.checked_sub(OVER).unwrap_or(Timestamp::MIN);
        let known = self.known();
        let families = [
            ("key_expiry_timestamp_seconds", "When a key expires, of the 1000 that expire soonest", &known.expiries),
            (
                "key_next_rotation_timestamp_seconds",
                "When the next key is issued, of the 1000 that rotate soonest",
                &known.rotations,
            ),
        ];
        for (name, help, times) in families {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (time, labels) in times.iter().skip_while(|(time, _)| *time < from).take(SHOWN) {
                ConstGauge::new(time.as_second()).encode(metric.encode_family(labels)?)?;
            }
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Deadlines {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.encode_at(encoder, clock::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct At(Deadlines, Timestamp);

    impl Collector for At {
        fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
            self.0.encode_at(encoder, self.1)
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn expires(second: i64) -> Times {
        Times { expiry: Some(at(second)), next_rotation: None }
    }

    fn samples(deadlines: &Deadlines, now: i64) -> Vec<String> {
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(At(deadlines.clone(), at(now))));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn a_key_has_the_series_of_the_times_that_it_has() {
        let deadlines = Deadlines::default();
        deadlines.put("ApiKey", "n", "a", Times { expiry: Some(at(500)), next_rotation: Some(at(300)) });
        let labels = r#"{controller="ApiKey",namespace="n",name="a"}"#;
        let expiry = format!("key_expiry_timestamp_seconds{labels}");
        assert_eq!(
            samples(&deadlines, 0),
            [format!("{expiry} 500"), format!("key_next_rotation_timestamp_seconds{labels} 300")]
        );
        deadlines.put("ApiKey", "n", "a", expires(600));
        assert_eq!(samples(&deadlines, 0), [format!("{expiry} 600")]);
        deadlines.put("ApiKey", "n", "a", Times::default());
        assert_eq!(samples(&deadlines, 0), Vec::<String>::new());
        let known = deadlines.known();
        assert!(known.times.is_empty() && known.expiries.is_empty() && known.rotations.is_empty(), "{known:?}");
    }

    #[test]
    fn the_soonest_are_shown_and_what_is_long_over_takes_no_place() {
        let deadlines = Deadlines::default();
        for second in 0..3 * i64::try_from(SHOWN).unwrap() {
            deadlines.put("ApiKey", "n", &second.to_string(), expires(second));
        }
        let day = OVER.as_secs();
        let shown = samples(&deadlines, day + 500);
        assert_eq!(shown.len(), SHOWN);
        assert!(shown[0].ends_with(" 500") && shown[SHOWN - 1].ends_with(" 1499"), "{} {}", shown[0], shown[SHOWN - 1]);
    }

    #[test]
    fn what_was_deleted_unseen_is_pruned_and_other_kinds_are_not() {
        let deadlines = Deadlines::default();
        for (kind, name) in [("ApiKey", "a"), ("ApiKey", "b"), ("RootKey", "a")] {
            deadlines.put(kind, "n", name, expires(5));
        }
        deadlines.prune("ApiKey", |_, name| name == "b");
        let left = samples(&deadlines, 0);
        assert!(left.len() == 2 && left[0].contains("\"b\"") && left[1].contains("RootKey"), "{left:?}");
    }
}
