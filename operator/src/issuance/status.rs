//! The status that follows from the decisions: pure; says also whether writing it would change anything and what to tell people.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use keyplane_api::condition::{ConditionStatus, NewCondition, READY, find_condition, set_condition};
use keyplane_api::{API_VERSION, CurrentKey};
use keyplane_core::hash::KeyHash;
use serde_json::{Value, json};

use super::decide::Material;
use super::kind::StatusView;
use super::readiness::Ready;
use crate::events::Said;

/// The fields of the status that issuance owns. What it does not name (rotation, propagation, usage) belongs to others.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Status {
    key_id: String,
    start: Option<String>,
    current: Option<CurrentKey>,
    secret_name: Option<String>,
    ready: Condition,
}

/// Puts the status together. What the object says already is kept where the material says so.
pub(super) fn status(
    id: String,
    generation: Option<i64>,
    material: &Material,
    ready: &Ready,
    old: StatusView<'_>,
    now: Time,
) -> Status {
    let mut conditions: Vec<Condition> = find_condition(old.conditions, READY).cloned().into_iter().collect();
    let condition = NewCondition {
        type_: READY,
        status: ConditionStatus::from(ready.holds),
        reason: ready.reason,
        message: ready.message.clone(),
        observed_generation: generation,
    };
    set_condition(&mut conditions, condition.clone(), now.clone());
    let ready = conditions.pop().unwrap_or_else(|| fresh(condition, now.clone()));
    let (start, current, secret_name) = match material {
        Material::Known(known) => {
            let issued_at = known.issued_at.clone().unwrap_or(now);
            let current = CurrentKey { sha256: known.hash.to_hex(), issued_at };
            (known.start.clone(), Some(current), known.secret_name.clone())
        }
        Material::Prefixed { long_token, .. } => {
            // Written by whoever saw the first use. The long token's own hash is nobody's word about the whole key.
            let whole = old.current.filter(|current| KeyHash::parse(&current.sha256) != Ok(*long_token));
            (whole.and(old.start).map(str::to_owned), whole.cloned(), None)
        }
        Material::Trouble { keep: true, .. } => {
            (old.start.map(str::to_owned), old.current.cloned(), old.secret_name.map(str::to_owned))
        }
        Material::Trouble { keep: false, .. } | Material::Generate { .. } => (None, None, None),
    };
    Status { key_id: id, start, current, secret_name, ready }
}

fn fresh(new: NewCondition, now: Time) -> Condition {
    Condition {
        type_: new.type_.to_owned(),
        status: new.status.as_str().to_owned(),
        reason: new.reason.to_owned(),
        message: new.message,
        observed_generation: new.observed_generation,
        last_transition_time: now,
    }
}

impl Status {
    /// Whether the object shows something else, so that a write is due. An absent `start` beside a hash is not ours to remove: who
    /// imported the hash may know it and have written it.
    pub(super) fn differs_from(&self, old: StatusView<'_>) -> bool {
        let start_differs = self.start.as_deref() != old.start && (self.start.is_some() || self.current.is_none());
        Some(self.key_id.as_str()) != old.key_id
            || start_differs
            || self.current.as_ref() != old.current
            || self.secret_name.as_deref() != old.secret_name
            || find_condition(old.conditions, READY) != Some(&self.ready)
    }

    /// The apply patch of the status subresource. The uid makes the API server refuse it for an object that was made anew.
    pub(super) fn patch(&self, kind: &str, uid: &str) -> Value {
        let mut status = json!({ "keyId": self.key_id, "conditions": [self.ready] });
        let mut set = |field: &str, value: Option<Value>| {
            if let Some(value) = value {
                status[field] = value;
            }
        };
        set("start", self.start.clone().map(Value::from));
        set("current", self.current.as_ref().map(|current| json!(current)));
        set("secretName", self.secret_name.clone().map(Value::from));
        json!({ "apiVersion": API_VERSION, "kind": kind, "metadata": { "uid": uid }, "status": status })
    }

