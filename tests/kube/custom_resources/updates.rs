//! Changes of objects that exist: what must stay stays, everything else may change.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use keyplane_tests::{Cluster, Namespace, SharedCluster, Trial, trials};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::objects::{api_of, object, spec};

pub(super) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster; what_must_stay_stays, everything_else_may_change]
}

const KEYS: &[&str] = &["ApiKey", "RootKey"];
const KEY: &[&str] = &["ApiKey"];
const OTHER_KEYSPACE: &str =
    "spec.keyspace: Forbidden: keyspace cannot be changed; make a new key in the other keyspace";
const OTHER_SOURCE: &str =
    "spec.key: Forbidden: the source of a key cannot be changed to another kind; make a new object for a new key";
const HASH: &str = "{key: {hash: {sha256: d265e5cdd3ca3eb9d779087c38f18b4b625e18eab9fe315e156eba4a43f2dc88}}}";

/// Kinds, a spec, a merge patch of it, words of the refusal.
const REFUSED: &[(&[&str], &str, &str, &str)] = &[
    (KEY, "{}", "{keyspace: payments}", OTHER_KEYSPACE),
    // Taking the field away means the default, which is another keyspace.
    (KEY, "{keyspace: payments}", "{keyspace: null}", OTHER_KEYSPACE),
    (KEYS, "{}", "{key: {generate: null, secretRef: {name: a}}}", OTHER_SOURCE),
    (KEYS, "{key: {secretRef: {name: a}}}", "{key: {secretRef: null, generate: {}}}", OTHER_SOURCE),
    (KEYS, HASH, "{key: null}", OTHER_SOURCE),
    (KEYS, HASH, "{rotation: {every: 24h, overlap: 1h}}", "rotation is only for a generated key"),
];

/// Kinds, a spec, a merge patch of it.
const ACCEPTED: &[(&[&str], &str, &str)] = &[
    (KEY, "{keyspace: payments}", "{keyspace: payments, enabled: false}"),
    (KEY, "{}", "{keyspace: default}"),
    (KEYS, "{}", "{key: {generate: {prefix: a}}}"),
    (KEYS, "{}", "{key: null, displayName: a}"),
    (KEYS, "{}", "{rotation: {every: 24h, overlap: 1h}, expires: \"2099-01-01T00:00:00Z\"}"),
    (KEYS, "{key: {secretRef: {name: a}}}", "{key: {secretRef: {name: b, key: c}}}"),
    (KEYS, HASH, "{key: {hash: {sha256: f6684cffae24d42bc6e41746ca0da4ee424bf3cb903760c70026cdc68e4ef13f}}}"),
];

/// The words of all refusals here.
pub(super) fn words() -> impl Iterator<Item = &'static str> {
    REFUSED.iter().map(|(_, _, _, words)| *words)
}

async fn update(namespace: &Namespace, kind: &str, name: &str, before: &str, change: &str) -> Result<Option<String>> {
    let objects = api_of(kind, namespace);
    objects.create(&PostParams::default(), &object(kind, name, spec(before))).await.context("before the change")?;
    let patch = Patch::Merge(json!({ "spec": spec(change) }));
    match objects.patch(name, &PatchParams::default(), &patch).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

async fn what_must_stay_stays(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("must-stay").await?;
    for (number, (kinds, before, change, words)) in REFUSED.iter().enumerate() {
        for kind in *kinds {
            let said = update(&namespace, kind, &format!("a-{number}"), before, change).await?;
            let said = said.with_context(|| format!("{kind} {before} changed by {change} was accepted"))?;
            ensure!(said.contains(words), "{kind} {before} changed by {change}: {said}");
        }
    }
    Ok(())
}

async fn everything_else_may_change(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("may-change").await?;
    for (number, (kinds, before, change)) in ACCEPTED.iter().enumerate() {
        for kind in *kinds {
            let said = update(&namespace, kind, &format!("a-{number}"), before, change).await?;
            ensure!(said.is_none(), "{kind} {before} changed by {change}: {said:?}");
        }
    }
    Ok(())
}
