//! Pods that start while the Kubernetes API is gone, from the snapshot on their volume. Each trial stops an API server of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use keyplane_core::hash::KeyHash;
use keyplane_tests::{Cluster, Install, Namespace, Program, Server, SharedCluster, Trial, eventually, trials};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(15);
/// The back-off of a watch grows to 30 s, and more at random.
const BACK: Duration = Duration::from_secs(90);
const ROOT_KEY: &str = "root-key-of-snapshots";
const FEEDZ: &str = "application/json;g=debug.keyplane.dev;v=v1alpha1;as=Feedz";

pub(crate) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster;
        a_pod_starts_from_its_snapshot_and_says_how_old_it_is,
        a_key_that_went_meanwhile_is_gone_when_the_api_is_back,
        a_snapshot_that_is_too_old_is_not_served,
        a_damaged_snapshot_is_refused_and_made_anew,
    ]
}

fn object(kind: &str, name: &str, plain: &str, more: &str) -> String {
    let sha256 = KeyHash::of(plain).to_hex();
    format!(
        "---\n{{apiVersion: keyplane.dev/v1alpha1, kind: {kind}, metadata: {{name: {name}}}, spec: {{{more}key: {{hash: {{sha256: {sha256}}}}}}}}}\n"
    )
}

/// Two keys, a role that one has, a caller, and the program of a pod that serves them.
async fn with_keys() -> Result<(Namespace, Program)> {
    let namespace = Cluster::start(Install::CrdsAndChart).await?.namespace("snapshot").await?;
    let role = "---\n{apiVersion: keyplane.dev/v1alpha1, kind: KeyRole, metadata: {name: editor}, spec: {permissions: [a.b]}}\n";
    let objects = [
        object("RootKey", "caller", ROOT_KEY, "permissions: [api.*.verify_key], "),
        object("ApiKey", "stays", "key-that-stays", "roles: [editor], "),
        object("ApiKey", "goes", "key-that-goes", ""),
        object("ApiKey", "disabled", "key-that-is-off", "enabled: false, "),
        role.to_owned(),
    ];
    namespace.kubectl().apply(&objects.concat()).await?;
    let program = namespace.verify_pod("pod-0", &namespace.reader().await?)?;
    Ok((namespace, program))
}

fn file(program: &Program) -> PathBuf {
    program.directory().join("data/snapshot.redb")
}

async fn feedz(pod: &Server) -> Result<Value> {
    let answer = pod.http().get(pod.ops_url("/feedz")).header("accept", FEEDZ).send().await?;
    let text = answer.text().await?;
    serde_json::from_str(&text).with_context(|| text.clone())
}

/// Waits until these many objects are in the file.
async fn written(pod: &Server, objects: u64) -> Result<()> {
    eventually(format!("{objects} objects are in the snapshot"), SOON, || async {
        let snapshot = feedz(pod).await?["snapshot"].take();
        ensure!(!snapshot["asOf"].is_null() && snapshot["objects"] == objects, "{snapshot}");
        Ok(())
    })
    .await
}

async fn served_from(pod: &Server, source: &str) -> Result<()> {
    eventually(format!("the index is from the {source}"), BACK, || async {
        let index = feedz(pod).await?["index"].take();
        ensure!(index["source"] == source && index["served"] == true, "{index}");
        Ok(())
    })
    .await
}

async fn codes(pod: &Server, wanted: [(&str, &str); 3]) -> Result<()> {
    for (key, code) in wanted {
        let seen = pod.verify(ROOT_KEY, key).await?;
        ensure!(seen == code, "{key} is {seen}");
    }
    Ok(())
}

const AS_BEFORE: [(&str, &str); 3] =
    [("key-that-stays", "VALID"), ("key-that-goes", "VALID"), ("key-that-is-off", "DISABLED")];

