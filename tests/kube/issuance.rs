//! Issuance against a real API server: from an applied object to a Secret and a hash, and what is said when that cannot be.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use data_encoding::BASE64;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use keyplane_api::condition::{READY, find_condition};
use keyplane_api::{ApiKey, ApiKeyStatus, RootKey};
use keyplane_core::hash::KeyHash;
use keyplane_tests::{Cluster, Namespace, SharedCluster, Trial, eventually, trials};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde_json::json;

/// From a change to the status that follows. Milliseconds on a quiet machine.
const SOON: Duration = Duration::from_secs(15);

pub(crate) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster;
        a_generated_key_is_in_its_secret_and_only_its_hash_elsewhere,
        an_existing_secret_of_another_owner_is_left_alone,
        a_lost_or_edited_secret_keeps_the_hash_and_is_taken_back_when_restored,
        a_brought_key_is_hashed_again_when_it_changes,
        a_hash_is_taken_from_the_spec_in_either_form,
        the_older_of_two_equal_hashes_wins_until_it_is_deleted,
        a_root_keys_hash_is_unique_in_the_cluster_and_says_nothing_of_other_namespaces,
        a_key_of_an_unknown_keyspace_is_issued_and_says_so_until_the_keyspace_appears,
        an_expired_key_says_so_when_its_time_comes,
        nothing_is_written_when_nothing_changed,
    ]
}

async fn a_generated_key_is_in_its_secret_and_only_its_hash_elsewhere(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("generate").await?;
    let operator = namespace.operator("a").await?.start().await?;
    let keyspace = "{apiVersion: keyplane.dev/v1alpha1, kind: Keyspace, metadata: {name: default}, spec: {keyDefaults: {prefix: pay, byteLength: 32}}}";
    namespace.kubectl().apply(keyspace).await?;
    apply_key(&namespace, "acme", "{}").await?;
    let (key, status) = with_reason(&namespace, "acme", "Issued").await?;
    let secret = namespace.api::<Secret>().get("acme-key").await?;
    let plain = entry(&secret, "key")?;

    assert_eq!(secret.type_.as_deref(), Some("keyplane.dev/api-key"));
    assert_eq!(secret.labels()["keyplane.dev/apikey"], "acme");
    assert_eq!(secret.owner_references()[0].uid, key.uid().context("no uid")?);
    assert!(plain.starts_with("pay_") && plain.len() > 40, "the keyspace's prefix and length");
    assert_eq!(Some(entry(&secret, "keyId")?), status.key_id);
    assert_eq!(status.key_id, Some(keyplane_core::id::from_uid(keyplane_core::id::Kind::Key, &key.uid().unwrap())));
    assert_eq!(hash(&status), Some(KeyHash::of(&plain)));
    assert_eq!(status.start.as_deref(), Some(&plain[..8]));
    assert_eq!(status.secret_name.as_deref(), Some("acme-key"));
    assert_eq!(ready(&status.conditions)?.observed_generation, key.meta().generation);
    eventually("the event is there", SOON, || async { event(&namespace, "acme", "Issued").await }).await?;
    for (what, text) in [
        ("the object", serde_json::to_string(&key)?),
        ("the log", operator.log()?),
        ("the metrics", operator.ops_page("/metrics").await?),
        ("an event", events(&namespace).await?),
    ] {
        assert!(!text.contains(&plain[4..]), "{what} has the plain key");
    }

    namespace.api::<ApiKey>().delete("acme", &DeleteParams::default()).await?;
    let secrets = namespace.api::<Secret>();
    eventually("the Secret goes with its key", SOON, || async {
        secrets.get_opt("acme-key").await.map(|s| s.is_none())
    })
    .await
}

async fn an_existing_secret_of_another_owner_is_left_alone(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("foreign").await?;
    let _operator = namespace.operator("a").await?.start().await?;
    apply_secret(&namespace, "acme-key", "key", "somebody-elses-value").await?;
    apply_key(&namespace, "acme", "{}").await?;
    let (_, status) = with_reason(&namespace, "acme", "SecretMalformed").await?;
    assert!(ready(&status.conditions)?.message.contains("spec.key.generate.secretName"));
    assert!(status.current.is_none());
    assert_eq!(entry(&namespace.api::<Secret>().get("acme-key").await?, "key")?, "somebody-elses-value");

    // As the message says.
    apply_key(&namespace, "acme", "{key: {generate: {secretName: elsewhere}}}").await?;
    let (_, status) = with_reason(&namespace, "acme", "Issued").await?;
    let plain = entry(&namespace.api::<Secret>().get("elsewhere").await?, "key")?;
    assert_eq!(hash(&status), Some(KeyHash::of(&plain)));
    Ok(())
}

