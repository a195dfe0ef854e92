//! The control plane itself: that it is what the other trials take it for.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use keyplane_tests::{Cluster, Install, SharedCluster, Trial, trials};
use kube::Api;
use kube::api::ListParams;

pub(crate) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster;
        serves_kubernetes_1_36,
        every_committed_crd_is_established,
        a_reader_reads_our_kinds_and_no_secrets,
        a_person_has_no_rights_beyond_their_own,
        a_stopped_api_server_comes_back_with_its_state,
        a_frozen_api_server_answers_later,
    ]
}

async fn serves_kubernetes_1_36(cluster: Arc<Cluster>) -> Result<()> {
    let version = cluster.client().await?.apiserver_version().await?;
    assert!(version.git_version.starts_with("v1.36."), "{}", version.git_version);
    Ok(())
}

async fn every_committed_crd_is_established(cluster: Arc<Cluster>) -> Result<()> {
    let files = std::fs::read_dir(keyplane_tests::workspace::root().join("crds"))?;
    let committed = files
        .filter(|file| file.as_ref().is_ok_and(|file| file.path().extension().is_some_and(|end| end == "yaml")))
        .count();
    let crds: Api<CustomResourceDefinition> = Api::all(cluster.client().await?);
    let found = crds.list(&ListParams::default()).await?.items;
    assert_eq!(found.iter().filter(|crd| crd.spec.group == "keyplane.dev").count(), committed);
    Ok(())
}

async fn a_reader_reads_our_kinds_and_no_secrets(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("reader").await?;
    let kubectl = cluster.kubectl_as(&namespace.reader().await?);
    assert_eq!(kubectl.run(&["get", "apikeys", "--output=name"]).await?, "");
    let refusal = kubectl.run(&["get", "secrets"]).await.unwrap_err().to_string();
    assert!(refusal.contains("Forbidden") && refusal.contains(&format!("{}:reader", namespace.name())), "{refusal}");
    Ok(())
}

async fn a_person_has_no_rights_beyond_their_own(cluster: Arc<Cluster>) -> Result<()> {
    let alice = cluster.control_plane().user("alice", Some("team-a"))?;
    let who = cluster.kubectl_as(&alice).run(&["auth", "whoami", "--output=json"]).await?;
    assert!(who.contains("\"alice\"") && who.contains("\"team-a\""), "{who}");
    assert!(cluster.kubectl_as(&alice).run(&["get", "namespaces"]).await.is_err());
    Ok(())
}

async fn a_stopped_api_server_comes_back_with_its_state(_shared: Arc<Cluster>) -> Result<()> {
    let cluster = Cluster::start(Install::Nothing).await?;
    let namespace = cluster.namespace("outage").await?;
    namespace.kubectl().run(&["create", "configmap", "kept"]).await?;
    cluster.control_plane().stop_api();
    assert!(namespace.kubectl().run(&["get", "configmap", "kept"]).await.is_err());
    cluster.control_plane().start_api().await?;
    assert!(namespace.api::<ConfigMap>().get_opt("kept").await?.is_some());
    Ok(())
}

async fn a_frozen_api_server_answers_later(_shared: Arc<Cluster>) -> Result<()> {
    let cluster = Cluster::start(Install::Nothing).await?;
    let namespace = cluster.namespace("freeze").await?;
    let secrets = namespace.api::<Secret>();
    secrets.list(&ListParams::default()).await?;
    cluster.control_plane().pause_api()?;
    let (params, soon) = (ListParams::default(), Duration::from_millis(500));
    let waiting = secrets.list(&params);
    let mut waiting = std::pin::pin!(waiting);
    if let Ok(answer) = tokio::time::timeout(soon, &mut waiting).await {
        panic!("a frozen API server answered: {:?}", answer.map(|list| list.items.len()));
    }
    cluster.control_plane().resume_api()?;
    waiting.await?;
    Ok(())
}
