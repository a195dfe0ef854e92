//! Conditions: what the operator observed, for people, `kubectl wait` and GitOps tools.
//!
//! All are positive: `True` is the state that one wishes for. (`Progressing` of a pool is the usual exception.)

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The object works as written. Every kind has it.
pub const READY: &str = "Ready";
/// The verify pods hold the observed generation.
pub const PROPAGATED: &str = "Propagated";
/// What the object names exists: roles and keyspaces of its own namespace. Nothing refers to another namespace. Absent while the
/// object never named a missing one, so that a key without trouble costs no write.
pub const REFERENCES_RESOLVED: &str = "ReferencesResolved";
/// A pool: enough pods are ready to serve.
pub const AVAILABLE: &str = "Available";
/// A pool: pods are being added, removed or replaced.
pub const PROGRESSING: &str = "Progressing";

/// Reasons of the conditions. They are part of the contract: alerts and scripts compare them.
pub mod reason {
    /// A key: it was issued or found and can be verified.
    pub const ISSUED: &str = "Issued";
    /// A key: the Secret or the entry that it refers to is not there.
    pub const SECRET_MISSING: &str = "SecretMissing";
    /// A key: the Secret is there and holds no usable key, or belongs to something else.
    pub const SECRET_MALFORMED: &str = "SecretMalformed";
    /// A key: an older object has the same hash and is the one that is served.
    pub const DUPLICATE_HASH: &str = "DuplicateHash";
    /// A key: no Keyspace of the name that it gives.
    pub const KEYSPACE_NOT_FOUND: &str = "KeyspaceNotFound";
    /// A key: its time is over.
    pub const EXPIRED: &str = "Expired";
    /// The spec has a value that no schema could refuse.
    pub const INVALID_SPEC: &str = "InvalidSpec";

    /// A limit, an override, a keyspace, an identity, a role or a permission: it is used as written.
    pub const IN_USE: &str = "InUse";
    /// As [`IN_USE`], and younger objects have the same name and are not used.
    pub const NAME_SHARED: &str = "NameShared";
    /// An older object has the same name and is the one that is used.
    pub const DUPLICATE_NAME: &str = "DuplicateName";
    /// A limit: it is used, but not all of the overrides that stand in it.
    pub const OVERRIDES_NOT_IN_USE: &str = "OverridesNotInUse";
    /// An override: no RateLimit of the name that it gives.
    pub const RATE_LIMIT_NOT_FOUND: &str = "RateLimitNotFound";
    /// An override: another one for the same identifier is older, or stands in the limit itself, and is the one that is used.
    pub const DUPLICATE_IDENTIFIER: &str = "DuplicateIdentifier";
    /// An override: another pattern matches all that it matches, and comes first.
    pub const SHADOWED: &str = "Shadowed";
    /// References: everything that the object names exists.
    pub const RESOLVED: &str = "Resolved";
    /// References: no KeyRole of a name in the list.
    pub const ROLE_NOT_FOUND: &str = "RoleNotFound";

    /// A pool: all pods run as written.
    pub const AS_SPECIFIED: &str = "AsSpecified";
    /// A pool: not all pods are ready.
    pub const PODS_NOT_READY: &str = "PodsNotReady";
    /// A pool: pods of an older revision are being replaced, or their number changes.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// A pool: an object could not be written.
    pub const APPLY_FAILED: &str = "ApplyFailed";

    /// Propagation: every pod holds the generation.
    pub const ON_ALL_PODS: &str = "OnAllPods";
    /// Propagation: some pods do not hold the generation yet.
    pub const ON_SOME_PODS: &str = "OnSomePods";
    /// Propagation: no pool serves this namespace, or nothing was heard from its pods.
    pub const NOT_OBSERVED: &str = "NotObserved";
}

/// The longest message that the API server takes, in characters.
const MAX_MESSAGE: usize = 32_768;

/// Whether the state that a condition names is the case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It is.
    True,
    /// It is not.
    False,
    /// Nobody knows yet.
    Unknown,
}

