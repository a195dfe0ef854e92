//! Verify pools against a real API server: the objects that a pool gets, that nothing is written when nothing changed, and what goes away.
//! There are no nodes: the StatefulSet controller makes pods, which stay unscheduled, so a test plays the kubelet's part of the status.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use keyplane_api::condition::{AVAILABLE, PROGRESSING, READY, find_condition};
use keyplane_api::{VerifyPool, VerifyPoolStatus};
use keyplane_tests::{Cluster, Namespace, Server, SharedCluster, Trial, eventually, trials};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

const SOON: Duration = Duration::from_secs(15);
const APPLIED: &str = "keyplane_operator_applied_objects_total";

pub(crate) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster;
        a_pool_gets_its_objects_and_its_status_from_them,
        its_pods_account_may_read_our_kinds_and_nothing_else,
        nothing_is_written_when_nothing_changed_and_drift_is_undone,
        a_wish_that_was_dropped_is_taken_back,
        other_namespaces_leave_no_orphans,
        a_deleted_pool_leaves_nothing_in_the_cluster,
        a_pool_with_tls_gets_no_pods,
        a_selected_namespace_is_served_when_it_appears,
        an_object_of_somebody_else_is_left_alone,
    ]
}

async fn a_pool_gets_its_objects_and_its_status_from_them(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("pool").await?;
    let _operator = namespace.operator("a").await?.flag("verify-image", "example.test/verify:1").start().await?;
    apply_pool(&namespace, "edge", "{replicas: 2}").await?;
    let status = with_reason(&namespace, "edge", "RollingOut").await?;
    let set = one::<StatefulSet>(&namespace, "keyplane-verify-edge").await?;
    let spec = set.spec.clone().context("no spec")?;
    let pod = spec.template.spec.context("no pod")?;
    assert_eq!(pod.containers[0].image.as_deref(), Some("example.test/verify:1"));
    assert_eq!((spec.replicas, spec.pod_management_policy.as_deref()), (Some(2), Some("Parallel")));
    one::<Service>(&namespace, "keyplane-verify-edge").await?;
    one::<Service>(&namespace, "keyplane-verify-edge-pods").await?;
    one::<ServiceAccount>(&namespace, "keyplane-verify-edge").await?;
    one::<PodDisruptionBudget>(&namespace, "keyplane-verify-edge").await?;
    let client = namespace.client();
    let access = format!("keyplane-verify-{}-edge", namespace.name());
    Api::<ClusterRole>::all(client.clone()).get(&access).await?;
    Api::<ClusterRoleBinding>::all(client).get(&access).await?;
    assert_eq!(find_condition(&status.conditions, AVAILABLE).map(|condition| condition.status.as_str()), Some("False"));

    pretend_ready(&namespace, 2).await?;
    let status = with_reason(&namespace, "edge", "AsSpecified").await?;
    assert_eq!((status.replicas, status.ready_replicas), (Some(2), Some(2)));
    assert_eq!(
        find_condition(&status.conditions, PROGRESSING).map(|condition| condition.status.as_str()),
        Some("False")
    );
    let set = one::<StatefulSet>(&namespace, "keyplane-verify-edge").await?;
    assert_eq!(status.revision, set.status.and_then(|status| status.update_revision));
    namespace.kubectl().run(&["wait", "--for=condition=Ready", "--timeout=5s", "verifypool/edge"]).await?;

    namespace.kubectl().run(&["scale", "verifypool/edge", "--replicas=3"]).await?;
    eventually("the StatefulSet follows", SOON, || async {
        let set = one::<StatefulSet>(&namespace, "keyplane-verify-edge").await?;
        anyhow::Ok(set.spec.and_then(|spec| spec.replicas) == Some(3))
    })
    .await
}

