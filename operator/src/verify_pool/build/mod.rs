//! The objects of a pool: pure, one object a file.

mod delegation;
mod disruption_budget;
mod pod;
mod rbac;
mod service;
mod service_account;
mod stateful_set;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use keyplane_api::{MANAGED_BY_LABEL, MANAGED_BY_OPERATOR, POOL_LABEL, POOL_NAMESPACE_LABEL};
use kube::api::ObjectMeta;

pub use self::delegation::{AUTH_DELEGATOR, AUTHENTICATION_NAMESPACE, AUTHENTICATION_READER};
pub use self::rbac::{VERIFY_KINDS, VERIFY_VERBS};
pub(super) use self::stateful_set::selector_text;
use super::covers::stamp;
use super::decide::Plan;

/// Everything that a pool owns. Taken apart without `..` where it is applied, so that a new object cannot be forgotten there.
#[derive(Clone, Debug)]
pub(super) struct Bundle {
    /// Who the pods are.
    pub(super) service_account: ServiceAccount,
    /// What they may read, where the namespaces are named.
    pub(super) roles: Vec<Role>,
    /// Ties [`Self::roles`] to the account.
    pub(super) role_bindings: Vec<RoleBinding>,
    /// What they may read, everywhere.
    pub(super) cluster_role: Option<ClusterRole>,
    /// Ties [`Self::cluster_role`] to the account.
    pub(super) cluster_role_binding: Option<ClusterRoleBinding>,
    /// Lets the pods ask who reads their operational pages.
    pub(super) auth_delegator: ClusterRoleBinding,
    /// Lets them read who vouches for client certificates.
    pub(super) authentication_reader: RoleBinding,
    /// Where clients go.
    pub(super) service: Service,
    /// The pods one by one.
    pub(super) headless_service: Service,
    /// At most one pod at a time is taken away.
    pub(super) disruption_budget: PodDisruptionBudget,
    /// The pods.
    pub(super) stateful_set: StatefulSet,
}

/// Builds and stamps all objects. Fails only if one cannot be serialised, which none of ours does.
pub(super) fn bundle(plan: &Plan) -> Result<Bundle, serde_json::Error> {
    Ok(Bundle {
        service_account: stamp(service_account::service_account(plan))?,
        roles: rbac::roles(plan).into_iter().map(stamp).collect::<Result<_, _>>()?,
        role_bindings: rbac::role_bindings(plan).into_iter().map(stamp).collect::<Result<_, _>>()?,
        cluster_role: rbac::cluster_role(plan).map(stamp).transpose()?,
        cluster_role_binding: rbac::cluster_role_binding(plan).map(stamp).transpose()?,
        auth_delegator: stamp(delegation::auth_delegator(plan))?,
        authentication_reader: stamp(delegation::authentication_reader(plan))?,
        service: stamp(service::service(plan))?,
        headless_service: stamp(service::headless(plan))?,
        disruption_budget: stamp(disruption_budget::disruption_budget(plan))?,
        stateful_set: stamp(stateful_set::stateful_set(plan))?,
    })
}

/// The name of the StatefulSet, the Service, the ServiceAccount and the disruption budget.
pub(super) fn name(pool: &str) -> String {
    format!("keyplane-verify-{pool}")
}

/// The name of the headless Service, which gives each pod its own.
fn headless_name(pool: &str) -> String {
    format!("keyplane-verify-{pool}-pods")
}

/// The name of roles, cluster-wide ones too, and their bindings.
fn access_name(plan: &Plan) -> String {
    format!("keyplane-verify-{}-{}", plan.namespace, plan.pool)
}

/// What the pods are selected by; never changes, because a StatefulSet's selector cannot.
fn pod_selector(plan: &Plan) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/name".to_owned(), "keyplane-verify".to_owned()),
        (POOL_LABEL.to_owned(), plan.pool.clone()),
    ])
}

/// The labels of every object of the pool.
pub(super) fn labels(pool: &str, namespace: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/name".to_owned(), "keyplane-verify".to_owned()),
        (MANAGED_BY_LABEL.to_owned(), MANAGED_BY_OPERATOR.to_owned()),
        (POOL_LABEL.to_owned(), pool.to_owned()),
        (POOL_NAMESPACE_LABEL.to_owned(), namespace.to_owned()),
    ])
}

/// Metadata of an object in the pool's own namespace: it goes with the pool.
fn owned(plan: &Plan, name: String) -> ObjectMeta {
    ObjectMeta { owner_references: Some(vec![plan.owner.clone()]), ..placed(plan, name, Some(&plan.namespace)) }
}

/// Metadata of an object in some namespace or in the cluster. An owner reference reaches only within the pool's namespace.
fn placed(plan: &Plan, name: String, namespace: Option<&str>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: namespace.map(str::to_owned),
        labels: Some(labels(&plan.pool, &plan.namespace)),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests;
