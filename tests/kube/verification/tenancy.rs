//! Which namespaces a pod serves, and that one never shows through in another.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use keyplane_tests::{Cluster, Namespace, SharedCluster, Trial, eventually, throughout, trials};
use serde_json::json;

use super::outages::unready;
use super::{CALLER, SOON, data, hashed, key_object, pool, refused};

pub(super) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster;
        a_pod_serves_the_namespaces_of_its_pool_apart_from_each_other,
        one_plain_key_in_two_namespaces_is_two_keys,
        a_pod_without_rights_in_a_namespace_is_not_ready,
    ]
}

async fn a_pod_serves_the_namespaces_of_its_pool_apart_from_each_other(cluster: Arc<Cluster>) -> Result<()> {
    let (one, other) = (cluster.namespace("tenant-one").await?, cluster.namespace("tenant-other").await?);
    let unserved = cluster.namespace("tenant-unserved").await?;
    let watched = [one.name(), other.name(), unserved.name()].join(",");
    let _operator = one.operator("a").await?.flag("watch-namespaces", watched).start().await?;
    one.kubectl().apply(&pool(&[one.name(), other.name()])).await?;
    let objects = CALLER.to_owned() + &key_object("acme", "{}");
    let mut keys = Vec::new();
    for namespace in [&one, &other, &unserved] {
        namespace.kubectl().apply(&objects).await?;
        keys.push((namespace.issued_key("caller-key").await?, namespace.issued_key("acme-key").await?));
    }
    let pod = one.verify_pod("pod-0", &one.pool_account("edge").await?)?.flag("namespaces", other.name());
    let pod = pod.start().await?;
    let [(root_one, key_one), (root_other, key_other), (root_unserved, key_unserved)] = keys.as_slice() else {
        unreachable!("three namespaces")
    };
    for (root_key, key, code) in [
        (root_one, key_one, "VALID"),
        (root_other, key_other, "VALID"),
        (root_one, key_other, "NOT_FOUND"),
        (root_other, key_one, "NOT_FOUND"),
        (root_one, key_unserved, "NOT_FOUND"),
    ] {
        pod.wait_for_code(root_key, key, code).await?;
    }
    refused(&pod, root_unserved, key_unserved, "401").await?;
    throughout("the unserved namespace stays unknown", Duration::from_millis(300), || async {
        pod.verify(root_unserved, key_unserved).await.is_err()
    })
    .await
}

async fn one_plain_key_in_two_namespaces_is_two_keys(cluster: Arc<Cluster>) -> Result<()> {
    let (one, other) = (cluster.namespace("same-one").await?, cluster.namespace("same-other").await?);
    let reader = one.reader().await?;
    bind_reader_of(&one, &other).await?;
    for (namespace, root_key, enabled) in [(&one, "root-key-of-one", true), (&other, "root-key-of-other", false)] {
        let more = format!("enabled: {enabled}, displayName: {}, ", namespace.name());
        let objects =
            hashed("RootKey", "caller", root_key, "") + &hashed("ApiKey", "acme", "key-of-both-tenants", &more);
        namespace.kubectl().apply(&objects).await?;
    }
    let pod = one.verify_pod("pod-0", &reader)?.flag("namespaces", other.name()).start().await?;
    let body = json!({"key": "key-of-both-tenants"});
    for (root_key, code, name) in
        [("root-key-of-one", "VALID", one.name()), ("root-key-of-other", "DISABLED", other.name())]
    {
        let answer = data(&pod, root_key, body.clone()).await?;
        assert_eq!((&answer["code"], &answer["name"]), (&json!(code), &json!(name)), "{answer}");
    }
    other.kubectl().run(&["delete", "apikey", "acme"]).await?;
    pod.wait_for_code("root-key-of-other", "key-of-both-tenants", "NOT_FOUND").await?;
    assert_eq!(pod.verify("root-key-of-one", "key-of-both-tenants").await?, "VALID");
    Ok(())
}

async fn a_pod_without_rights_in_a_namespace_is_not_ready(cluster: Arc<Cluster>) -> Result<()> {
    let (one, other) = (cluster.namespace("rights-one").await?, cluster.namespace("rights-other").await?);
    let pod = one.verify_pod("pod-0", &one.reader().await?)?.flag("namespaces", other.name()).start_unready()?;
    eventually("the log says what is missing", SOON, || async {
        let log = pod.log()?;
        let told = log.lines().any(|line| line.contains("forbidden") && line.contains(other.name()));
        ensure!(told, "{log}");
        Ok(())
    })
    .await?;
    unready(&pod).await?;
    bind_reader_of(&one, &other).await?;
    pod.wait_ready().await
}

/// The reader of one namespace may read another as well.
async fn bind_reader_of(one: &Namespace, other: &Namespace) -> Result<()> {
    let subject = format!("--serviceaccount={}:reader", one.name());
    let kubectl = other.kubectl();
    kubectl.run(&["create", "role", "reader", "--verb=get,list,watch", "--resource=*.keyplane.dev"]).await?;
    kubectl.run(&["create", "rolebinding", "reader", "--role=reader", &subject]).await?;
    Ok(())
}