async fn a_lost_or_edited_secret_keeps_the_hash_and_is_taken_back_when_restored(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("lost").await?;
    let _operator = namespace.operator("a").await?.start().await?;
    apply_key(&namespace, "acme", "{}").await?;
    let (_, issued) = with_reason(&namespace, "acme", "Issued").await?;
    let secrets = namespace.api::<Secret>();
    let original = secrets.get("acme-key").await?;

    let edit = json!({"data": {"key": BASE64.encode(b"an-edited-key-of-24-chars")}});
    secrets.patch("acme-key", &PatchParams::default(), &Patch::Merge(&edit)).await?;
    let (_, status) = with_reason(&namespace, "acme", "SecretMalformed").await?;
    assert_eq!(hash(&status), hash(&issued), "an edited Secret changes no key");

    secrets.delete("acme-key", &DeleteParams::default()).await?;
    let (_, status) = with_reason(&namespace, "acme", "SecretMissing").await?;
    assert_eq!(hash(&status), hash(&issued));
    assert!(ready(&status.conditions)?.message.contains("keyplane.dev/rotate"), "says what to do");

    let metadata = json!({"name": "acme-key", "ownerReferences": original.owner_references()});
    let restored = json!({"apiVersion": "v1", "kind": "Secret", "type": original.type_, "metadata": metadata, "data": original.data});
    namespace.kubectl().apply(&restored.to_string()).await?;
    let (_, status) = with_reason(&namespace, "acme", "Issued").await?;
    assert_eq!(status.current, issued.current);
    Ok(())
}

async fn a_brought_key_is_hashed_again_when_it_changes(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("brought").await?;
    let _operator = namespace.operator("a").await?.start().await?;
    apply_key(&namespace, "acme", "{key: {secretRef: {name: mine, key: apiKey}}}").await?;
    let (_, status) = with_reason(&namespace, "acme", "SecretMissing").await?;
    assert!(status.current.is_none() && ready(&status.conditions)?.message.contains("`mine`"));

    apply_secret(&namespace, "mine", "apiKey", "own_0123456789abcdef0123").await?;
    // Foreign Secrets are not watched; any change of the object has them read at once.
    annotate(&namespace, "acme", "1").await?;
    let (_, status) = with_reason(&namespace, "acme", "Issued").await?;
    assert_eq!(hash(&status), Some(KeyHash::of("own_0123456789abcdef0123")));
    assert_eq!(status.start.as_deref(), Some("own_0123"));

    apply_secret(&namespace, "mine", "apiKey", "own_0123456789abcdef0123\n").await?;
    annotate(&namespace, "acme", "2").await?;
    let (_, status) = with_reason(&namespace, "acme", "SecretMalformed").await?;
    assert!(ready(&status.conditions)?.message.contains("newline"));
    assert!(status.current.is_none(), "what is no key any more is not served");

    apply_secret(&namespace, "mine", "apiKey", "own_another456789abcdef").await?;
    annotate(&namespace, "acme", "3").await?;
    let (_, status) = with_reason(&namespace, "acme", "Issued").await?;
    assert_eq!(hash(&status), Some(KeyHash::of("own_another456789abcdef")));
    Ok(())
}

async fn a_hash_is_taken_from_the_spec_in_either_form(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("hash").await?;
    let _operator = namespace.operator("a").await?.start().await?;
    let (hex, base64) = (KeyHash::of("first-plain-key"), KeyHash::of("second-plain-key"));
    apply_key(&namespace, "hex", &format!("{{key: {{hash: {{sha256: '{}'}}}}}}", hex.to_hex())).await?;
    apply_key(&namespace, "base64", &format!("{{key: {{hash: {{sha256: '{}'}}}}}}", base64.to_base64())).await?;
    for (name, wanted) in [("hex", hex), ("base64", base64)] {
        let (_, status) = with_reason(&namespace, name, "Issued").await?;
        assert_eq!(hash(&status), Some(wanted));
        assert_eq!((status.start, status.secret_name), (None, None));
    }
    assert!(namespace.api::<Secret>().get_opt("hex-key").await?.is_none());
    Ok(())
}

