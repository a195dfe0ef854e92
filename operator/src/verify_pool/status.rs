//! The status of a pool: pure, from the StatefulSet as the API server has it.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use keyplane_api::condition::{
    AVAILABLE, ConditionStatus, NewCondition, PROGRESSING, READY, find_condition, reason, set_condition,
};
use keyplane_api::{API_VERSION, VerifyPool, VerifyPoolStatus};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::build::selector_text;
use super::decide::{NAMESPACE_NOT_FOUND, Refusal};
use crate::events::Said;

/// The number of pods, as the StatefulSet controller last counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pods {
    wanted: i32,
    existing: i32,
    ready: i32,
    updated: i32,
    /// The counts are about the present spec.
    observed: bool,
}

impl Pods {
    fn of(set: &StatefulSet) -> Self {
        let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let Some(status) = &set.status else { return Self { wanted, ..Self::default() } };
        Self {
            wanted,
            existing: status.replicas,
            ready: status.ready_replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            observed: status.observed_generation >= set.metadata.generation,
        }
    }

    fn settled(self) -> bool {
        self.observed && self.existing == self.wanted && self.updated == self.wanted
    }

    /// All but the one that a disruption may take, and at least one.
    fn enough(self) -> bool {
        self.ready >= (self.wanted - 1).max(1)
    }

    fn text(self) -> String {
        let Self { wanted, ready, updated, .. } = self;
        format!("{ready} of {wanted} pods are ready, {updated} run the present revision")
    }
}

/// What stands in the way of `Ready` although the objects are applied, or instead of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// Nothing.
    None,
    /// Namespaces that are named do not exist.
    Missing(Vec<String>),
    /// The spec cannot be carried out; what was applied before stays.
    Refused(Refusal),
}

/// The whole status. `set` is the StatefulSet as it is now; absent if there is none.
pub(super) fn status(
    pool: &VerifyPool,
    set: Option<&StatefulSet>,
    obstacle: &Obstacle,
    now: &Time,
) -> VerifyPoolStatus {
    let pods = set.map(Pods::of).unwrap_or_default();
    let mut conditions = pool.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    // Only ours: applied back, a condition of somebody else would become ours.
    conditions.retain(|condition| [AVAILABLE, PROGRESSING, READY].contains(&condition.type_.as_str()));
    let generation = pool.metadata.generation;
    let mut say = |type_, is: bool, reason, message| {
        let new =
            NewCondition { type_, status: ConditionStatus::from(is), reason, message, observed_generation: generation };
        set_condition(&mut conditions, new, now.clone());
    };
    let enough = pods.enough();
    say(AVAILABLE, enough, if enough { reason::AS_SPECIFIED } else { reason::PODS_NOT_READY }, pods.text());
    let moving = set.is_some() && !pods.settled();
    say(PROGRESSING, moving, if moving { reason::ROLLING_OUT } else { reason::AS_SPECIFIED }, pods.text());
    let (is_ready, why, message) = readiness(pods, set.is_some(), obstacle);
    say(READY, is_ready, why, message);
    VerifyPoolStatus {
        replicas: set.map(|_| i64::from(pods.existing)),
        ready_replicas: set.map(|_| i64::from(pods.ready)),
        revision: set.and_then(|set| set.status.as_ref()?.update_revision.clone()),
        selector: set.and_then(selector_text),
        conditions,
    }
}

fn readiness(pods: Pods, exists: bool, obstacle: &Obstacle) -> (bool, &'static str, String) {
    match obstacle {
        Obstacle::Refused(refusal) => {
            let rest = if exists { "; until then the pods of the earlier spec stay" } else { "" };
            (false, refusal.reason, format!("{}{rest}", refusal.message))
        }
        Obstacle::Missing(names) => {
            let message = format!(
                "spec.serves.namespaces names {}, which do not exist; the pods serve the others and these once they exist",
                names.join(", ")
            );
            (false, NAMESPACE_NOT_FOUND, message)
        }
        Obstacle::None if !pods.settled() => (false, reason::ROLLING_OUT, pods.text()),
        Obstacle::None if pods.ready < pods.wanted => (false, reason::PODS_NOT_READY, pods.text()),
        Obstacle::None if pods.wanted == 0 => (
            true,
            reason::AS_SPECIFIED,
            "the pool has no pods, as specified or because it serves no namespace".to_owned(),
        ),
        Obstacle::None => (true, reason::AS_SPECIFIED, pods.text()),
    }
}

/// The apply patch of the status subresource.
pub(super) fn patch(pool: &VerifyPool, status: &VerifyPoolStatus) -> Value {
    json!({"apiVersion": API_VERSION, "kind": "VerifyPool", "metadata": {"uid": pool.uid()}, "status": status})
}

/// Whether the pool shows something else in the fields that are ours.
pub(super) fn differs(pool: &VerifyPool, status: &VerifyPoolStatus) -> bool {
    let Some(old) = &pool.status else { return true };
    let same_conditions =
        status.conditions.iter().all(|condition| find_condition(&old.conditions, &condition.type_) == Some(condition));
    !same_conditions
        || (&old.replicas, &old.ready_replicas, &old.revision, &old.selector)
            != (&status.replicas, &status.ready_replicas, &status.revision, &status.selector)
}

