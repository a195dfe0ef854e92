//! What a pool's objects shall be: pure, from its spec and the namespaces that exist.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodTemplateSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use keyplane_api::condition::reason;
use keyplane_api::{GoDuration, Served, Storage, VerifyPool};
use kube::{Resource, ResourceExt};

/// The certificates of the pods are a later step; until then a pool that asks for them gets no pods rather than pods without them.
pub(super) const TLS_NOT_SUPPORTED: &str = "TlsNotSupported";
/// A namespace that the pool names does not exist.
pub(super) const NAMESPACE_NOT_FOUND: &str = "NamespaceNotFound";

/// A pool, checked: all that building needs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// Name of the pool.
    pub(super) pool: String,
    /// Its namespace.
    pub(super) namespace: String,
    /// The reference to it, for what lives in its namespace.
    pub(super) owner: OwnerReference,
    /// Pods.
    pub(super) replicas: i32,
    /// Image of the verify container.
    pub(super) image: String,
    /// Whose keys the pods hold.
    pub(super) serves: Serves,
    /// Where the pods may read.
    pub(super) access: Access,
    /// CPU and memory.
    pub(super) resources: Option<ResourceRequirements>,
    /// How old what a pod serves may be, as the pod reads it.
    pub(super) snapshot_max_age: String,
    /// A volume for each pod.
    pub(super) storage: Option<Storage>,
    /// Type of the Service.
    pub(super) service_type: &'static str,
    /// Annotations of the Service.
    pub(super) service_annotations: BTreeMap<String, String>,
    /// Laid over our pod template.
    pub(super) pod_template: Option<PodTemplateSpec>,
    /// Namespaces that are named and do not exist.
    pub(super) missing_namespaces: Vec<String>,
}

/// Whose keys the pods hold, resolved. An empty list is not "all": that difference keeps tenants apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Serves {
    /// Every namespace, also those to come.
    All,
    /// These, sorted, at least one.
    Only(Vec<String>),
    /// None that exists: the pool has no pods until one does.
    Nothing,
}

/// Where the rights of the pods are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// One ClusterRole.
    Cluster,
    /// A Role in each of these namespaces.
    Namespaces(Vec<String>),
}

/// A spec that cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Reason of the Ready condition.
    pub(super) reason: &'static str,
    /// What to do about it.
    pub(super) message: String,
}

/// Whether the namespaces of the cluster, or those that a selector takes, must be known to decide.
pub(super) enum Needed<'a> {
    /// No.
    None,
    /// All.
    All,
    /// Those that the selector takes.
    Selected(&'a LabelSelector),
}

/// What must be read before [`decide`].
pub(super) fn needed(pool: &VerifyPool) -> Needed<'_> {
    match pool.spec.served() {
        Served::All => Needed::None,
        Served::Namespaces(_) => Needed::All,
        Served::Selector(selector) if is_empty(selector) => Needed::None,
        Served::Selector(selector) => Needed::Selected(selector),
    }
}

/// Checks the spec and resolves what it leaves open. `namespaces` are those that [`needed`] asked for.
pub(super) fn decide(pool: &VerifyPool, namespaces: &[String], default_image: &str) -> Result<Plan, Refusal> {
    let spec = &pool.spec;
    if spec.tls.is_some() {
        let message = "spec.tls is not supported yet, and no pods are made without the TLS that was asked for; remove spec.tls to serve plain HTTP inside the cluster";
        return Err(Refusal { reason: TLS_NOT_SUPPORTED, message: message.to_owned() });
    }
    let invalid = |message: String| Refusal { reason: reason::INVALID_SPEC, message };
    let owner = pool.controller_owner_ref(&()).ok_or_else(|| invalid("the pool has no uid yet".to_owned()))?;
    let template = spec.pod_template.clone().map(serde_json::Value::Object);
    let pod_template = template
        .map(serde_json::from_value)
        .transpose()
        .map_err(|error| invalid(format!("spec.podTemplate is not a pod template: {error}")))?;
    let (serves, access, missing_namespaces) = resolved(spec.served(), namespaces);
    let wanted =
        i32::try_from(spec.replicas).map_err(|_| invalid(format!("spec.replicas {} is too large", spec.replicas)))?;
    let service = spec.service.clone().unwrap_or_default();
    Ok(Plan {
        pool: pool.name_any(),
        namespace: pool.namespace().unwrap_or_default(),
        owner,
        replicas: if serves == Serves::Nothing { 0 } else { wanted },
        image: spec.image.clone().unwrap_or_else(|| default_image.to_owned()),
        serves,
        access,
        resources: spec.resources.clone(),
        snapshot_max_age: GoDuration::from_millis(spec.snapshot_max_age_millis()).as_str().to_owned(),
        storage: spec.storage.clone(),
        service_type: service.type_.as_str(),
        service_annotations: service.annotations,
        pod_template,
        missing_namespaces,
    })
}

