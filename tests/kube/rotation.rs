//! Rotation against a real API server: the next key in the Secret, both valid at a pod for the overlap, the old one ended by the pod alone; and
//! Secrets that somebody deletes or edits.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use data_encoding::BASE64;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use keyplane_api::{ApiKey, ApiKeyStatus};
use keyplane_core::hash::KeyHash;
use keyplane_tests::{Cluster, Namespace, Server, SharedCluster, Trial, eventually, trials};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::issuance::{apply_key, entry, event, with_reason};
use crate::operator_faults::without_status;

const SOON: Duration = Duration::from_secs(15);
const CALLER: &str = "{apiVersion: keyplane.dev/v1alpha1, kind: RootKey, metadata: {name: caller}, spec: {permissions: [api.*.verify_key]}}";

pub(crate) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster;
        a_requested_rotation_overlaps_and_the_pod_ends_it_without_an_operator,
        a_root_key_rotates_and_both_are_callers,
        a_short_interval_rotates_again_and_again,
        a_second_request_waits_for_the_end_of_the_overlap,
        a_deleted_secret_of_a_rotating_key_is_made_again,
        an_edited_secret_of_a_rotating_key_is_set_right,
        a_lost_key_that_does_not_rotate_is_replaced_by_request,
        an_operator_killed_between_secret_and_status_rotates_once,
        a_secret_that_cannot_be_changed_keeps_its_key_and_says_so,
        a_key_that_expires_soon_says_so_and_has_metrics,
        an_object_that_is_too_deep_ends_no_watch,
    ]
}

/// A namespace with an operator, a pod and a root key.
struct Rotating {
    namespace: Namespace,
    operator: Server,
    pod: Server,
    root_key: String,
}

impl Rotating {
    async fn in_namespace(cluster: &Arc<Cluster>, purpose: &str) -> Result<Self> {
        let namespace = cluster.namespace(purpose).await?;
        let operator = namespace.operator("a").await?.start().await?;
        let pod = namespace.verify_pod("pod-0", &namespace.reader().await?)?.start().await?;
        namespace.kubectl().apply(CALLER).await?;
        let root_key = namespace.issued_key("caller-key").await?;
        Ok(Self { namespace, operator, pod, root_key })
    }

    /// An issued and served key.
    async fn key(&self, spec: &str) -> Result<String> {
        apply_key(&self.namespace, "acme", spec).await?;
        let plain = self.namespace.issued_key("acme-key").await?;
        self.answers(&plain, "VALID").await?;
        Ok(plain)
    }

    async fn answers(&self, plain: &str, code: &str) -> Result<()> {
        self.pod.wait_for_code(&self.root_key, plain, code).await
    }
}

async fn rotate(namespace: &Namespace, object: &str, value: &str) -> Result<()> {
    let annotation = format!("keyplane.dev/rotate={value}");
    namespace.kubectl().run(&["annotate", object, &annotation, "--overwrite"]).await.map(drop)
}

/// Waits until the Secret has another key than `old` and the status has it too; returns the new key.
async fn next_key(namespace: &Namespace, old: &str) -> Result<(String, Secret, ApiKeyStatus)> {
    eventually("the next key is issued", SOON, || async {
        let Some(secret) = namespace.api::<Secret>().get_opt("acme-key").await? else { return Ok(None) };
        let (plain, status) = (entry(&secret, "key")?, status(namespace).await?);
        let is_issued = plain != old && current(&status)? == KeyHash::of(&plain);
        anyhow::Ok(is_issued.then_some((plain, secret, status)))
    })
    .await
}

async fn status(namespace: &Namespace) -> Result<ApiKeyStatus> {
    Ok(namespace.api::<ApiKey>().get("acme").await?.status.unwrap_or_default())
}

fn current(status: &ApiKeyStatus) -> Result<KeyHash> {
    Ok(KeyHash::parse(&status.current.as_ref().context("no current key")?.sha256)?)
}

/// The previous key's hash and its end.
fn previous(status: &ApiKeyStatus) -> Option<(KeyHash, Timestamp)> {
    let previous = status.previous.as_ref()?;
    Some((KeyHash::parse(&previous.sha256).expect("a readable hash"), previous.valid_until.0))
}