impl ConditionStatus {
    /// The word in the object.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(is: bool) -> Self {
        if is { Self::True } else { Self::False }
    }
}

/// A condition as it was observed just now. When its status changed is for [`set_condition`] to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCondition {
    /// What the condition is about, such as [`READY`].
    pub type_: &'static str,
    /// Whether it is the case.
    pub status: ConditionStatus,
    /// Why, as one CamelCase word of [`reason`].
    pub reason: &'static str,
    /// Why, for a person, and what to do about it. Never a secret.
    pub message: String,
    /// `metadata.generation` of the object that was looked at.
    pub observed_generation: Option<i64>,
}

/// Puts a condition into the list, in place of the one of its type. `lastTransitionTime` stays while the status does, so
/// that writing what is already there changes nothing. Answers whether the list changed.
pub fn set_condition(conditions: &mut Vec<Condition>, new: NewCondition, now: Time) -> bool {
    let status = new.status.as_str();
    let old = conditions.iter().position(|condition| condition.type_ == new.type_);
    let since =
        old.map(|at| &conditions[at]).filter(|old| old.status == status).map(|old| old.last_transition_time.clone());
    let condition = Condition {
        type_: new.type_.to_owned(),
        status: status.to_owned(),
        reason: new.reason.to_owned(),
        message: shortened(new.message),
        observed_generation: new.observed_generation,
        last_transition_time: since.unwrap_or(now),
    };
    match old {
        Some(at) if conditions[at] == condition => return false,
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
    true
}

/// The condition of this type, if there is one.
pub fn find_condition<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of this type is there and `True`.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find_condition(conditions, type_).is_some_and(|condition| condition.status == "True")
}

fn shortened(message: String) -> String {
    match message.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => message[..end].to_owned(),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(second: i64) -> Time {
        Time(k8s_openapi::jiff::Timestamp::from_second(second).unwrap())
    }

    fn ready(status: ConditionStatus, generation: i64) -> NewCondition {
        NewCondition {
            type_: READY,
            status,
            reason: reason::ISSUED,
            message: "as observed".into(),
            observed_generation: Some(generation),
        }
    }

    #[test]
    fn the_transition_time_stays_while_the_status_does() {
        let mut conditions = Vec::new();
        assert!(set_condition(&mut conditions, ready(ConditionStatus::False, 1), time(10)));
        assert!(set_condition(&mut conditions, ready(ConditionStatus::False, 2), time(20)), "the generation is news");
        assert_eq!(conditions[0].last_transition_time, time(10));
        assert_eq!(conditions[0].observed_generation, Some(2));

        assert!(set_condition(&mut conditions, ready(ConditionStatus::True, 2), time(30)));
        assert_eq!(conditions[0].last_transition_time, time(30));
        assert_eq!(conditions.len(), 1);
    }

    #[test]
    fn the_same_again_changes_nothing() {
        let mut conditions = Vec::new();
        set_condition(&mut conditions, ready(ConditionStatus::True, 1), time(10));
        let before = conditions.clone();
        assert!(!set_condition(&mut conditions, ready(ConditionStatus::True, 1), time(99)));
        assert_eq!(conditions, before);
    }

    #[test]
    fn others_are_left_alone() {
        let mut conditions = Vec::new();
        set_condition(&mut conditions, ready(ConditionStatus::True, 1), time(10));
        let propagated = NewCondition { type_: PROPAGATED, ..ready(ConditionStatus::Unknown, 1) };
        set_condition(&mut conditions, propagated, time(11));
        assert!(is_true(&conditions, READY) && !is_true(&conditions, PROPAGATED));
        assert_eq!(find_condition(&conditions, PROPAGATED).unwrap().status, "Unknown");
        assert!(find_condition(&conditions, AVAILABLE).is_none());
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        let mut conditions = Vec::new();
        let long = NewCondition { message: "é".repeat(MAX_MESSAGE + 1), ..ready(ConditionStatus::True, 1) };
        set_condition(&mut conditions, long, time(10));
        assert_eq!(conditions[0].message.chars().count(), MAX_MESSAGE);
    }
}
