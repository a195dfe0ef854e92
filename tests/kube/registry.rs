//! The Kubernetes API, as a registry, does what every writable registry must.

use std::sync::Arc;

use anyhow::Result;
use keyplane_api_server::registry::kubernetes::Kubernetes;
use keyplane_tests::{Cluster, SharedCluster, Trial, registry_contract, trials};

pub(crate) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster; the_kubernetes_api_keeps_the_contract]
}

async fn the_kubernetes_api_keeps_the_contract(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("registry").await?;
    let registry = Kubernetes::new(cluster.client().await?, vec![namespace.name().to_owned()]);
    registry_contract::a_writable_registry(&registry, namespace.name()).await;
    Ok(())
}