async fn its_pods_account_may_read_our_kinds_and_nothing_else(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("pool-rights").await?;
    let other = cluster.namespace("pool-rights-other").await?;
    let _operator = namespace.operator("a").await?.start().await?;
    apply_pool(&namespace, "edge", &format!("{{serves: {{namespaces: [{}]}}}}", namespace.name())).await?;
    with_reason(&namespace, "edge", "RollingOut").await?;
    let kubectl = cluster.kubectl_as(&namespace.pool_account("edge").await?);
    let can = async |verb: &str, kind: &str, place: &str| {
        kubectl.run(&["auth", "can-i", verb, kind, "--namespace", place]).await.is_ok()
    };
    for kind in ["apikeys", "rootkeys", "identities", "keyroles"] {
        assert!(can("watch", &format!("{kind}.keyplane.dev"), namespace.name()).await, "{kind}");
        assert!(!can("patch", &format!("{kind}.keyplane.dev"), namespace.name()).await, "{kind}");
        assert!(!can("list", &format!("{kind}.keyplane.dev"), other.name()).await, "{kind} of another namespace");
    }
    for kind in ["secrets", "configmaps", "verifypools.keyplane.dev"] {
        assert!(!can("get", kind, namespace.name()).await, "{kind}");
    }
    Ok(())
}

async fn nothing_is_written_when_nothing_changed_and_drift_is_undone(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("pool-quiet").await?;
    let operator = namespace.operator("a").await?.start().await?;
    apply_pool(
        &namespace,
        "edge",
        "{replicas: 1, resources: {requests: {cpu: 500m, memory: 64Mi}}, storage: {size: 1Gi}}",
    )
    .await?;
    with_reason(&namespace, "edge", "RollingOut").await?;
    pretend_ready(&namespace, 1).await?;
    with_reason(&namespace, "edge", "AsSpecified").await?;
    let before = versions(&namespace).await?;
    let applied = operator.metric(APPLIED).await?;
    assert_eq!(applied, Some(9.0), "each object once");

    reconciled_again(&namespace, &operator).await?;
    assert_eq!(versions(&namespace).await?, before);
    assert_eq!(operator.metric(APPLIED).await?, applied, "nothing was sent");

    let drift = json!({"spec": {"selector": {"keyplane.dev/pool": "stolen"}}});
    let services = namespace.api::<Service>();
    services.patch("keyplane-verify-edge", &PatchParams::default(), &Patch::Merge(&drift)).await?;
    eventually("the selector is ours again", SOON, || async {
        let service = services.get("keyplane-verify-edge").await?;
        let selector = service.spec.and_then(|spec| spec.selector).unwrap_or_default();
        anyhow::Ok(selector.get("keyplane.dev/pool").is_some_and(|pool| pool == "edge"))
    })
    .await
}

async fn a_wish_that_was_dropped_is_taken_back(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("pool-dropped").await?;
    let _operator = namespace.operator("a").await?.start().await?;
    let tolerations = async || -> Result<usize> {
        let set = one::<StatefulSet>(&namespace, "keyplane-verify-edge").await?;
        let pod = set.spec.and_then(|spec| spec.template.spec).context("no pod")?;
        Ok(pod.tolerations.unwrap_or_default().len())
    };
    apply_pool(&namespace, "edge", "{podTemplate: {spec: {tolerations: [{key: edge, operator: Exists}]}}}").await?;
    eventually("the toleration is there", SOON, || async { tolerations().await.map(|count| count == 1) }).await?;
    apply_pool(&namespace, "edge", "{}").await?;
    eventually("the toleration is gone", SOON, || async { tolerations().await.map(|count| count == 0) }).await
}

async fn other_namespaces_leave_no_orphans(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("pool-serves").await?;
    let (one, two) = (cluster.namespace("pool-served").await?, cluster.namespace("pool-served").await?);
    let _operator = namespace.operator("a").await?.start().await?;
    let access = format!("keyplane-verify-{}-edge", namespace.name());
    let serve =
        async |names: &str| apply_pool(&namespace, "edge", &format!("{{serves: {{namespaces: [{names}]}}}}")).await;

    serve(&format!("{}, {}", one.name(), two.name())).await?;
    for place in [&one, &two] {
        exists(&place.api::<Role>(), &access, true).await?;
        exists(&place.api::<RoleBinding>(), &access, true).await?;
    }
    serve(two.name()).await?;
    exists(&one.api::<Role>(), &access, false).await?;
    exists(&one.api::<RoleBinding>(), &access, false).await?;
    exists(&two.api::<Role>(), &access, true).await?;

    // All namespaces, and only one's own again.
    apply_pool(&namespace, "edge", "{}").await?;
    let cluster_roles = Api::<ClusterRole>::all(namespace.client());
    exists(&cluster_roles, &access, true).await?;
    exists(&two.api::<Role>(), &access, false).await?;
    serve(namespace.name()).await?;
    exists(&cluster_roles, &access, false).await
}

