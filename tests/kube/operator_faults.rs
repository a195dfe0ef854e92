//! What goes wrong around the operator: it dies between its two writes, its leader dies or stops, one object is bad, the definitions are
//! not there yet, the API server is away.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use keyplane_api::ApiKey;
use keyplane_core::hash::KeyHash;
use keyplane_tests::cluster::SYSTEM_NAMESPACE;
use keyplane_tests::{
    Cluster, Install, Namespace, Program, Server, SharedCluster, Trial, eventually, throughout, trials,
};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use nix::sys::signal::Signal;

use crate::issuance::{apply_key, entry, with_reason};

/// A takeover after a crash waits for a lease of 3 s to stand still; the rest is slack for a busy machine.
const TAKEOVER: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(15);
const LEADER: &str = "keyplane_operator_leader";

pub(crate) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster;
        an_operator_killed_between_secret_and_status_makes_no_second_key,
        of_two_operators_one_leads_and_the_other_takes_over_a_killed_leader,
        a_leader_told_to_stop_hands_over_at_once,
        a_leader_that_cannot_renew_stops,
        a_leader_whose_lease_was_taken_stops,
        one_bad_object_stalls_no_other,
        the_operator_waits_for_the_resource_definitions,
        a_second_signal_stops_at_once,
    ]
}

async fn an_operator_killed_between_secret_and_status_makes_no_second_key(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("between").await?;
    // All rights of an operator but one: it can make the Secret and cannot write the status.
    let crippled = namespace.operator("a").await?.identity(&without_status(&namespace).await?).start().await?;
    apply_key(&namespace, "acme", "{}").await?;
    let secrets = namespace.api::<Secret>();
    let made = eventually("the Secret is there", SOON, || secrets.get_opt("acme-key")).await?;
    let failed = "keyplane_operator_reconciles_total{controller=\"ApiKey\",result=\"refused\"}";
    eventually("the status was refused", SOON, || async {
        crippled.metric(failed).await.map(|count| count.is_some_and(|count| count >= 1.0))
    })
    .await?;
    crippled.kill();
    let key = namespace.api::<ApiKey>().get("acme").await?;
    assert!(key.status.is_none(), "it was killed between the two");

    let _rightful = namespace.operator("b").await?.start().await?;
    let (_, status) = with_reason(&namespace, "acme", "Issued").await?;
    let secret = secrets.get("acme-key").await?;
    assert_eq!(secret.resource_version(), made.resource_version(), "the Secret was not touched");
    let current = status.current.context("no current key")?;
    assert_eq!(KeyHash::parse(&current.sha256)?, KeyHash::of(&entry(&secret, "key")?));
    assert_eq!(Some(current.issued_at), secret.metadata.creation_timestamp);
    assert_eq!(secrets.list(&ListParams::default()).await?.items.len(), 1, "no second key");
    Ok(())
}

async fn of_two_operators_one_leads_and_the_other_takes_over_a_killed_leader(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("killed").await?;
    let first = namespace.operator("first").await?.start().await?;
    leads(&first).await?;
    let second = namespace.operator("second").await?.start().await?;
    throughout("only one leads", Duration::from_secs(4), || async {
        anyhow::Ok(first.metric(LEADER).await? == Some(1.0) && second.metric(LEADER).await? == Some(0.0))
    })
    .await?;
    first.kill();
    leads(&second).await?;
    apply_key(&namespace, "acme", "{}").await?;
    with_reason(&namespace, "acme", "Issued").await?;
    let lease = leases(&namespace).get(namespace.name()).await?.spec.context("no spec")?;
    assert_eq!((lease.holder_identity.as_deref(), lease.lease_transitions), (Some("second"), Some(1)));
    Ok(())
}

async fn a_leader_told_to_stop_hands_over_at_once(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("stopped").await?;
    // A lease so long that only its release explains a takeover.
    let long = |program: Program| {
        program.flag("lease-name", format!("{}-long", namespace.name())).flag("lease-duration", "60s")
    };
    let first = single(long, &namespace, "first").await?.start().await?;
    leads(&first).await?;
    let second = single(long, &namespace, "second").await?.start().await?;
    assert_eq!(first.terminate().await?, 0);
    leads(&second).await
}

async fn a_leader_that_cannot_renew_stops(_shared: Arc<Cluster>) -> Result<()> {
    let cluster = Cluster::start(Install::CrdsAndChart).await?;
    let namespace = cluster.namespace("cut-off").await?;
    let operator = namespace.operator("a").await?.start().await?;
    leads(&operator).await?;
    cluster.control_plane().pause_api()?;
    let ended =
        eventually("it stops by its own clock", TAKEOVER, || async { operator.process().exit_status() }).await?;
    cluster.control_plane().resume_api()?;
    assert_eq!(ended.code(), Some(1));
    assert!(operator.log()?.contains("lost the lease"));
    Ok(())
}

async fn a_leader_whose_lease_was_taken_stops(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("taken").await?;
    let operator = namespace.operator("a").await?.start().await?;
    leads(&operator).await?;
    let api = leases(&namespace);
    // The leader writes it too; whoever reads first writes last.
    eventually("the lease is taken away", SOON, || async {
        let mut lease = api.get(namespace.name()).await?;
        lease.spec.get_or_insert_default().holder_identity = Some("usurper".to_owned());
        api.replace(namespace.name(), &kube::api::PostParams::default(), &lease).await.map(drop)
    })
    .await?;
    let ended = eventually("it stops", TAKEOVER, || async { operator.process().exit_status() }).await?;
    assert_eq!(ended.code(), Some(1));
    Ok(())
}