async fn the_older_of_two_equal_hashes_wins_until_it_is_deleted(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("duplicate").await?;
    let _operator = namespace.operator("a").await?.start().await?;
    let spec = format!("{{key: {{hash: {{sha256: '{}'}}}}}}", KeyHash::of("one-key-for-two").to_hex());
    let keys = namespace.api::<ApiKey>();
    apply_key(&namespace, "first", &spec).await?;
    // Creation times have whole seconds; the second object must be younger and not only have another uid.
    let created = keys.get("first").await?.creation_timestamp().context("no creation time")?;
    eventually("a second has passed", SOON, || async { Timestamp::now().as_second() > created.0.as_second() }).await?;
    apply_key(&namespace, "second", &spec).await?;
    let (_, second) = with_reason(&namespace, "second", "DuplicateHash").await?;
    assert!(ready(&second.conditions)?.message.contains("`first`"));
    with_reason(&namespace, "first", "Issued").await?;

    keys.delete("first", &DeleteParams::default()).await?;
    with_reason(&namespace, "second", "Issued").await?;
    Ok(())
}

async fn a_root_keys_hash_is_unique_in_the_cluster_and_says_nothing_of_other_namespaces(
    cluster: Arc<Cluster>,
) -> Result<()> {
    let (one, other) = (cluster.namespace("root-one").await?, cluster.namespace("root-other").await?);
    let program = one.operator("a").await?.flag("watch-namespaces", format!("{},{}", one.name(), other.name()));
    let _operator = program.start().await?;
    let hash = KeyHash::of("one-root-key-for-two").to_hex();
    let object = |name: &str| {
        format!(
            "{{apiVersion: keyplane.dev/v1alpha1, kind: RootKey, metadata: {{name: {name}}}, spec: {{key: {{hash: {{sha256: '{hash}'}}}}}}}}"
        )
    };
    one.kubectl().apply(&object("first")).await?;
    root_with_reason(&one, "first", "Issued").await?;
    other.kubectl().apply(&object("second")).await?;
    let both = async || -> Result<(Condition, Condition)> {
        Ok((root_ready(&one, "first").await?, root_ready(&other, "second").await?))
    };
    // Within one second the smaller uid is the older one.
    let loser = eventually("one of them is a duplicate", SOON, || async {
        let (first, second) = both().await?;
        anyhow::Ok([first, second].into_iter().find(|condition| condition.reason == "DuplicateHash"))
    })
    .await?;
    for secret in [one.name(), other.name(), "first", "second"] {
        assert!(!loser.message.contains(secret), "{}", loser.message);
    }
    Ok(())
}

async fn a_key_of_an_unknown_keyspace_is_issued_and_says_so_until_the_keyspace_appears(
    cluster: Arc<Cluster>,
) -> Result<()> {
    let namespace = cluster.namespace("keyspace").await?;
    let _operator = namespace.operator("a").await?.start().await?;
    apply_key(&namespace, "acme", "{keyspace: payments}").await?;
    let (_, status) = with_reason(&namespace, "acme", "KeyspaceNotFound").await?;
    let plain = entry(&namespace.api::<Secret>().get("acme-key").await?, "key")?;
    assert_eq!(hash(&status), Some(KeyHash::of(&plain)), "issued all the same");

    let keyspace = "{apiVersion: keyplane.dev/v1alpha1, kind: Keyspace, metadata: {name: payments}, spec: {}}";
    namespace.kubectl().apply(keyspace).await?;
    with_reason(&namespace, "acme", "Issued").await?;
    namespace.kubectl().run(&["delete", "keyspace", "payments"]).await?;
    let (_, status) = with_reason(&namespace, "acme", "KeyspaceNotFound").await?;
    assert_eq!(hash(&status), Some(KeyHash::of(&plain)));
    Ok(())
}

async fn an_expired_key_says_so_when_its_time_comes(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("expires").await?;
    let _operator = namespace.operator("a").await?.start().await?;
    let soon = Timestamp::now().as_second() + 3;
    let soon = Timestamp::from_second(soon)?;
    apply_key(&namespace, "acme", &format!("{{expires: '{soon}'}}")).await?;
    let (_, issued) = with_reason(&namespace, "acme", "Issued").await?;
    let (_, status) = with_reason(&namespace, "acme", "Expired").await?;
    assert_eq!(status.current, issued.current);
    assert!(ready(&status.conditions)?.last_transition_time.0 >= soon, "not before its time");
    apply_key(&namespace, "acme", "{enabled: false}").await?;
    with_reason(&namespace, "acme", "Issued").await.context("a disabled key is no failure")?;
    Ok(())
}

