//! What every reconciler gets: handles, no behaviour.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kube::{Client, Resource, ResourceExt};

use crate::events::{Events, Said};
use crate::metrics::Metrics;
use crate::retry::{self, Class};

/// Handles that all controllers share.
#[derive(Clone)]
pub struct Context {
    /// The Kubernetes API.
    pub client: Client,
    /// Where events go.
    pub events: Events,
    /// What is counted.
    pub metrics: Metrics,
}

impl Context {
    /// Tells people of an object that this version cannot read. Nothing is done for it: applying a status with less in it than
    /// before would take the hash out of a key's status and so revoke it.
    pub fn unreadable<K: Resource<DynamicType = ()>>(&self, object: &K, error: &str) {
        let (namespace, name) = (object.namespace(), object.name_any());
        tracing::warn!(object.kind = %K::kind(&()), object.namespace = namespace, object.name = name, error, "an object cannot be read");
        let said = Said {
            warning: true,
            reason: "Unreadable".to_owned(),
            note: format!("this operator cannot read the object, so nothing is done for it: {error}"),
            action: "Read",
        };
        self.events.publish(object, said);
    }
}

/// Failures in a row, by object; the controller runtime keeps no such count.
#[derive(Default)]
pub struct Failures(Mutex<HashMap<String, u32>>);

/// Objects that fail and are then deleted leave an entry of about 100 bytes. At this many (1 MiB) all counts start over, which costs
/// the objects that still fail one early try.
const MOST: usize = 10_000;

impl Failures {
    /// Notes one more failure of `object` and says how long to wait.
    pub fn failed(&self, object: &str, class: Class) -> Duration {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MOST && !counts.contains_key(object) {
            counts.clear();
        }
        let count = counts.entry(object.to_owned()).or_default();
        *count = count.saturating_add(1);
        retry::delay(class, *count)
    }

    /// Forgets the failures of an object that succeeded.
    pub fn succeeded(&self, object: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_backs_off_by_itself_and_starts_over_after_a_success() {
        let failures = Failures::default();
        let first = failures.failed("a", Class::Transient);
        assert_eq!(failures.failed("a", Class::Transient), first * 2);
        assert_eq!(failures.failed("b", Class::Transient), first);
        failures.succeeded("a");
        assert_eq!(failures.failed("a", Class::Transient), first);
    }
}