async fn a_pod_starts_from_its_snapshot_and_says_how_old_it_is(_shared: Arc<Cluster>) -> Result<()> {
    let (namespace, program) = with_keys().await?;
    let control_plane = namespace.cluster().control_plane();
    let pod = program.start().await?;
    written(&pod, 5).await?;
    assert_eq!(std::fs::metadata(file(&program))?.permissions().mode() & 0o777, 0o600);
    assert_eq!(pod.metric("keyplane_index_age_seconds").await?, Some(0.0));
    let verbose = pod.ops_page("/readyz?verbose").await?;
    assert!(!verbose.contains("warn: index"), "{verbose}");
    // Killed, not stopped: what was committed is what counts.
    pod.kill();
    control_plane.stop_api();

    let mut ages = Vec::new();
    for start in ["after a kill", "after an orderly end"] {
        let pod = program.start().await?;
        codes(&pod, AS_BEFORE).await.context(start)?;
        assert_eq!(pod.verify(ROOT_KEY, "unknown").await?, "NOT_FOUND");
        let body = json!({"key": "key-that-stays", "permissions": "a.b"});
        let (_, answer) = pod.post("/v2/keys.verifyKey", ROOT_KEY, &body).await?;
        assert_eq!(answer["data"]["code"], "VALID", "its role is there too: {answer}");

        let page = feedz(&pod).await?;
        assert_eq!((&page["index"]["source"], &page["index"]["served"]), (&json!("Snapshot"), &json!(true)), "{page}");
        assert_eq!(page["index"]["asOf"], page["snapshot"]["asOf"], "{page}");
        let as_of = page["index"]["asOf"].as_str().context("a time")?.to_owned();
        let verbose = pod.ops_page("/readyz?verbose").await?;
        let warning = format!("warn: index: serving from the snapshot of {as_of}, ");
        ensure!(verbose.contains("[+]index ok\n") && verbose.contains(&warning), "{verbose}");
        ensure!(pod.log()?.contains(&format!("serving from the snapshot of {as_of}, ")), "{}", pod.log()?);
        assert_eq!(pod.metric("keyplane_index_source{source=\"snapshot\"}").await?, Some(1.0));
        for metric in ["keyplane_index_age_seconds", "keyplane_snapshot_age_seconds"] {
            let age = pod.metric(metric).await?.context("a metric")?;
            ensure!(age > 4.0, "{metric} is {age}, and it waited 5 s");
        }
        ages.push(as_of);
        assert_eq!(pod.terminate().await?, 0);
    }
    assert_eq!(ages[0], ages[1], "a pod that heard nothing makes nothing younger");
    Ok(())
}

async fn a_key_that_went_meanwhile_is_gone_when_the_api_is_back(_shared: Arc<Cluster>) -> Result<()> {
    let (namespace, program) = with_keys().await?;
    let control_plane = namespace.cluster().control_plane();
    let pod = program.start().await?;
    codes(&pod, AS_BEFORE).await?;
    assert_eq!(pod.terminate().await?, 0);
    namespace.kubectl().run(&["delete", "apikey", "goes"]).await?;

    // With the API there, the first answer is of now, though the snapshot knows the key.
    let current = program.start().await?;
    assert_eq!(current.verify(ROOT_KEY, "key-that-goes").await?, "NOT_FOUND");
    let snapshot = std::fs::read(file(&program))?;
    current.kill();

    namespace.kubectl().apply(&object("ApiKey", "goes", "key-that-goes", "")).await?;
    let pod = program.start().await?;
    pod.wait_for_code(ROOT_KEY, "key-that-goes", "VALID").await?;
    assert_eq!(pod.terminate().await?, 0);
    assert_ne!(std::fs::read(file(&program))?, snapshot);
    namespace.kubectl().run(&["delete", "apikey", "goes"]).await?;
    namespace.kubectl().apply(&object("ApiKey", "comes", "key-that-comes", "")).await?;
    control_plane.stop_api();
    let stale = program.start().await?;
    codes(&stale, AS_BEFORE).await.context("from the snapshot")?;
    control_plane.start_api().await?;
    eventually("the listing has replaced the snapshot", BACK, || async {
        // Whatever is seen on the way: what is good stays, what is revoked stays.
        stale.ops_page("/readyz").await?;
        for (key, code) in [AS_BEFORE[0], AS_BEFORE[2]] {
            assert_eq!(stale.verify(ROOT_KEY, key).await?, code, "{key}");
        }
        codes(&stale, [("key-that-goes", "NOT_FOUND"), ("key-that-comes", "VALID"), AS_BEFORE[0]]).await
    })
    .await?;
    served_from(&stale, "Registry").await?;
    let verbose = stale.ops_page("/readyz?verbose").await?;
    assert!(!verbose.contains("warn: index"), "{verbose}");
    assert_eq!(stale.metric("keyplane_index_source{source=\"registry\"}").await?, Some(1.0));
    Ok(())
}