async fn one_bad_object_stalls_no_other(_shared: Arc<Cluster>) -> Result<()> {
    // A definition without a schema lets an object in that no version of ours can read; not in the cluster that others share.
    let cluster = Cluster::start(Install::CrdsAndChart).await?;
    let namespace = cluster.namespace("bad").await?;
    let kubectl = cluster.kubectl();
    let open = r#"[{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}, {"op": "remove", "path": "/spec/versions/0/selectableFields"}]"#;
    kubectl.run(&["patch", "crd", "apikeys.keyplane.dev", "--type=json", "-p", open]).await?;
    eventually("the open definition is in force", SOON, || async {
        apply_key(&namespace, "bad", "{enabled: maybe, rateLimits: {}}").await
    })
    .await?;
    let operator = namespace.operator("a").await?.start().await?;
    apply_key(&namespace, "good", "{}").await?;
    with_reason(&namespace, "good", "Issued").await?;
    eventually("people are told", SOON, || async {
        let events =
            namespace.kubectl().run(&["get", "events", "--field-selector=reason=Unreadable", "--output=name"]).await?;
        anyhow::Ok(!events.is_empty())
    })
    .await?;
    // And later ones too: the watch goes on.
    apply_key(&namespace, "later", "{}").await?;
    with_reason(&namespace, "later", "Issued").await?;
    assert_eq!(operator.metric("keyplane_operator_watch_errors_total{controller=\"ApiKey\"}").await?, None);
    Ok(())
}

async fn the_operator_waits_for_the_resource_definitions(_shared: Arc<Cluster>) -> Result<()> {
    let cluster = Cluster::start(Install::Nothing).await?;
    let admin = cluster.control_plane().admin();
    let program = Program::operator()?.identity(admin).flag("lease-namespace", "default");
    let operator = program.start_unready()?;
    eventually("readiness names what is missing", SOON, || async {
        let answer = operator.http().get(operator.ops_url("/readyz?verbose")).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        anyhow::Ok(status == 500 && text.contains("resource-definitions failed"))
    })
    .await?;
    eventually("the log names what is missing", SOON, || async {
        operator.log().map(|log| ["apikeys", "ratelimits", "verifypools"].iter().all(|kind| log.contains(kind)))
    })
    .await?;
    assert_eq!(operator.process().exit_status(), None);
    cluster.kubectl().apply_path(&keyplane_tests::workspace::root().join("crds")).await?;
    operator.wait_ready().await?;
    leads(&operator).await
}

async fn a_second_signal_stops_at_once(_shared: Arc<Cluster>) -> Result<()> {
    let cluster = Cluster::start(Install::CrdsAndChart).await?;
    let namespace = cluster.namespace("twice").await?;
    let operator = namespace.operator("a").await?.start().await?;
    leads(&operator).await?;
    // With a frozen API server the lease cannot be given back, which is tried for 2 s.
    cluster.control_plane().pause_api()?;
    operator.process().signal(Signal::SIGTERM)?;
    eventually("it is stopping", SOON, || async { operator.log().map(|log| log.contains("stopping: ")) }).await?;
    operator.process().signal(Signal::SIGTERM)?;
    let ended = eventually("it ends", SOON, || async { operator.process().exit_status() }).await?;
    cluster.control_plane().resume_api()?;
    assert_eq!(ended.code(), Some(1));
    assert!(operator.log()?.contains("second signal"));
    Ok(())
}

/// Like `namespace.operator`, with flags that it sets already replaced.
async fn single(change: impl FnOnce(Program) -> Program, namespace: &Namespace, replica: &str) -> Result<Program> {
    let account = keyplane_tests::cluster::OPERATOR_ACCOUNT;
    let identity = namespace.cluster().service_account(SYSTEM_NAMESPACE, account).await?;
    let program =
        Program::operator()?.named(&format!("operator-{replica}")).identity(&identity).flag("identity", replica);
    Ok(change(program.flag("watch-namespaces", namespace.name()).flag("lease-namespace", SYSTEM_NAMESPACE)))
}

async fn leads(operator: &Server) -> Result<()> {
    eventually("it leads", TAKEOVER, || async { operator.metric(LEADER).await.map(|value| value == Some(1.0)) }).await
}

fn leases(namespace: &Namespace) -> Api<Lease> {
    Api::namespaced(namespace.client(), SYSTEM_NAMESPACE)
}

/// An account with the rights of an operator in this namespace, without those on the status.
pub(crate) async fn without_status(namespace: &Namespace) -> Result<keyplane_tests::Identity> {
    let name = format!("{}-crippled", namespace.name());
    let manifests = format!(
        r#"
apiVersion: v1
kind: ServiceAccount
metadata: {{name: crippled, namespace: {place}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {name}}}
rules:
- {{apiGroups: [keyplane.dev], resources: [apikeys, rootkeys, keyspaces, verifypools], verbs: [get, list, watch]}}
- {{apiGroups: [""], resources: [secrets], verbs: [get, list, watch, create, patch]}}
- {{apiGroups: ["", apps, policy, rbac.authorization.k8s.io], resources: ["*"], verbs: [list, watch]}}
- {{apiGroups: [events.k8s.io], resources: [events], verbs: [create, patch]}}
- {{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {name}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {name}}}
subjects: [{{kind: ServiceAccount, name: crippled, namespace: {place}}}]
"#,
        place = namespace.name(),
    );
    namespace.cluster().kubectl().apply(&manifests).await?;
    namespace.cluster().service_account(namespace.name(), "crippled").await
}
