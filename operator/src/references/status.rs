//! What an object's status shows and shall show: pure; says also whether a write is due, and when.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use keyplane_api::API_VERSION;
use keyplane_api::condition::{NewCondition, set_condition};
use serde_json::{Map, Value, json};

use super::object::Kind;

/// Numbers that follow from other objects. Alone they are no reason to write at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Keys of a limit, a keyspace or an identity.
    pub(super) keys: Option<i64>,
    /// The names of some of them.
    pub(super) sample: Vec<String>,
    /// Overrides of a limit.
    pub(super) overrides: Option<i64>,
}

/// The part of a status that is ours.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shown {
    pub(super) id: Option<String>,
    pub(super) counts: Counts,
    /// Only those of our types.
    pub(super) conditions: Vec<Condition>,
}

/// What was decided about an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) id: Option<String>,
    pub(super) counts: Counts,
    pub(super) conditions: Vec<NewCondition>,
}

/// How soon a status must be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// It shows all of it already.
    Never,
    /// Only a count is another, and is as large as before in the one way that matters: whether there is anything.
    Later,
    /// A condition, an id, or whether a count is 0.
    Now,
}

/// The status that shows this verdict. Conditions keep their transition times.
pub(super) fn next(old: &Shown, verdict: Verdict, now: &Time) -> Shown {
    let mut conditions = old.conditions.clone();
    conditions.retain(|old| verdict.conditions.iter().any(|new| new.type_ == old.type_));
    for condition in verdict.conditions {
        set_condition(&mut conditions, condition, now.clone());
    }
    // By type: the order in the object is the API server's affair.
    conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    Shown { id: verdict.id, counts: verdict.counts, conditions }
}

/// Whether `new` must be written over `old`.
pub(super) fn urgency(old: &Shown, new: &Shown) -> Urgency {
    let something = |count: Option<i64>| count.map(|count| count > 0);
    let crossed = |old, new| something(old) != something(new);
    if !same_conditions(old, new)
        || old.id != new.id
        || crossed(old.counts.keys, new.counts.keys)
        || crossed(old.counts.overrides, new.counts.overrides)
    {
        return Urgency::Now;
    }
    if old.counts == new.counts { Urgency::Never } else { Urgency::Later }
}

fn same_conditions(old: &Shown, new: &Shown) -> bool {
    let has = |condition| old.conditions.contains(condition);
    old.conditions.len() == new.conditions.len() && new.conditions.iter().all(has)
}