/// Not ready, with this reason; and no verification is answered.
async fn refuses(pod: &Server, reason: &str) -> Result<()> {
    eventually(format!("/readyz/index says {reason}"), BACK, || async {
        let answer = pod.http().get(pod.ops_url("/readyz/index")).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == 500 && text.contains(reason), "{status}: {text}");
        Ok(())
    })
    .await?;
    pod.ops_page("/livez").await?;
    assert_eq!(pod.http().get(pod.url("/health/ready")).send().await?.status(), 503);
    let (status, answer) = pod.post("/v2/keys.verifyKey", ROOT_KEY, &json!({"key": "key-that-stays"})).await?;
    assert_eq!(status, 503, "{answer}");
    Ok(())
}

async fn a_snapshot_that_is_too_old_is_not_served(_shared: Arc<Cluster>) -> Result<()> {
    let (namespace, program) = with_keys().await?;
    let control_plane = namespace.cluster().control_plane();
    let strict = program.clone().flag("snapshot-max-age", "1s");
    let pod = strict.start().await?;
    codes(&pod, AS_BEFORE).await?;
    assert_eq!(pod.terminate().await?, 0);
    control_plane.stop_api();

    let pod = strict.start_unready()?;
    refuses(&pod, "--snapshot-max-age is 1s").await?;
    let index = feedz(&pod).await?["index"].take();
    assert_eq!((&index["source"], &index["served"]), (&json!("Snapshot"), &json!(false)), "{index}");
    // A pod that is ready grows too old as well when it hears nothing, and comes back.
    control_plane.start_api().await?;
    served_from(&pod, "Registry").await?;
    pod.wait_ready().await?;
    codes(&pod, AS_BEFORE).await?;
    control_plane.stop_api();
    refuses(&pod, "the registry is not heard any more").await?;
    control_plane.start_api().await?;
    served_from(&pod, "Registry").await?;
    codes(&pod, AS_BEFORE).await
}

async fn a_damaged_snapshot_is_refused_and_made_anew(_shared: Arc<Cluster>) -> Result<()> {
    let (namespace, program) = with_keys().await?;
    let control_plane = namespace.cluster().control_plane();
    let pod = program.start().await?;
    assert_eq!(pod.terminate().await?, 0);
    let whole = std::fs::read(file(&program))?;
    std::fs::write(file(&program), &whole[..whole.len() / 2])?;

    control_plane.stop_api();
    let pod = program.start_unready()?;
    refuses(&pod, "the first synchronisation is not complete").await?;
    ensure!(pod.log()?.contains("the snapshot is not used"), "{}", pod.log()?);
    control_plane.start_api().await?;
    served_from(&pod, "Registry").await?;
    codes(&pod, AS_BEFORE).await?;
    written(&pod, 5).await?;
    pod.kill();
    control_plane.stop_api();
    let again = program.start().await?;
    codes(&again, AS_BEFORE).await
}
