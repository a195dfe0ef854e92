//! The status that follows from the decisions: pure; says also whether writing it would change anything and what to tell people.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use keyplane_api::condition::{ConditionStatus, NewCondition, READY, find_condition, set_condition};
use keyplane_api::{API_VERSION, CurrentKey};
use keyplane_core::hash::KeyHash;
use serde_json::{Value, json};

use super::decide::Material;
use super::kind::StatusView;
use super::readiness::Ready;
use super::rotation::{Cause, Turn};
use crate::events::Said;

/// The fields of the status that issuance owns. What it does not name (propagation, usage) belongs to others.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Status {
    key_id: String,
    start: Option<String>,
    current: Option<CurrentKey>,
    secret_name: Option<String>,
    turn: Turn,
    ready: Condition,
    expires_soon: Option<String>,
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
    let shown = conditions.pop().unwrap_or_else(|| fresh(condition, now.clone()));
    let mut shows = Turn::default();
    let (start, current, secret_name) = match material {
        Material::Known(known) => {
            let issued_at = known.issued_at.clone().unwrap_or(now);
            let current = CurrentKey { sha256: known.hash.to_hex(), issued_at };
            shows = known.turn.clone();
            (known.start.clone(), Some(current), known.secret_name.clone())
        }
        Material::Prefixed { long_token, .. } => {
            // Written by whoever saw the first use. The long token's own hash is nobody's word about the whole key.
            let whole = old.current.filter(|current| KeyHash::parse(&current.sha256) != Ok(*long_token));
            (whole.and(old.start).map(str::to_owned), whole.cloned(), None)
        }
        Material::Trouble { keep: true, turn, .. } => {
            shows = turn.clone();
            (old.start.map(str::to_owned), old.current.cloned(), old.secret_name.map(str::to_owned))
        }
        Material::Trouble { keep: false, .. } | Material::Issue(_) => (None, None, None),
    };
    let expires_soon = ready.expires_soon.clone();
    Status { key_id: id, start, current, secret_name, turn: shows, ready: shown, expires_soon }
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
            || self.turn.previous.as_ref() != old.previous
            || self.turn.next.as_ref() != old.next_rotation
            || self.turn.handled.as_deref() != old.handled
            || find_condition(old.conditions, READY) != Some(&self.ready)
    }

    /// Whether it may be written only over the very status that it was decided from: when a key takes the place of another or has done so, and while
    /// there is a previous one, which a copy that is behind could give its time back. Everything else is right whenever it is written.
    pub(super) fn is_delicate(&self, old: StatusView<'_>) -> bool {
        self.turn.is_delicate || self.replaces_key(old) || self.turn.previous.is_some() || old.previous.is_some()
    }

    /// Whether another key takes the place of the one that the object shows.
    fn replaces_key(&self, old: StatusView<'_>) -> bool {
        let hash = |key: &CurrentKey| key.sha256.clone();
        old.current.is_some() && self.current.as_ref().map(hash) != old.current.map(hash)
    }

    /// The apply patch of the status subresource. The uid makes the API server refuse it for an object that was made anew, the version, if
    /// given, for one that was changed.
    pub(super) fn patch(&self, kind: &str, uid: &str, version: Option<&str>) -> Value {
        let mut status = json!({ "keyId": self.key_id, "conditions": [self.ready] });
        let mut set = |field: &str, value: Option<Value>| {
            if let Some(value) = value {
                status[field] = value;
            }
        };
        set("start", self.start.clone().map(Value::from));
        set("current", self.current.as_ref().map(|current| json!(current)));
        set("previous", self.turn.previous.as_ref().map(|previous| json!(previous)));
        set("nextRotation", self.turn.next.as_ref().map(|next| json!(next)));
        set("handledRotate", self.turn.handled.clone().map(Value::from));
        set("secretName", self.secret_name.clone().map(Value::from));
        let mut metadata = json!({ "uid": uid });
        if let Some(version) = version {
            metadata["resourceVersion"] = version.into();
        }
        json!({ "apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "status": status })
    }

    /// What to tell people: another reason of the Ready condition, another key, a request that has to wait, an end that is near. Each follows
    /// from what the object showed before, so it is said once, by whichever operator makes the change.
    pub(super) fn news(&self, old: StatusView<'_>, generated: bool, cause: Option<Cause>) -> Vec<Said> {
        let before = find_condition(old.conditions, READY);
        let is_new_reason = before.map(|ready| ready.reason.as_str()) != Some(self.ready.reason.as_str());
        let ready = is_new_reason.then(|| Said {
            warning: self.ready.status != "True",
            reason: self.ready.reason.clone(),
            note: self.ready.message.clone(),
            action: "Issue",
        });
        let replaced = self.secret_name.as_deref().filter(|_| generated && self.replaces_key(old));
        let replaced = replaced.map(|secret| self.replaced(secret, old, cause));
        let is_deferred = self.turn.deferred && self.turn.next.as_ref() != old.next_rotation;
        let deferred = self.turn.next.as_ref().filter(|_| is_deferred).map(|next| Said {
            warning: false,
            reason: "RotationDeferred".to_owned(),
            note: format!(
                "the key replaced last is valid until {0}, and at most two are valid at once: the next one is issued at {0}; \
                 a shorter spec.rotation.overlap ends that key sooner",
                next.0
            ),
            action: "Rotate",
        });
        let is_said = |end: &&str| before.is_some_and(|before| before.message.ends_with(*end));
        let expires = self.expires_soon.as_deref().filter(|end| !is_said(end)).map(|_| Said {
            warning: true,
            reason: "ExpiresSoon".to_owned(),
            note: self.ready.message.clone(),
            action: "Issue",
        });
        [ready, replaced, deferred, expires].into_iter().flatten().collect()
    }

    fn replaced(&self, secret: &str, old: StatusView<'_>, cause: Option<Cause>) -> Said {
        let (lost, why) = match cause {
            Some(Cause::SecretDeleted) => (true, "the Secret with the key was deleted: "),
            Some(Cause::SecretEdited) => (true, "the Secret did not hold the issued key any more: "),
            Some(Cause::Request) => (false, "as requested, "),
            Some(Cause::Schedule | Cause::First) | None => (false, ""),
        };
        let before = old.start.map_or_else(String::new, |start| format!(", which begins with {start},"));
        let end = match &self.turn.previous {
            Some(previous) => format!("is valid until {}", previous.valid_until.0),
            None => "is not valid any more".to_owned(),
        };
        Said {
            warning: lost,
            reason: if lost { "SecretReplaced" } else { "Rotated" }.to_owned(),
            note: format!("{why}a new key is in Secret `{secret}`; the one before{before} {end}"),
            action: "Rotate",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::Timestamp;
    use keyplane_api::PreviousKey;
    use keyplane_api::condition::reason;

    use super::super::decide::Known;

    fn time(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn issued() -> Ready {
        Ready { holds: true, reason: reason::ISSUED, message: "fine".to_owned(), expires_soon: None }
    }

    fn missing() -> Ready {
        Ready { holds: false, reason: reason::SECRET_MISSING, message: "gone".to_owned(), expires_soon: None }
    }

    fn known() -> Material {
        let start = Some("pay_3kTq".to_owned());
        let (hash, secret_name) = (KeyHash::of("k"), Some("s".to_owned()));
        Material::Known(Known { hash, issued_at: None, start, secret_name, turn: Turn::default() })
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
            previous: status.turn.previous.as_ref(),
            next_rotation: status.turn.next.as_ref(),
            handled: status.turn.handled.as_deref(),
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
            turn: Turn::default(),
        });
        let second = status("key_x".to_owned(), Some(1), &material, &issued(), old, time(99));
        assert!(!second.differs_from(old), "later and otherwise the same");
        assert_eq!(second.news(old, true, None), []);
        let edited = status("key_x".to_owned(), Some(2), &material, &issued(), old, time(99));
        assert!(edited.differs_from(old), "the observed generation is news");
        assert_eq!(edited.ready.last_transition_time, time(1), "the transition is not");
        assert_eq!(edited.news(old, true, None), [], "and no event either");
    }

    #[test]
    fn kept_and_dropped_hashes() {
        let first = status("key_x".to_owned(), Some(1), &known(), &issued(), StatusView::default(), time(1));
        let (_, conditions) = view(&first);
        let old = seen(&first, &conditions);
        let trouble = |keep| super::super::decide::trouble(reason::SECRET_MISSING, "gone".to_owned(), keep);
        let kept = status("key_x".to_owned(), Some(1), &trouble(true), &missing(), old, time(5));
        assert_eq!((&kept.current, &kept.start, &kept.secret_name), (&first.current, &first.start, &first.secret_name));
        assert_eq!(kept.ready.last_transition_time, time(5));
        assert_eq!(said(&kept, old, None), [(true, "SecretMissing".to_owned())]);
        let dropped = status("key_x".to_owned(), Some(1), &trouble(false), &missing(), old, time(5));
        assert!(dropped.current.is_none() && dropped.differs_from(old));
        assert!(dropped.patch("ApiKey", "u", None)["status"].get("current").is_none());
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

    fn said(status: &Status, old: StatusView<'_>, cause: Option<Cause>) -> Vec<(bool, String)> {
        status.news(old, true, cause).into_iter().map(|said| (said.warning, said.reason)).collect()
    }

    #[test]
    fn a_replaced_key_is_told_of_with_the_end_of_the_one_before() {
        let first = status("key_x".to_owned(), Some(1), &known(), &issued(), StatusView::default(), time(1));
        let (_, conditions) = view(&first);
        let old = seen(&first, &conditions);
        let previous = PreviousKey { sha256: KeyHash::of("k").to_hex(), valid_until: time(60) };
        let turn =
            Turn { previous: Some(previous), next: Some(time(90)), handled: Some("1".to_owned()), ..Turn::default() };
        let Material::Known(known) = known() else { panic!("not known") };
        let material = Material::Known(Known { hash: KeyHash::of("next"), turn, ..known });
        let second = status("key_x".to_owned(), Some(1), &material, &issued(), old, time(5));
        assert!(second.is_delicate(old) && second.differs_from(old) && !first.is_delicate(old));
        let patch = second.patch("ApiKey", "u", None);
        assert_eq!(
            patch["status"]["previous"],
            json!({"sha256": KeyHash::of("k").to_hex(), "validUntil": "1970-01-01T00:01:00Z"})
        );
        assert_eq!(
            (&patch["status"]["nextRotation"], &patch["status"]["handledRotate"]),
            (&json!("1970-01-01T00:01:30Z"), &json!("1"))
        );
        let told = second.news(old, true, Some(Cause::Request)).remove(0);
        assert_eq!((told.warning, told.reason.as_str()), (false, "Rotated"));
        assert!(told.note.contains("pay_3kTq") && told.note.contains("1970-01-01T00:01:00Z"), "{}", told.note);
        assert_eq!(said(&second, old, Some(Cause::SecretDeleted)), [(true, "SecretReplaced".to_owned())]);
        assert_eq!(second.news(old, false, None), [], "a key that somebody brought");
        let (_, conditions) = view(&second);
        assert_eq!(said(&second, seen(&second, &conditions), None), [], "said once");
    }

    #[test]
    fn an_end_that_is_near_and_a_request_that_waits_are_told_once() {
        let first = status("key_x".to_owned(), Some(1), &known(), &issued(), StatusView::default(), time(1));
        let (_, conditions) = view(&first);
        let Material::Known(known) = known() else { panic!("not known") };
        let turn = Turn { next: Some(time(60)), deferred: true, ..Turn::default() };
        let material = Material::Known(Known { turn, ..known });
        let soon = Ready { message: "fine; soon".to_owned(), expires_soon: Some("; soon".to_owned()), ..issued() };
        let second = status("key_x".to_owned(), Some(1), &material, &soon, seen(&first, &conditions), time(5));
        let told = said(&second, seen(&first, &conditions), None);
        assert_eq!(told, [(false, "RotationDeferred".to_owned()), (true, "ExpiresSoon".to_owned())]);
        let (_, conditions) = view(&second);
        assert_eq!(said(&second, seen(&second, &conditions), None), []);
    }

    #[test]
    fn the_patch_has_only_what_is_ours() {
        let first = status("key_x".to_owned(), Some(1), &known(), &issued(), StatusView::default(), time(1));
        assert_eq!(
            first.patch("ApiKey", "uid-1", Some("7"))["metadata"],
            json!({"uid": "uid-1", "resourceVersion": "7"})
        );
        let patch = first.patch("ApiKey", "uid-1", None);
        assert_eq!(patch["metadata"], json!({"uid": "uid-1"}));
        assert_eq!(patch["status"]["current"]["sha256"], KeyHash::of("k").to_hex());
        let fields: Vec<_> = patch["status"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(fields, ["conditions", "current", "keyId", "secretName", "start"]);
    }
}
