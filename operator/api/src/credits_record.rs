//! What verify pods make of a key's credits.
//!
//! Numbers that are none (the API server refuses them; a manifest may hold them) err on the strict side: a negative balance is an empty
//! one, and a refill that no rule can be made of never comes.

use keyplane_core::counter_id::CounterId;
use keyplane_core::credits::{CreditsRecord, Opening, Refill};
use keyplane_core::time::Millis;

use crate::{ApiKey, RefillInterval};

/// The credits of a key with this id; `None` when it may be used without end.
pub fn credits_record(key: &ApiKey, key_id: &str) -> Option<CreditsRecord> {
    let (metadata, credits) = (&key.metadata, key.spec.credits.as_ref()?);
    let remaining = u64::try_from(credits.remaining?).unwrap_or(0);
    let set_at = credits.set_at.as_ref().map(|time| Millis(time.0.as_millisecond()));
    Some(CreditsRecord {
        counter: CounterId::credits(metadata.namespace.as_deref().unwrap_or_default(), key_id),
        opening: Opening { remaining, set_at },
        refill: credits.refill.as_ref().and_then(refill),
        created: metadata.creation_timestamp.as_ref().map(|time| Millis(time.0.as_millisecond())),
        generation: metadata.generation.unwrap_or(0),
    })
}

fn refill(given: &crate::Refill) -> Option<Refill> {
    match given.interval {
        RefillInterval::Daily => Refill::daily(given.amount).ok(),
        RefillInterval::Monthly => Refill::monthly(given.amount, given.day.unwrap_or(1)).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(credits: &str) -> Option<CreditsRecord> {
        let yaml = format!(
            "{{apiVersion: keyplane.dev/v1alpha1, kind: ApiKey, metadata: {{name: a, namespace: n, uid: u, generation: 3, creationTimestamp: \"1970-01-01T00:00:07Z\"}}, spec: {{key: {{generate: {{}}}}{credits}}}}}"
        );
        credits_record(&serde_yaml::from_str(&yaml).unwrap(), "key_1")
    }

    #[test]
    fn a_key_without_a_balance_is_unlimited() {
        assert_eq!(record(""), None);
        assert_eq!(record(", credits: {}"), None);
    }

    #[test]
    fn all_that_is_written_is_read() {
        let expected = CreditsRecord {
            counter: CounterId::credits("n", "key_1"),
            opening: Opening { remaining: 5, set_at: Some(Millis(9_000)) },
            refill: Refill::monthly(100, 31).ok(),
            created: Some(Millis(7_000)),
            generation: 3,
        };
        let written = ", credits: {remaining: 5, setAt: \"1970-01-01T00:00:09Z\", refill: {interval: Monthly, amount: 100, day: 31}}";
        assert_eq!(record(written), Some(expected));
        let refill = |text: &str| record(&format!(", credits: {{remaining: 0, refill: {text}}}")).unwrap().refill;
        assert_eq!(refill("{interval: Daily, amount: 7}"), Refill::daily(7).ok());
        assert_eq!(refill("{interval: Monthly, amount: 7}"), Refill::monthly(7, 1).ok());
    }

    #[test]
    fn numbers_that_are_none_are_strict() {
        let record = record(", credits: {remaining: -5, refill: {interval: Daily, amount: 0}}").unwrap();
        assert_eq!((record.opening.remaining, record.refill), (0, None));
    }
}