async fn a_deleted_pool_leaves_nothing_in_the_cluster(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("pool-deleted").await?;
    let operator = namespace.operator("a").await?.start().await?;
    apply_pool(&namespace, "edge", "{}").await?;
    with_reason(&namespace, "edge", "RollingOut").await?;
    assert_eq!(operator.terminate().await?, 0);

    // Deleted while no operator runs: the finalizer waits for one.
    let pools = namespace.api::<VerifyPool>();
    pools.delete("edge", &DeleteParams::default()).await?;
    assert!(pools.get("edge").await?.metadata.deletion_timestamp.is_some());
    let _operator = namespace.operator("b").await?.start().await?;
    let access = format!("keyplane-verify-{}-edge", namespace.name());
    exists(&Api::<ClusterRoleBinding>::all(namespace.client()), &access, false).await?;
    exists(&Api::<ClusterRole>::all(namespace.client()), &access, false).await?;
    // What lets its pods ask who reads their pages.
    let (delegator, reader) = (format!("{access}-auth-delegator"), format!("{access}-authentication-reader"));
    exists(&Api::<ClusterRoleBinding>::all(namespace.client()), &delegator, false).await?;
    exists(&Api::<RoleBinding>::namespaced(namespace.client(), "kube-system"), &reader, false).await?;
    exists(&pools, "edge", false).await?;
    exists(&namespace.api::<StatefulSet>(), "keyplane-verify-edge", false).await?;
    exists(&namespace.api::<Service>(), "keyplane-verify-edge", false).await
}

async fn a_pool_with_tls_gets_no_pods(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("pool-tls").await?;
    let _operator = namespace.operator("a").await?.start().await?;
    apply_pool(&namespace, "edge", "{tls: {secretName: mine}}").await?;
    let status = with_reason(&namespace, "edge", "TlsNotSupported").await?;
    assert_eq!(status.replicas, None);
    assert!(namespace.api::<StatefulSet>().get_opt("keyplane-verify-edge").await?.is_none());
    Ok(())
}

async fn a_selected_namespace_is_served_when_it_appears(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("pool-selects").await?;
    let _operator = namespace.operator("a").await?.start().await?;
    let label = namespace.name();
    apply_pool(
        &namespace,
        "edge",
        &format!("{{replicas: 2, serves: {{namespaceSelector: {{matchLabels: {{served-by: {label}}}}}}}}}"),
    )
    .await?;
    let served = async || -> Result<(Option<i32>, String)> {
        let spec = one::<StatefulSet>(&namespace, "keyplane-verify-edge").await?.spec.context("no spec")?;
        let pod = spec.template.spec.context("no pod")?;
        let arguments = pod.containers[0].args.clone().unwrap_or_default();
        let at = arguments.iter().position(|argument| argument == "--namespaces");
        Ok((spec.replicas, at.map_or_else(String::new, |at| arguments[at + 1].clone())))
    };
    eventually("none is selected, so there are no pods", SOON, || async {
        served().await.map(|served| served == (Some(0), String::new()))
    })
    .await?;
    // Settled, so that only the namespace itself can have the pool looked at again.
    with_reason(&namespace, "edge", "AsSpecified").await?;
    let tenant = cluster.namespace("pool-selected").await?;
    cluster.kubectl().run(&["label", "namespace", tenant.name(), &format!("served-by={label}")]).await?;
    eventually("the new one is served", SOON, || async {
        served().await.map(|served| served == (Some(2), tenant.name().to_owned()))
    })
    .await
}

async fn an_object_of_somebody_else_is_left_alone(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("pool-foreign").await?;
    let _operator = namespace.operator("a").await?.start().await?;
    let foreign = "{apiVersion: v1, kind: Service, metadata: {name: keyplane-verify-edge}, spec: {selector: {app: theirs}, ports: [{port: 80}]}}";
    namespace.kubectl().apply(foreign).await?;
    apply_pool(&namespace, "edge", "{}").await?;
    let status = with_reason(&namespace, "edge", "ApplyFailed").await?;
    assert!(ready(&status)?.message.contains("does not belong to this pool"));
    let service = one::<Service>(&namespace, "keyplane-verify-edge").await?;
    assert_eq!(service.spec.and_then(|spec| spec.selector).context("no selector")?["app"], "theirs");
    Ok(())
}

