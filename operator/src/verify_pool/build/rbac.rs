//! What the verify pods may read: the kinds that a verification needs, and nothing else.

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use keyplane_api::GROUP;

use super::super::decide::{Access, Plan};
use super::{access_name, name, owned, placed};

/// The kinds that verify pods read. No Secrets: a pod knows hashes only.
pub const VERIFY_KINDS: [&str; 7] =
    ["apikeys", "identities", "keyroles", "keyspaces", "ratelimitoverrides", "ratelimits", "rootkeys"];
/// What they may do with them. The operator must have the same rights, or the API server does not let it hand them on.
pub const VERIFY_VERBS: [&str; 3] = ["get", "list", "watch"];

pub(super) const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

fn rules() -> Vec<PolicyRule> {
    vec![PolicyRule {
        api_groups: Some(vec![GROUP.to_owned()]),
        resources: Some(VERIFY_KINDS.map(str::to_owned).to_vec()),
        verbs: VERIFY_VERBS.map(str::to_owned).to_vec(),
        ..PolicyRule::default()
    }]
}

pub(super) fn subjects(plan: &Plan) -> Vec<Subject> {
    vec![Subject {
        kind: "ServiceAccount".to_owned(),
        name: name(&plan.pool),
        namespace: Some(plan.namespace.clone()),
        ..Subject::default()
    }]
}

fn role_ref(plan: &Plan, kind: &str) -> RoleRef {
    RoleRef { api_group: RBAC_GROUP.to_owned(), kind: kind.to_owned(), name: access_name(plan) }
}

fn role_namespaces(plan: &Plan) -> &[String] {
    match &plan.access {
        Access::Cluster => &[],
        Access::Namespaces(names) => names,
    }
}

/// Only the Role in the pool's own namespace can be owned by it.
fn metadata(plan: &Plan, namespace: &str) -> kube::api::ObjectMeta {
    if namespace == plan.namespace {
        return owned(plan, access_name(plan));
    }
    placed(plan, access_name(plan), Some(namespace))
}

/// A Role in each namespace that is served by name.
pub(super) fn roles(plan: &Plan) -> Vec<Role> {
    let role = |namespace: &String| Role { metadata: metadata(plan, namespace), rules: Some(rules()) };
    role_namespaces(plan).iter().map(role).collect()
}

/// Its bindings.
pub(super) fn role_bindings(plan: &Plan) -> Vec<RoleBinding> {
    let binding = |namespace: &String| RoleBinding {
        metadata: metadata(plan, namespace),
        role_ref: role_ref(plan, "Role"),
        subjects: Some(subjects(plan)),
    };
    role_namespaces(plan).iter().map(binding).collect()
}

/// The ClusterRole of a pool that serves all namespaces or selects them by labels.
pub(super) fn cluster_role(plan: &Plan) -> Option<ClusterRole> {
    (plan.access == Access::Cluster).then(|| ClusterRole {
        metadata: placed(plan, access_name(plan), None),
        rules: Some(rules()),
        aggregation_rule: None,
    })
}

/// Its binding.
pub(super) fn cluster_role_binding(plan: &Plan) -> Option<ClusterRoleBinding> {
    (plan.access == Access::Cluster).then(|| ClusterRoleBinding {
        metadata: placed(plan, access_name(plan), None),
        role_ref: role_ref(plan, "ClusterRole"),
        subjects: Some(subjects(plan)),
    })
}
