//! The whole path: from `kubectl apply` to `VALID` at a pod, and to `NOT_FOUND` after `kubectl delete`.

use std::sync::Arc;

use anyhow::Result;
use keyplane_tests::{Cluster, SharedCluster, Trial, trials};

const MANIFESTS: &str = "
apiVersion: keyplane.dev/v1alpha1
kind: RootKey
metadata: {name: caller}
spec: {permissions: [api.*.verify_key]}
---
apiVersion: keyplane.dev/v1alpha1
kind: ApiKey
metadata: {name: acme}
spec: {}
";

pub(crate) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster; an_applied_key_is_valid_at_a_pod_until_it_is_deleted]
}

async fn an_applied_key_is_valid_at_a_pod_until_it_is_deleted(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("happy").await?;
    let operator = namespace.operator("a").await?.start().await?;
    let pod = namespace.verify_pod("pod-0", &namespace.reader().await?)?.start().await?;
    namespace.kubectl().apply(MANIFESTS).await?;
    let (root_key, key) = (namespace.issued_key("caller-key").await?, namespace.issued_key("acme-key").await?);
    pod.wait_for_code(&root_key, &key, "VALID").await?;
    namespace.kubectl().run(&["wait", "--for=condition=Ready", "--timeout=10s", "apikey/acme"]).await?;

    namespace.kubectl().run(&["delete", "apikey", "acme"]).await?;
    pod.wait_for_code(&root_key, &key, "NOT_FOUND").await?;

    for server in [&pod, &operator] {
        assert!(!server.log()?.contains(&key) && !server.log()?.contains(&root_key));
        assert_eq!(server.terminate().await?, 0);
    }
    Ok(())
}