async fn change(namespace: &Namespace, spec: Value) -> Result<()> {
    let patch = Patch::Merge(json!({ "spec": spec }));
    namespace.api::<ApiKey>().patch("acme", &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn edit_secret(namespace: &Namespace, data: Value) -> Result<()> {
    let patch = Patch::Merge(json!({ "data": data }));
    namespace.api::<Secret>().patch("acme-key", &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn told(namespace: &Namespace, reason: &str) -> Result<String> {
    let what = format!("an event {reason}");
    let event = eventually(what, SOON, || async { event(namespace, "acme", reason).await }).await?;
    event.note.context("an event has a note")
}

async fn a_requested_rotation_overlaps_and_the_pod_ends_it_without_an_operator(cluster: Arc<Cluster>) -> Result<()> {
    let rotating = Rotating::in_namespace(&cluster, "rotate").await?;
    let namespace = &rotating.namespace;
    let old = rotating.key("{rotation: {every: 24h, overlap: 1h}}").await?;
    let before = status(namespace).await?;
    let issued = before.current.as_ref().context("no current key")?.issued_at.0;
    assert_eq!(before.next_rotation.context("no next rotation")?.0, issued + SignedDuration::from_hours(24));

    rotate(namespace, "apikey/acme", "1").await?;
    let (new, secret, rotated) = next_key(namespace, &old).await?;
    assert_eq!(entry(&secret, "previousKey")?, old);
    assert_eq!(Some(entry(&secret, "keyId")?), rotated.key_id);
    assert_eq!((rotated.handled_rotate.as_deref(), rotated.start.as_deref()), (Some("1"), Some(&new[..4])));
    let (hash, end) = previous(&rotated).context("no previous key")?;
    let overlap = end.duration_since(rotated.current.context("no current key")?.issued_at.0);
    assert_eq!((hash, overlap), (KeyHash::of(&old), SignedDuration::from_secs(3601)));
    rotating.answers(&new, "VALID").await?;
    rotating.answers(&old, "VALID").await?;
    let note = told(namespace, "Rotated").await?;
    assert!(note.contains(&format!("{end}")) && note.contains(&old[..4]) && !note.contains(&old[4..]), "{note}");

    // The owner's own word ends the overlap sooner: a few seconds from now, with nobody there to do it but the pod.
    let elapsed = Timestamp::now().duration_since(end - overlap).as_secs();
    change(namespace, json!({"rotation": {"every": "24h", "overlap": format!("{}s", elapsed + 4)}})).await?;
    let end = eventually("the overlap is shorter", SOON, || async {
        let now = previous(&status(namespace).await?).map(|(_, end)| end);
        anyhow::Ok(now.filter(|now| *now < end))
    })
    .await?;
    rotating.operator.kill();
    rotating.answers(&old, "EXPIRED").await?;
    assert!(Timestamp::now() > end, "not before its time");
    assert_eq!(rotating.pod.verify(&rotating.root_key, &new).await?, "VALID");
    assert!(status(namespace).await?.previous.is_some(), "nobody but the pod ended it");

    let again = namespace.operator("b").await?.start().await?;
    rotating.answers(&old, "NOT_FOUND").await?;
    eventually("the old key leaves the Secret", SOON, || async {
        let data = namespace.api::<Secret>().get("acme-key").await?.data.unwrap_or_default();
        anyhow::Ok(!data.contains_key("previousKey") && data.contains_key("key"))
    })
    .await?;
    assert_eq!(again.metric(&rotations("request")).await?, None, "what was asked for is done");
    for server in [&rotating.pod, &rotating.operator, &again] {
        assert!(!server.log()?.contains(&old) && !server.log()?.contains(&new));
    }
    Ok(())
}

fn rotations(cause: &str) -> String {
    format!("keyplane_operator_rotations_total{{controller=\"ApiKey\",cause=\"{cause}\"}}")
}

async fn a_root_key_rotates_and_both_are_callers(cluster: Arc<Cluster>) -> Result<()> {
    let rotating = Rotating::in_namespace(&cluster, "rotate-root").await?;
    let plain = rotating.key("{}").await?;
    rotate(&rotating.namespace, "rootkey/caller", "1").await?;
    let next = eventually("the next root key is issued", SOON, || async {
        let secret = rotating.namespace.api::<Secret>().get("caller-key").await?;
        let key = entry(&secret, "key")?;
        anyhow::Ok((key != rotating.root_key).then_some(key))
    })
    .await?;
    rotating.pod.wait_for_code(&next, &plain, "VALID").await?;
    rotating.pod.wait_for_code(&rotating.root_key, &plain, "VALID").await
}

async fn a_short_interval_rotates_again_and_again(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("often").await?;
    let operator = namespace.operator("a").await?.start().await?;
    apply_key(&namespace, "acme", "{rotation: {every: 2s, overlap: 0s}}").await?;
    eventually("it has rotated three times", SOON, || async {
        operator.metric(&rotations("schedule")).await.map(|count| count.is_some_and(|count| count >= 3.0))
    })
    .await?;
    // It stops where it is, so that what is seen belongs together.
    change(&namespace, json!({"rotation": null})).await?;
    let (key, status) = with_reason(&namespace, "acme", "Issued").await?;
    assert_eq!((status.previous, status.next_rotation), (None, None));
    let secret = eventually("no old key is left in the Secret", SOON, || async {
        let secret = namespace.api::<Secret>().get("acme-key").await?;
        anyhow::Ok(entry(&secret, "previousKey").is_err().then_some(secret))
    })
    .await?;
    let current = key.status.and_then(|status| status.current).context("no current key")?;
    assert_eq!(KeyHash::parse(&current.sha256)?, KeyHash::of(&entry(&secret, "key")?));
    let generated = operator.metric("keyplane_operator_keys_generated_total{controller=\"ApiKey\"}").await?;
    assert_eq!(generated, operator.metric(&rotations("schedule")).await?.map(|count| count + 1.0), "none for nothing");
    Ok(())
}

async fn a_second_request_waits_for_the_end_of_the_overlap(cluster: Arc<Cluster>) -> Result<()> {
    let rotating = Rotating::in_namespace(&cluster, "twice").await?;
    let namespace = &rotating.namespace;
    let first = rotating.key("{rotation: {every: 24h, overlap: 1h}}").await?;
    rotate(namespace, "apikey/acme", "1").await?;
    let (second, _, rotated) = next_key(namespace, &first).await?;
    let (_, end) = previous(&rotated).context("no previous key")?;
    rotate(namespace, "apikey/acme", "2").await?;
    eventually("the status says when it will be", SOON, || async {
        status(namespace).await.map(|status| status.next_rotation.map(|next| next.0) == Some(end))
    })
    .await?;
    assert!(told(namespace, "RotationDeferred").await?.contains(&format!("{end}")));
    for plain in [&first, &second] {
        rotating.answers(plain, "VALID").await?;
    }
    // No overlap any more: the first ends, and the third follows the second at once.
    change(namespace, json!({"rotation": {"every": "24h", "overlap": "0s"}})).await?;
    let (third, _, rotated) = next_key(namespace, &second).await?;
    assert_eq!((rotated.previous, rotated.handled_rotate.as_deref()), (None, Some("2")));
    rotating.answers(&third, "VALID").await?;
    for plain in [&first, &second] {
        rotating.answers(plain, "NOT_FOUND").await?;
    }
    Ok(())
}

async fn a_deleted_secret_of_a_rotating_key_is_made_again(cluster: Arc<Cluster>) -> Result<()> {
    let rotating = Rotating::in_namespace(&cluster, "deleted").await?;
    let namespace = &rotating.namespace;
    let lost = rotating.key("{rotation: {every: 24h, overlap: 1h}}").await?;
    namespace.api::<Secret>().delete("acme-key", &DeleteParams::default()).await?;
    let (new, secret, healed) = next_key(namespace, &lost).await?;
    assert!(entry(&secret, "previousKey").is_err(), "nobody has the lost key any more");
    assert_eq!(previous(&healed).map(|(hash, _)| hash), Some(KeyHash::of(&lost)));
    assert_eq!(secret.owner_references().len(), 1);
    rotating.answers(&new, "VALID").await?;
    rotating.answers(&lost, "VALID").await?;
    assert!(told(namespace, "SecretReplaced").await?.contains("was deleted"));
    assert_eq!(rotating.operator.metric(&rotations("secret_deleted")).await?, Some(1.0));

    // Again, within the overlap: at most two keys are valid, so it has to wait, and says so.
    namespace.api::<Secret>().delete("acme-key", &DeleteParams::default()).await?;
    let (_, waiting) = with_reason(namespace, "acme", "SecretMissing").await?;
    assert_eq!(waiting.next_rotation.map(|next| next.0), previous(&healed).map(|(_, end)| end));
    assert_eq!((waiting.current, waiting.previous), (healed.current, healed.previous));
    Ok(())
}

async fn an_edited_secret_of_a_rotating_key_is_set_right(cluster: Arc<Cluster>) -> Result<()> {
    let rotating = Rotating::in_namespace(&cluster, "edited").await?;
    let namespace = &rotating.namespace;
    let issued = rotating.key("{rotation: {every: 24h, overlap: 1h}}").await?;
    let strange = BASE64.encode(b"an-edited-key-of-24-chars");
    edit_secret(namespace, json!({"key": strange})).await?;
    let (new, secret, healed) = next_key(namespace, "an-edited-key-of-24-chars").await?;
    assert!(new != issued && entry(&secret, "previousKey").is_err());
    assert_eq!(previous(&healed).map(|(hash, _)| hash), Some(KeyHash::of(&issued)));
    rotating.answers(&new, "VALID").await?;
    rotating.answers(&issued, "VALID").await?;
    rotating.answers("an-edited-key-of-24-chars", "NOT_FOUND").await?;
    assert!(told(namespace, "SecretReplaced").await?.contains("did not hold"));

    edit_secret(namespace, json!({"previousKey": strange, "keyId": null})).await?;
    eventually("the other entries are as they were", SOON, || async {
        let secret = namespace.api::<Secret>().get("acme-key").await?;
        let is_right = entry(&secret, "previousKey").is_err() && entry(&secret, "keyId").ok() == healed.key_id;
        anyhow::Ok(is_right && entry(&secret, "key")? == new)
    })
    .await
}

async fn a_lost_key_that_does_not_rotate_is_replaced_by_request(cluster: Arc<Cluster>) -> Result<()> {
    let rotating = Rotating::in_namespace(&cluster, "handed-over").await?;
    let namespace = &rotating.namespace;
    let lost = rotating.key("{}").await?;
    namespace.api::<Secret>().delete("acme-key", &DeleteParams::default()).await?;
    let (key, kept) = with_reason(namespace, "acme", "SecretMissing").await?;
    assert_eq!((current(&kept)?, kept.next_rotation), (KeyHash::of(&lost), None));
    let message = &keyplane_api::condition::find_condition(&kept.conditions, "Ready").context("Ready")?.message;
    assert!(message.contains("keyplane.dev/rotate"), "{message}");
    rotating.answers(&lost, "VALID").await?;

    rotate(namespace, "apikey/acme", "1").await?;
    let (new, _, healed) = next_key(namespace, &lost).await?;
    let (hash, end) = previous(&healed).context("no previous key")?;
    assert!(hash == KeyHash::of(&lost) && end > Timestamp::now() + SignedDuration::from_hours(23), "a day by default");
    with_reason(namespace, "acme", "Issued").await?;
    rotating.answers(&new, "VALID").await?;
    rotating.answers(&lost, "VALID").await?;
    assert_eq!(key.uid(), namespace.api::<ApiKey>().get("acme").await?.uid());
    Ok(())
}

async fn an_operator_killed_between_secret_and_status_rotates_once(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("halfway").await?;
    let first = namespace.operator("a").await?.start().await?;
    apply_key(&namespace, "acme", "{rotation: {every: 24h, overlap: 1h}}").await?;
    let (_, issued) = with_reason(&namespace, "acme", "Issued").await?;
    let old = namespace.issued_key("acme-key").await?;
    assert_eq!(first.terminate().await?, 0);

    // All rights of an operator but one: it can change the Secret and cannot write the status.
    let crippled = namespace.operator("b").await?.identity(&without_status(&namespace).await?).start().await?;
    rotate(&namespace, "apikey/acme", "1").await?;
    let failed = "keyplane_operator_reconciles_total{controller=\"ApiKey\",result=\"refused\"}";
    eventually("the status was refused", SOON, || async {
        crippled.metric(failed).await.map(|count| count.is_some_and(|count| count >= 1.0))
    })
    .await?;
    crippled.kill();
    let halfway = namespace.api::<Secret>().get("acme-key").await?;
    let new = entry(&halfway, "key")?;
    assert!(new != old && entry(&halfway, "previousKey")? == old);
    assert_eq!(status(&namespace).await?.current, issued.current, "it was killed between the two");

    let rightful = namespace.operator("c").await?.start().await?;
    let (same, secret, healed) = next_key(&namespace, &old).await?;
    assert_eq!((same, secret.resource_version()), (new, halfway.resource_version()), "the Secret was not touched");
    assert_eq!(previous(&healed).map(|(hash, _)| hash), Some(KeyHash::of(&old)));
    assert_eq!(healed.handled_rotate.as_deref(), Some("1"));
    told(&namespace, "Rotated").await?;
    assert_eq!(rightful.metric("keyplane_operator_keys_generated_total{controller=\"ApiKey\"}").await?, None);
    Ok(())
}

async fn a_secret_that_cannot_be_changed_keeps_its_key_and_says_so(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("immutable").await?;
    let _operator = namespace.operator("a").await?.start().await?;
    apply_key(&namespace, "acme", "{}").await?;
    let (_, issued) = with_reason(&namespace, "acme", "Issued").await?;
    let patch = Patch::Merge(json!({"immutable": true}));
    namespace.api::<Secret>().patch("acme-key", &PatchParams::default(), &patch).await?;
    rotate(&namespace, "apikey/acme", "1").await?;
    assert!(told(&namespace, "RotationFailed").await?.contains("immutable"));
    let now = status(&namespace).await?;
    assert_eq!((now.current, now.handled_rotate), (issued.current, None), "the request is not forgotten");
    Ok(())
}

async fn a_key_that_expires_soon_says_so_and_has_metrics(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("expires-soon").await?;
    let operator = namespace.operator("a").await?.start().await?;
    // The last of the three times is in some seconds; the others were over when the key was made.
    let expires = Timestamp::from_second(Timestamp::now().as_second() + 3600 + 4)?;
    apply_key(&namespace, "acme", &format!("{{expires: '{expires}', rotation: {{every: 1800s, overlap: 0s}}}}"))
        .await?;
    let note = told(&namespace, "ExpiresSoon").await?;
    assert!(note.contains(&format!("{expires}")) && note.contains("less than 1 hour"), "{note}");
    assert!(Timestamp::now() >= expires - SignedDuration::from_hours(1), "not before its time");
    let (_, status) = with_reason(&namespace, "acme", "Issued").await?;
    let next = status.next_rotation.context("no next rotation")?.0;
    let labels = format!("{{controller=\"ApiKey\",namespace=\"{}\",name=\"acme\"}}", namespace.name());
    for (family, time) in [("key_expiry", expires), ("key_next_rotation", next)] {
        let sample = format!("keyplane_operator_{family}_timestamp_seconds{labels} {}\n", time.as_second());
        eventually("the metric is there", SOON, || async {
            operator.ops_page("/metrics").await.map(|page| page.contains(&sample))
        })
        .await?;
    }
    namespace.api::<ApiKey>().delete("acme", &DeleteParams::default()).await?;
    eventually("the metric goes with its key", SOON, || async {
        operator.ops_page("/metrics").await.map(|page| !page.contains(&labels))
    })
    .await
}

async fn an_object_that_is_too_deep_ends_no_watch(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("deep").await?;
    let deep = format!("{}1{}", r#"{"a":"#.repeat(400), "}".repeat(400));
    let object = format!(
        r#"{{"apiVersion": "keyplane.dev/v1alpha1", "kind": "ApiKey", "metadata": {{"name": "deep"}}, "spec": {{"meta": {deep}}}}}"#
    );
    namespace.kubectl().apply(&object).await?;
    let operator = namespace.operator("a").await?.start().await?;
    apply_key(&namespace, "acme", "{}").await?;
    with_reason(&namespace, "acme", "Issued").await?;
    eventually("people are told", SOON, || async { event(&namespace, "deep", "Unreadable").await }).await?;
    ensure!(operator.metric("keyplane_operator_watch_errors_total{controller=\"ApiKey\"}").await?.is_none());
    Ok(())
}
