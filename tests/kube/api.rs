//! The control plane itself: that it is what the other trials take it for.

use std::sync::Arc;

use anyhow::Result;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use keyplane_tests::{Cluster, SharedCluster, Trial, trials};
use kube::Api;
use kube::api::ListParams;

pub(crate) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster; serves_kubernetes_1_36, every_committed_crd_is_established]
}

async fn serves_kubernetes_1_36(cluster: Arc<Cluster>) -> Result<()> {
    let version = cluster.client().await?.apiserver_version().await?;
    assert!(version.git_version.starts_with("v1.36."), "{}", version.git_version);
    Ok(())
}

async fn every_committed_crd_is_established(cluster: Arc<Cluster>) -> Result<()> {
    let files = std::fs::read_dir(keyplane_tests::workspace::root().join("crds"))?;
    let committed =
        files.filter(|file| file.as_ref().is_ok_and(|file| file.path().extension().is_some_and(|end| end == "yaml")));
    let crds: Api<CustomResourceDefinition> = Api::all(cluster.client().await?);
    let found = crds.list(&ListParams::default()).await?.items;
    assert_eq!(found.len(), committed.count());
    Ok(())
}