fn resolved(served: Served<'_>, existing: &[String]) -> (Serves, Access, Vec<String>) {
    match served {
        Served::All => (Serves::All, Access::Cluster, Vec::new()),
        Served::Selector(selector) if is_empty(selector) => (Serves::All, Access::Cluster, Vec::new()),
        Served::Selector(_) => (only(existing.to_vec()), Access::Cluster, Vec::new()),
        Served::Namespaces(named) => {
            let (there, missing): (Vec<String>, Vec<String>) =
                named.iter().cloned().partition(|name| existing.contains(name));
            let mut roles = there.clone();
            roles.sort_unstable();
            roles.dedup();
            (only(there), Access::Namespaces(roles), missing)
        }
    }
}

fn only(mut names: Vec<String>) -> Serves {
    // Sorted, so that the order of a list request is never a change of the pods.
    names.sort_unstable();
    names.dedup();
    if names.is_empty() { Serves::Nothing } else { Serves::Only(names) }
}

fn is_empty(selector: &LabelSelector) -> bool {
    let no_labels = selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty);
    no_labels && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use keyplane_api::VerifyPoolSpec;
    use serde_json::json;

    /// A pool as the API server would send it.
    pub(in crate::verify_pool) fn pool(spec: serde_json::Value) -> VerifyPool {
        let spec: VerifyPoolSpec = serde_json::from_value(spec).unwrap();
        let mut pool = VerifyPool::new("edge", spec);
        pool.metadata.namespace = Some("system".to_owned());
        pool.metadata.uid = Some("uid-1".to_owned());
        pool.metadata.generation = Some(3);
        pool
    }

    /// The plan of such a pool, where the namespaces `team-a`, `team-b` and `system` exist.
    pub(in crate::verify_pool) fn plan(spec: serde_json::Value) -> Plan {
        let names = ["team-b", "team-a", "system"].map(str::to_owned);
        decide(&pool(spec), &names, "verify:1").unwrap()
    }

    #[test]
    fn an_empty_spec_serves_all_namespaces_with_the_default_image() {
        let plan = plan(json!({}));
        assert_eq!((&plan.serves, &plan.access), (&Serves::All, &Access::Cluster));
        assert_eq!((plan.image.as_str(), plan.replicas), ("verify:1", 1));
    }

    #[test]
    fn named_namespaces_get_roles_there_and_missing_ones_are_told() {
        let plan = plan(json!({"serves": {"namespaces": ["team-b", "gone", "team-a"]}}));
        let both = vec!["team-a".to_owned(), "team-b".to_owned()];
        assert_eq!(plan.serves, Serves::Only(both.clone()));
        assert_eq!(plan.access, Access::Namespaces(both));
        assert_eq!(plan.missing_namespaces, ["gone"]);
    }

    #[test]
    fn a_selection_of_nothing_is_not_all() {
        let selector = json!({"replicas": 3, "serves": {"namespaceSelector": {"matchLabels": {"a": "b"}}}});
        let nothing = decide(&pool(selector.clone()), &[], "verify:1").unwrap();
        assert_eq!((nothing.serves, nothing.replicas), (Serves::Nothing, 0));
        assert_eq!(plan(selector).replicas, 3);
        assert_eq!(
            plan(json!({"serves": {"namespaceSelector": {}}})).serves,
            Serves::All,
            "an empty selector takes all"
        );
    }

    #[test]
    fn tls_is_refused_and_the_message_says_what_to_do() {
        let refusal = decide(&pool(json!({"tls": {"secretName": "s"}})), &[], "verify:1").unwrap_err();
        assert_eq!(refusal.reason, TLS_NOT_SUPPORTED);
        assert!(refusal.message.contains("remove spec.tls"), "{}", refusal.message);
    }

    #[test]
    fn a_pod_template_that_is_none_is_refused() {
        let spec = json!({"podTemplate": {"spec": {"tolerations": "no"}}});
        let refusal = decide(&pool(spec), &[], "verify:1").unwrap_err();
        assert_eq!(refusal.reason, reason::INVALID_SPEC);
        assert!(refusal.message.contains("spec.podTemplate"), "{}", refusal.message);
    }
}