    /// What to tell people: only when the reason of the Ready condition is another than before.
    pub(super) fn news(&self, old: StatusView<'_>) -> Option<Said> {
        let before = find_condition(old.conditions, READY).map(|condition| condition.reason.as_str());
        (before != Some(self.ready.reason.as_str())).then(|| Said {
            warning: self.ready.status != "True",
            reason: self.ready.reason.clone(),
            note: self.ready.message.clone(),
            action: "Issue",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::Timestamp;
    use keyplane_api::condition::reason;

    use super::super::decide::Known;

    fn time(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn issued() -> Ready {
        Ready { holds: true, reason: reason::ISSUED, message: "fine".to_owned() }
    }

    fn missing() -> Ready {
        Ready { holds: false, reason: reason::SECRET_MISSING, message: "gone".to_owned() }
    }

    fn known() -> Material {
        let start = Some("pay_3kTq".to_owned());
        Material::Known(Known { hash: KeyHash::of("k"), issued_at: None, start, secret_name: Some("s".to_owned()) })
    }

    /// The view of an object that has exactly this status.
    fn view(status: &Status) -> (Option<&str>, [Condition; 1]) {
        (Some(&status.key_id), [status.ready.clone()])
    }

    fn seen<'a>(status: &'a Status, conditions: &'a [Condition]) -> StatusView<'a> {
        StatusView {
            key_id: Some(&status.key_id),
            start: status.start.as_deref(),
            current: status.current.as_ref(),
            secret_name: status.secret_name.as_deref(),
            conditions,
        }
    }

    #[test]
    fn a_written_status_is_not_written_again() {
        let first = status("key_x".to_owned(), Some(1), &known(), &issued(), StatusView::default(), time(1));
        assert!(first.differs_from(StatusView::default()));
        let (_, conditions) = view(&first);
        let old = seen(&first, &conditions);
        let material = Material::Known(Known {
            hash: KeyHash::of("k"),
            issued_at: first.current.as_ref().map(|current| current.issued_at.clone()),
            start: first.start.clone(),
            secret_name: first.secret_name.clone(),
        });
        let second = status("key_x".to_owned(), Some(1), &material, &issued(), old, time(99));
        assert!(!second.differs_from(old), "later and otherwise the same");
        assert_eq!(second.news(old), None);
        let edited = status("key_x".to_owned(), Some(2), &material, &issued(), old, time(99));
        assert!(edited.differs_from(old), "the observed generation is news");
        assert_eq!(edited.ready.last_transition_time, time(1), "the transition is not");
        assert_eq!(edited.news(old), None, "and no event either");
    }

    #[test]
    fn kept_and_dropped_hashes() {
        let first = status("key_x".to_owned(), Some(1), &known(), &issued(), StatusView::default(), time(1));
        let (_, conditions) = view(&first);
        let old = seen(&first, &conditions);
        let trouble = |keep| Material::Trouble { reason: reason::SECRET_MISSING, message: "gone".to_owned(), keep };
        let kept = status("key_x".to_owned(), Some(1), &trouble(true), &missing(), old, time(5));
        assert_eq!((&kept.current, &kept.start, &kept.secret_name), (&first.current, &first.start, &first.secret_name));
        assert_eq!(kept.ready.last_transition_time, time(5));
        assert_eq!(kept.news(old).map(|said| (said.warning, said.reason)), Some((true, "SecretMissing".to_owned())));
        let dropped = status("key_x".to_owned(), Some(1), &trouble(false), &missing(), old, time(5));
        assert!(dropped.current.is_none() && dropped.differs_from(old));
        assert!(dropped.patch("ApiKey", "u")["status"].get("current").is_none());
    }

    #[test]
    fn what_was_learnt_of_an_imported_key_stays_and_its_long_token_is_not_taken_for_it() {
        let long_token = KeyHash::of("long");
        let material = Material::Prefixed { long_token, lookup: KeyHash::of("lookup") };
        let status = |current: Option<KeyHash>| {
            let current = current.map(|hash| CurrentKey { sha256: hash.to_hex(), issued_at: time(3) });
            let old = StatusView { start: Some("p_shor"), current: current.as_ref(), ..StatusView::default() };
            let status = status("key_x".to_owned(), Some(1), &material, &issued(), old, time(5));
            (status.start.clone(), status.current.map(|current| (current.sha256, current.issued_at)))
        };
        let whole = KeyHash::of("p_short_long");
        assert_eq!(status(Some(whole)), (Some("p_shor".to_owned()), Some((whole.to_hex(), time(3)))));
        assert_eq!(status(Some(long_token)), (None, None));
        assert_eq!(status(None), (None, None));
    }

    #[test]
    fn the_patch_has_only_what_is_ours() {
        let first = status("key_x".to_owned(), Some(1), &known(), &issued(), StatusView::default(), time(1));
        let patch = first.patch("ApiKey", "uid-1");
        assert_eq!(patch["metadata"], json!({"uid": "uid-1"}));
        assert_eq!(patch["status"]["current"]["sha256"], KeyHash::of("k").to_hex());
        let fields: Vec<_> = patch["status"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(fields, ["conditions", "current", "keyId", "secretName", "start"]);
    }
}