/// The apply patch of the status subresource: what is ours and nothing else. The uid makes the API server refuse it for an object that was
/// made anew.
pub(super) fn patch(kind: Kind, uid: &str, shown: &Shown) -> Value {
    let keys = if kind == Kind::RateLimit { "matchedKeys" } else { "keys" };
    let Shown { id, counts: Counts { keys: count, sample, overrides }, conditions } = shown;
    let sample = (!sample.is_empty()).then(|| json!(sample));
    let fields = [
        ("id", id.as_ref().map(|id| json!(id))),
        (keys, count.map(|count| json!(count))),
        ("sample", sample),
        ("overrides", overrides.map(|count| json!(count))),
        ("conditions", (!conditions.is_empty()).then(|| json!(conditions))),
    ];
    let status: Map<String, Value> =
        fields.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))).collect();
    json!({ "apiVersion": API_VERSION, "kind": kind.as_str(), "metadata": { "uid": uid }, "status": status })
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::Timestamp;
    use keyplane_api::condition::{ConditionStatus, READY, REFERENCES_RESOLVED, reason};

    fn time(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn condition(type_: &'static str, reason: &'static str, holds: bool) -> NewCondition {
        let status = ConditionStatus::from(holds);
        NewCondition { type_, status, reason, message: "as observed".to_owned(), observed_generation: Some(1) }
    }

    fn verdict(keys: i64, conditions: Vec<NewCondition>) -> Verdict {
        let counts = Counts { keys: Some(keys), ..Counts::default() };
        Verdict { id: Some("rlns_x".to_owned()), counts, conditions }
    }

    #[test]
    fn a_written_status_is_not_written_again() {
        let ready = condition(READY, reason::IN_USE, true);
        let first = next(&Shown::default(), verdict(1, vec![ready.clone()]), &time(1));
        assert_eq!(urgency(&Shown::default(), &first), Urgency::Now);
        let second = next(&first, verdict(1, vec![ready]), &time(99));
        assert_eq!((urgency(&first, &second), &second), (Urgency::Never, &first));
    }

    #[test]
    fn counts_wait_unless_they_leave_or_reach_nothing() {
        let shown = |keys: Option<i64>, overrides: Option<i64>| Shown {
            counts: Counts { keys, overrides, sample: Vec::new() },
            ..Shown::default()
        };
        for (old, new, expected) in [
            ((None, None), (Some(0), None), Urgency::Now),
            ((Some(0), None), (Some(1), None), Urgency::Now),
            ((Some(1), None), (Some(2), None), Urgency::Later),
            ((Some(2), None), (Some(0), None), Urgency::Now),
            ((Some(2), Some(0)), (Some(2), Some(3)), Urgency::Now),
            ((Some(2), Some(3)), (Some(2), Some(4)), Urgency::Later),
            ((Some(2), Some(3)), (Some(2), Some(3)), Urgency::Never),
        ] {
            assert_eq!(urgency(&shown(old.0, old.1), &shown(new.0, new.1)), expected, "{old:?} -> {new:?}");
        }
        let sample = |name: &str| Shown {
            counts: Counts { sample: vec![name.to_owned()], ..Counts::default() },
            ..shown(None, None)
        };
        assert_eq!(urgency(&sample("a"), &sample("b")), Urgency::Later);
    }

    #[test]
    fn a_condition_that_no_longer_applies_goes_and_the_order_does_not_matter() {
        let both = vec![condition(READY, reason::IN_USE, true), condition(REFERENCES_RESOLVED, reason::RESOLVED, true)];
        let shown = next(&Shown::default(), verdict(1, both), &time(1));
        let mut reversed = shown.clone();
        reversed.conditions.reverse();
        assert_eq!(urgency(&reversed, &shown), Urgency::Never);
        let alone = next(&shown, verdict(1, vec![condition(READY, reason::IN_USE, true)]), &time(2));
        assert_eq!((alone.conditions.len(), urgency(&shown, &alone)), (1, Urgency::Now));
        assert_eq!(alone.conditions[0].last_transition_time, time(1));
    }

    #[test]
    fn the_patch_has_only_what_is_ours() {
        let key = next(
            &Shown::default(),
            Verdict {
                id: None,
                counts: Counts::default(),
                conditions: vec![condition(REFERENCES_RESOLVED, reason::ROLE_NOT_FOUND, false)],
            },
            &time(1),
        );
        let patch = patch(Kind::ApiKey, "uid-1", &key);
        assert_eq!(patch["metadata"], json!({"uid": "uid-1"}));
        let fields: Vec<_> = patch["status"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(fields, ["conditions"]);
        let limit = Shown {
            id: Some("rlns_x".to_owned()),
            counts: Counts { keys: Some(2), sample: vec!["a".to_owned()], overrides: Some(0) },
            conditions: Vec::new(),
        };
        let expected = json!({"id": "rlns_x", "matchedKeys": 2, "sample": ["a"], "overrides": 0});
        assert_eq!(super::patch(Kind::RateLimit, "u", &limit)["status"], expected);
        let counts = Counts { keys: Some(2), ..Counts::default() };
        assert_eq!(
            super::patch(Kind::Keyspace, "u", &Shown { counts, ..Shown::default() })["status"],
            json!({"keys": 2})
        );
    }
}
