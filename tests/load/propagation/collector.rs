//! Has the control plane collect its garbage between the rounds, so that it is not due within one.

use anyhow::{Context, Result, ensure};
use http_body_util::BodyExt;
use keyplane_tests::Cluster;
use kube::Client;
use kube::client::Body;

/// A heap profile begins with a collection when it is asked so.
const COLLECT: &str = "/debug/pprof/heap?gc=1";

/// The programs written in Go that take part in a change and can be asked; etcd cannot.
pub(crate) struct Collectors(Vec<Client>);

impl Collectors {
    pub(crate) async fn of(cluster: &Cluster) -> Result<Self> {
        let controllers = cluster.control_plane().controller_manager_client().await?;
        Ok(Self(vec![cluster.client().await?, controllers]))
    }

    /// Returns when all have collected.
    pub(crate) async fn collect(&self) -> Result<()> {
        for client in &self.0 {
            let request = http::Request::get(COLLECT).body(Body::empty()).context("ask for a collection")?;
            let answer = client.send(request).await.context("have the control plane collect its garbage")?;
            ensure!(answer.status().is_success(), "the control plane answers {} to a collection", answer.status());
            answer.into_body().collect().await.context("read a heap profile")?;
        }
        Ok(())
    }
}