async fn apply_pool(namespace: &Namespace, name: &str, spec: &str) -> Result<()> {
    let object =
        format!("{{apiVersion: keyplane.dev/v1alpha1, kind: VerifyPool, metadata: {{name: {name}}}, spec: {spec}}}");
    namespace.kubectl().apply(&object).await.map(drop)
}

/// Waits until the Ready condition has this reason and is about the present generation.
async fn with_reason(namespace: &Namespace, name: &str, reason: &str) -> Result<VerifyPoolStatus> {
    let pools = namespace.api::<VerifyPool>();
    eventually(format!("pool {name} is {reason}"), SOON, || async {
        let pool = pools.get(name).await?;
        let status = pool.status.clone().unwrap_or_default();
        let condition = ready(&status)?;
        if condition.observed_generation != pool.meta().generation || condition.reason != reason {
            bail!("generation {:?}, {}: {}", condition.observed_generation, condition.reason, condition.message);
        }
        Ok(Some(status.clone()))
    })
    .await
}

fn ready(status: &VerifyPoolStatus) -> Result<&Condition> {
    find_condition(&status.conditions, READY).context("no Ready condition yet")
}

async fn one<K>(namespace: &Namespace, name: &str) -> Result<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    Ok(namespace.api::<K>().get(name).await?)
}

async fn exists<K>(api: &Api<K>, name: &str, wanted: bool) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let what = format!("{} {name} {}", K::kind(&()), if wanted { "exists" } else { "is gone" });
    eventually(what, SOON, || async { api.get_opt(name).await.map(|found| found.is_some() == wanted) }).await
}

/// Marks the pods ready, as a kubelet would, until the StatefulSet counts them.
async fn pretend_ready(namespace: &Namespace, replicas: i32) -> Result<()> {
    use k8s_openapi::api::core::v1::Pod;
    let pods = namespace.api::<Pod>();
    for ordinal in 0..replicas {
        let name = format!("keyplane-verify-edge-{ordinal}");
        exists(&pods, &name, true).await?;
        let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        pods.patch_status(&name, &PatchParams::default(), &Patch::Strategic(&status)).await?;
    }
    eventually("the StatefulSet counts them", SOON, || async {
        let set = one::<StatefulSet>(namespace, "keyplane-verify-edge").await?;
        anyhow::Ok(set.status.and_then(|status| status.ready_replicas) == Some(replicas))
    })
    .await
}

/// Has the pool reconciled once more, without a change that matters.
async fn reconciled_again(namespace: &Namespace, operator: &Server) -> Result<()> {
    let reconciles = "keyplane_operator_reconciles_total{controller=\"VerifyPool\",result=\"ok\"}";
    let before = operator.metric(reconciles).await?.unwrap_or_default();
    let annotation = json!({"metadata": {"annotations": {"test": "again"}}});
    namespace.api::<VerifyPool>().patch("edge", &PatchParams::default(), &Patch::Merge(&annotation)).await?;
    eventually("it was reconciled again", SOON, || async {
        operator.metric(reconciles).await.map(|now| now.is_some_and(|now| now > before))
    })
    .await
}

/// The resource versions of all that the pool owns.
async fn versions(namespace: &Namespace) -> Result<Vec<Option<String>>> {
    let access = format!("keyplane-verify-{}-edge", namespace.name());
    let name = "keyplane-verify-edge";
    Ok(vec![
        one::<StatefulSet>(namespace, name).await?.resource_version(),
        one::<Service>(namespace, name).await?.resource_version(),
        one::<Service>(namespace, &format!("{name}-pods")).await?.resource_version(),
        one::<ServiceAccount>(namespace, name).await?.resource_version(),
        one::<PodDisruptionBudget>(namespace, name).await?.resource_version(),
        Api::<ClusterRole>::all(namespace.client()).get(&access).await?.resource_version(),
        Api::<ClusterRoleBinding>::all(namespace.client()).get(&access).await?.resource_version(),
        Api::<ClusterRoleBinding>::all(namespace.client())
            .get(&format!("{access}-auth-delegator"))
            .await?
            .resource_version(),
    ])
}