/// What to tell people: only when the reason of `Ready` changed.
pub(super) fn news(pool: &VerifyPool, status: &VerifyPoolStatus) -> Option<Said> {
    let ready: &Condition = find_condition(&status.conditions, READY)?;
    let before = pool.status.as_ref().and_then(|old| find_condition(&old.conditions, READY));
    if before.is_some_and(|before| before.reason == ready.reason) {
        return None;
    }
    let going_on = [reason::AS_SPECIFIED, reason::ROLLING_OUT].contains(&ready.reason.as_str());
    Some(Said { warning: !going_on, reason: ready.reason.clone(), note: ready.message.clone(), action: "Apply" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::apps::v1::StatefulSetStatus;
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    use super::super::build;
    use super::super::decide::tests::{plan, pool};

    fn now() -> Time {
        Time(Timestamp::from_second(100).unwrap())
    }

    fn set(replicas: i32, ready: i32, updated: i32) -> StatefulSet {
        let mut set = build::bundle(&plan(json!({"replicas": 3}))).unwrap().stateful_set;
        set.metadata.generation = Some(4);
        set.status = Some(StatefulSetStatus {
            replicas,
            ready_replicas: Some(ready),
            updated_replicas: Some(updated),
            observed_generation: Some(4),
            update_revision: Some("rev-2".to_owned()),
            ..StatefulSetStatus::default()
        });
        set
    }

    fn reasons(status: &VerifyPoolStatus) -> [(String, String); 3] {
        [AVAILABLE, PROGRESSING, READY].map(|type_| {
            let condition = find_condition(&status.conditions, type_).unwrap();
            assert_eq!(condition.observed_generation, Some(3));
            (condition.status.clone(), condition.reason.clone())
        })
    }

    fn seen(set: Option<&StatefulSet>, obstacle: &Obstacle) -> [(String, String); 3] {
        reasons(&status(&pool(json!({"replicas": 3})), set, obstacle, &now()))
    }

    fn said(values: [(&str, &str); 3]) -> [(String, String); 3] {
        values.map(|(status, reason)| (status.to_owned(), reason.to_owned()))
    }

    #[test]
    fn a_settled_pool_is_ready() {
        let expected = said([("True", "AsSpecified"), ("False", "AsSpecified"), ("True", "AsSpecified")]);
        assert_eq!(seen(Some(&set(3, 3, 3)), &Obstacle::None), expected);
        let status = status(&pool(json!({})), Some(&set(3, 3, 3)), &Obstacle::None, &now());
        assert_eq!(
            (status.replicas, status.ready_replicas, status.revision.as_deref()),
            (Some(3), Some(3), Some("rev-2"))
        );
        assert_eq!(status.selector.as_deref(), Some("app.kubernetes.io/name=keyplane-verify,keyplane.dev/pool=edge"));
    }

    #[test]
    fn one_pod_may_be_missing_and_two_may_not() {
        let one_short = said([("True", "AsSpecified"), ("False", "AsSpecified"), ("False", "PodsNotReady")]);
        assert_eq!(seen(Some(&set(3, 2, 3)), &Obstacle::None), one_short);
        let two_short = said([("False", "PodsNotReady"), ("False", "AsSpecified"), ("False", "PodsNotReady")]);
        assert_eq!(seen(Some(&set(3, 1, 3)), &Obstacle::None), two_short);
    }

    #[test]
    fn counts_about_an_older_spec_prove_nothing() {
        let mut old = set(3, 3, 3);
        old.metadata.generation = Some(5);
        let expected = said([("True", "AsSpecified"), ("True", "RollingOut"), ("False", "RollingOut")]);
        assert_eq!(seen(Some(&old), &Obstacle::None), expected);
        assert_eq!(seen(Some(&set(3, 3, 1)), &Obstacle::None), expected);
    }

    #[test]
    fn a_refused_pool_says_so_and_claims_no_pods() {
        let refused = Obstacle::Refused(Refusal { reason: "TlsNotSupported", message: "no".to_owned() });
        let expected = said([("False", "PodsNotReady"), ("False", "AsSpecified"), ("False", "TlsNotSupported")]);
        assert_eq!(seen(None, &refused), expected);
        let status = status(&pool(json!({})), None, &refused, &now());
        assert_eq!((status.replicas, status.selector), (None, None));
    }

    #[test]
    fn missing_namespaces_are_named() {
        let status = status(&pool(json!({})), Some(&set(3, 3, 3)), &Obstacle::Missing(vec!["gone".to_owned()]), &now());
        let ready = find_condition(&status.conditions, READY).unwrap();
        assert!(ready.reason == NAMESPACE_NOT_FOUND && ready.message.contains("gone"), "{ready:?}");
    }

    #[test]
    fn the_same_again_is_neither_written_nor_told() {
        let mut pool = pool(json!({"replicas": 3}));
        let first = status(&pool, Some(&set(3, 3, 3)), &Obstacle::None, &now());
        assert!(differs(&pool, &first) && news(&pool, &first).is_some_and(|said| !said.warning));
        pool.status = Some(first);
        let later = Time(Timestamp::from_second(999).unwrap());
        let second = status(&pool, Some(&set(3, 3, 3)), &Obstacle::None, &later);
        assert!(!differs(&pool, &second) && news(&pool, &second).is_none());
        let third = status(&pool, Some(&set(3, 1, 3)), &Obstacle::None, &later);
        assert!(differs(&pool, &third) && news(&pool, &third).is_some_and(|said| said.warning));
    }
}