async fn nothing_is_written_when_nothing_changed(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("quiet").await?;
    let operator = namespace.operator("a").await?.start().await?;
    apply_key(&namespace, "acme", "{}").await?;
    with_reason(&namespace, "acme", "Issued").await?;
    let secret = namespace.api::<Secret>().get("acme-key").await?;
    let reconciles = "keyplane_operator_reconciles_total{controller=\"ApiKey\",result=\"ok\"}";
    let writes = "keyplane_operator_status_writes_total{controller=\"ApiKey\"}";
    let before = operator.metric(reconciles).await?.unwrap_or_default();
    annotate(&namespace, "acme", "again").await?;
    let annotated = namespace.api::<ApiKey>().get("acme").await?;
    eventually("it was reconciled again", SOON, || async {
        operator.metric(reconciles).await.map(|now| now.is_some_and(|now| now > before))
    })
    .await?;
    assert_eq!(operator.metric(writes).await?, Some(1.0));
    assert_eq!(namespace.api::<ApiKey>().get("acme").await?.resource_version(), annotated.resource_version());
    assert_eq!(namespace.api::<Secret>().get("acme-key").await?.resource_version(), secret.resource_version());
    Ok(())
}

/// Applies an ApiKey with this spec.
pub(crate) async fn apply_key(namespace: &Namespace, name: &str, spec: &str) -> Result<()> {
    let object =
        format!("{{apiVersion: keyplane.dev/v1alpha1, kind: ApiKey, metadata: {{name: {name}}}, spec: {spec}}}");
    namespace.kubectl().apply(&object).await.map(drop)
}

/// Waits until the Ready condition of an ApiKey has this reason and is about its present generation.
pub(crate) async fn with_reason(namespace: &Namespace, name: &str, reason: &str) -> Result<(ApiKey, ApiKeyStatus)> {
    let keys = namespace.api::<ApiKey>();
    eventually(format!("{name} is {reason}"), SOON, || async {
        let key = keys.get(name).await?;
        let status = key.status.clone().unwrap_or_default();
        let condition = ready(&status.conditions)?;
        if condition.observed_generation != key.meta().generation || condition.reason != reason {
            bail!("generation {:?}, {}: {}", condition.observed_generation, condition.reason, condition.message);
        }
        assert_eq!(condition.status, if reason == "Issued" { "True" } else { "False" });
        Ok(Some((key, status)))
    })
    .await
}

async fn root_with_reason(namespace: &Namespace, name: &str, reason: &str) -> Result<()> {
    let what = format!("{name} is {reason}");
    eventually(what, SOON, || async { root_ready(namespace, name).await.map(|ready| ready.reason == reason) }).await
}

async fn root_ready(namespace: &Namespace, name: &str) -> Result<Condition> {
    let key = namespace.api::<RootKey>().get(name).await?;
    ready(&key.status.unwrap_or_default().conditions).cloned()
}

fn ready(conditions: &[Condition]) -> Result<&Condition> {
    find_condition(conditions, READY).context("no Ready condition yet")
}

fn hash(status: &ApiKeyStatus) -> Option<KeyHash> {
    status.current.as_ref().map(|current| KeyHash::parse(&current.sha256).expect("the status has a readable hash"))
}

pub(crate) fn entry(secret: &Secret, name: &str) -> Result<String> {
    let bytes = secret.data.as_ref().and_then(|data| data.get(name)).with_context(|| format!("no entry {name}"))?;
    Ok(String::from_utf8(bytes.0.clone())?)
}

async fn apply_secret(namespace: &Namespace, name: &str, entry: &str, value: &str) -> Result<()> {
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {entry: value}});
    // Not by server-side apply: `stringData` does not replace what another apply left in `data`.
    let patch = json!({"stringData": {entry: value}});
    let secrets = namespace.api::<Secret>();
    if secrets.get_opt(name).await?.is_some() {
        secrets.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    } else {
        secrets.create(&kube::api::PostParams::default(), &serde_json::from_value(secret)?).await?;
    }
    Ok(())
}

/// A change that makes no new generation.
async fn annotate(namespace: &Namespace, name: &str, value: &str) -> Result<()> {
    let patch = json!({"metadata": {"annotations": {"test": value}}});
    namespace.api::<ApiKey>().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    Ok(())
}

pub(crate) async fn event(namespace: &Namespace, about: &str, reason: &str) -> Result<Option<Event>> {
    let events = namespace.api::<Event>().list(&ListParams::default()).await?;
    Ok(events.into_iter().find(|event| {
        let regarding = event.regarding.as_ref().and_then(|regarding| regarding.name.as_deref());
        regarding == Some(about) && event.reason.as_deref() == Some(reason)
    }))
}

async fn events(namespace: &Namespace) -> Result<String> {
    Ok(serde_json::to_string(&namespace.api::<Event>().list(&ListParams::default()).await?)?)
}
