//! Pods while the Kubernetes API is frozen or gone. Each trial breaks an API server of its own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use keyplane_tests::{Cluster, Install, Namespace, Server, SharedCluster, Trial, eventually, throughout, trials};
use serde_json::json;

use super::{SOON, hashed};

/// Long enough for a client that gives up to do so, short enough to wait for.
const A_WHILE: Duration = Duration::from_secs(1);
const ROOT_KEY: &str = "root-key-of-outages";
const KEY: &str = "key-of-outages";

pub(super) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster;
        a_pod_waits_for_the_kubernetes_api_and_says_so,
        a_pod_answers_from_memory_while_the_kubernetes_api_is_away,
    ]
}

async fn with_a_key() -> Result<Namespace> {
    let namespace = Cluster::start(Install::CrdsAndChart).await?.namespace("outage").await?;
    namespace
        .kubectl()
        .apply(&(hashed("RootKey", "caller", ROOT_KEY, "") + &hashed("ApiKey", "acme", KEY, "")))
        .await?;
    Ok(namespace)
}

/// A pod whose index is not complete: alive, not ready, and it says why. It never answers about a key.
pub(super) async fn unready(pod: &Server) -> Result<()> {
    eventually("/readyz names the index", SOON, || async {
        let answer = pod.http().get(pod.ops_url("/readyz")).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == 500 && text.contains("[-]index"), "{status}: {text}");
        Ok(())
    })
    .await?;
    pod.ops_page("/livez").await?;
    assert_eq!(pod.http().get(pod.url("/health/live")).send().await?.status(), 200);
    assert_eq!(pod.http().get(pod.url("/health/ready")).send().await?.status(), 503);
    for (root_key, key) in [(ROOT_KEY, KEY), ("nobody", "nothing")] {
        let (status, answer) = pod.post("/v2/keys.verifyKey", root_key, &json!({"key": key})).await?;
        assert_eq!((status, &answer["error"]["status"]), (503, &json!(503)), "{answer}");
    }
    Ok(())
}

async fn a_pod_waits_for_the_kubernetes_api_and_says_so(_shared: Arc<Cluster>) -> Result<()> {
    let namespace = with_a_key().await?;
    let (control_plane, reader) = (namespace.cluster().control_plane(), namespace.reader().await?);

    control_plane.pause_api()?;
    let frozen = namespace.verify_pod("frozen", &reader)?.start_unready()?;
    unready(&frozen).await?;
    throughout("it stays unready", A_WHILE, || async { frozen.ops_page("/readyz").await.is_err() }).await?;
    // A pod that waits can be stopped.
    let stopped = namespace.verify_pod("stopped", &reader)?.start_unready()?;
    unready(&stopped).await?;
    assert_eq!(stopped.terminate().await?, 0);
    control_plane.resume_api()?;
    frozen.wait_ready().await?;
    assert_eq!(frozen.verify(ROOT_KEY, KEY).await?, "VALID", "the first answer of a ready pod");

    control_plane.stop_api();
    let refused = namespace.verify_pod("refused", &reader)?.start_unready()?;
    unready(&refused).await?;
    throughout("it stays unready", A_WHILE, || async { refused.ops_page("/readyz").await.is_err() }).await?;
    control_plane.start_api().await?;
    refused.wait_ready().await?;
    assert_eq!(refused.verify(ROOT_KEY, KEY).await?, "VALID", "the first answer of a ready pod");
    Ok(())
}

async fn a_pod_answers_from_memory_while_the_kubernetes_api_is_away(_shared: Arc<Cluster>) -> Result<()> {
    let namespace = with_a_key().await?;
    let control_plane = namespace.cluster().control_plane();
    let pod = namespace.verify_pod("pod-0", &namespace.reader().await?)?.start().await?;
    let answers = || async {
        pod.ops_page("/readyz").await?;
        let code = pod.verify(ROOT_KEY, KEY).await?;
        ensure!(code == "VALID", "{code}");
        Ok(())
    };
    answers().await?;
    control_plane.pause_api()?;
    throughout("VALID while the API server is frozen", A_WHILE, answers).await?;
    control_plane.resume_api()?;
    control_plane.stop_api();
    // Until its watches have noticed, and on.
    eventually("the pod notices", SOON, || async {
        pod.log().map(|log| log.contains("the watch of a registry broke"))
    })
    .await?;
    throughout("VALID while the API server is gone", A_WHILE, answers).await?;

    control_plane.start_api().await?;
    let more = hashed("ApiKey", "acme", KEY, "enabled: false, ") + &hashed("ApiKey", "new", "key-after-the-outage", "");
    namespace.kubectl().apply(&more).await?;
    let back = Duration::from_secs(60); // the back-off of a watch grows to 30 s
    for (key, wanted) in [(KEY, "DISABLED"), ("key-after-the-outage", "VALID")] {
        eventually(format!("the pod follows again: {wanted}"), back, || async {
            let code = pod.verify(ROOT_KEY, key).await?;
            ensure!(code == wanted, "{code}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}
