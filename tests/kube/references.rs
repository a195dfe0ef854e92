//! Names and references against a real API server: what objects say of the keys that they are for, of the objects that they name, and of
//! those that have their name.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use keyplane_api::condition::{READY, REFERENCES_RESOLVED, find_condition};
use keyplane_api::{
    ApiKey, Identity, KeyPermission, KeyRole, Keyspace, REFERENCES_FIELD_MANAGER, RateLimit, RateLimitOverride,
    STATUS_FIELD_MANAGER,
};
use keyplane_core::hash::KeyHash;
use keyplane_tests::{Cluster, Install, Namespace, Server, SharedCluster, Trial, eventually, throughout, trials};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::issuance::{apply_key, with_reason};

/// From a change to the status that follows: a second for what is gathered, the rest is slack.
const SOON: Duration = Duration::from_secs(15);
/// For thousands of objects on a busy machine.
const MANY: Duration = Duration::from_secs(60);
/// Keys among which one changes.
const KEYS: usize = 2_000;
const WRITES: &str = "keyplane_operator_status_writes_total{controller=\"References\"}";

pub(crate) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster;
        a_limit_says_which_keys_it_takes,
        of_two_objects_with_one_name_both_say_so_until_the_older_is_deleted,
        each_override_says_whether_it_is_used,
        a_key_says_what_it_names_in_vain_and_works_all_the_same,
        a_name_in_another_namespace_is_no_name_here,
        an_edited_status_is_put_right,
        one_change_among_thousands_of_keys_is_one_write,
    ]
}

async fn a_limit_says_which_keys_it_takes(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("matched").await?;
    let _operator = namespace.operator("a").await?.start().await?;
    apply(
        &namespace,
        "RateLimit",
        "gold",
        "{limit: 10, window: 60s, appliesTo: {keyspaces: [pay], keySelector: {matchLabels: {plan: gold}}}}",
    )
    .await?;
    let limit = said::<RateLimit>(&namespace, "gold", REFERENCES_RESOLVED, "KeyspaceNotFound").await?;
    assert!(limit.1.message.contains("`pay`"), "{}", limit.1.message);
    ready::<RateLimit>(&namespace, "gold", "InUse").await?;
    apply(&namespace, "Keyspace", "pay", "{}").await?;
    for (name, plan) in [("one", "gold"), ("two", "gold"), ("three", "free")] {
        let spec = json!({"keyspace": "pay", "key": {"hash": {"sha256": KeyHash::of(name).to_hex()}}});
        let key = json!({"apiVersion": keyplane_api::API_VERSION, "kind": "ApiKey", "spec": spec,
            "metadata": {"name": name, "labels": {"plan": plan}}});
        namespace.kubectl().apply(&key.to_string()).await?;
    }
    said::<RateLimit>(&namespace, "gold", REFERENCES_RESOLVED, "Resolved").await?;
    let limits = namespace.api::<RateLimit>();
    // The last of the three may come more than a turn after the first: then its count waits its 30 seconds.
    let status = eventually("the keys are counted", Duration::from_secs(45), || async {
        let status = limits.get("gold").await?.status.unwrap_or_default();
        anyhow::Ok((status.matched_keys == Some(2)).then_some(status))
    })
    .await?;
    assert_eq!(status.sample, ["one", "two"]);
    assert_eq!(status.id, Some(keyplane_api::limit_record::rate_limit_id(namespace.name(), "gold")));
    let row = namespace.kubectl().run(&["get", "ratelimit", "gold", "--no-headers"]).await?;
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells[..7], ["gold", "10", "60s", "SlidingWindow", "Key", "false", "2"], "{row}");
    assert_eq!(cells[7], "True", "{row}");

    let keys = namespace.api::<ApiKey>();
    for name in ["one", "two", "three"] {
        keys.delete(name, &DeleteParams::default()).await?;
    }
    eventually("at 0 a count is written at once", SOON, || async {
        let status = limits.get("gold").await?.status.unwrap_or_default();
        anyhow::Ok(status.matched_keys == Some(0) && status.sample.is_empty())
    })
    .await?;
    eventually("and so is the keyspace's", SOON, || async {
        let keyspace = namespace.api::<Keyspace>().get("pay").await?;
        anyhow::Ok(keyspace.status.unwrap_or_default().keys == Some(0))
    })
    .await
}

async fn of_two_objects_with_one_name_both_say_so_until_the_older_is_deleted(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("names").await?;
    let _operator = namespace.operator("a").await?.start().await?;
    let kinds = [
        ("RateLimit", "{name: requests, limit: 10, window: 60s}"),
        ("Identity", "{externalId: acme}"),
        ("KeyRole", "{name: editor, permissions: [a.read]}"),
        ("KeyPermission", "{slug: a.read}"),
    ];
    for (kind, spec) in kinds {
        apply(&namespace, kind, "first", spec).await?;
    }
    next_second(&namespace, "first").await?;
    for (kind, spec) in kinds {
        apply(&namespace, kind, "second", spec).await?;
    }
    one_name::<RateLimit>(&namespace).await?;
    one_name::<Identity>(&namespace).await?;
    one_name::<KeyRole>(&namespace).await?;
    one_name::<KeyPermission>(&namespace).await?;
    Ok(())
}

/// Of `first` and `second` the older has the name, and then the other.
async fn one_name<K: Ours>(namespace: &Namespace) -> Result<()> {
    let (_, second) = ready::<K>(namespace, "second", "DuplicateName").await?;
    assert!(second.message.contains("`first`") && second.status == "False", "{second:?}");
    let (_, first) = ready::<K>(namespace, "first", "NameShared").await?;
    assert!(first.message.contains("`second`") && first.status == "True", "{first:?}");
    let plural = K::plural(&());
    let row = namespace.kubectl().run(&["get", &plural, "second", "--no-headers"]).await?;
    assert!(row.split_whitespace().any(|cell| cell == "False"), "{row}");
    namespace.api::<K>().delete("first", &DeleteParams::default()).await?;
    ready::<K>(namespace, "second", "InUse").await?;
    namespace.kubectl().run(&["wait", "--for=condition=Ready", "--timeout=10s", &format!("{plural}/second")]).await?;
    Ok(())
}

async fn each_override_says_whether_it_is_used(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("overrides").await?;
    let _operator = namespace.operator("a").await?.start().await?;
    let spec = |identifier: &str| format!("{{rateLimit: requests, identifier: '{identifier}', limit: 0, window: 1s}}");
    for (name, identifier) in [("first", "jane"), ("narrow", "acme*"), ("wide", "*acme*"), ("inside", "joe")] {
        apply(&namespace, "RateLimitOverride", name, &spec(identifier)).await?;
        ready::<RateLimitOverride>(&namespace, name, "RateLimitNotFound").await?;
    }
    next_second_of::<RateLimitOverride>(&namespace, "first").await?;
    apply(&namespace, "RateLimitOverride", "second", &spec("jane")).await?;
    let limit = "{limit: 10, window: 60s, overrides: [{identifier: joe, limit: 1, window: 1s}]}";
    apply(&namespace, "RateLimit", "requests", limit).await?;
    for (name, reason, word) in [
        ("first", "InUse", "`jane`"),
        ("second", "DuplicateIdentifier", "`first`"),
        ("narrow", "Shadowed", "`*acme*`"),
        ("wide", "InUse", "`*acme*`"),
        ("inside", "DuplicateIdentifier", "`joe`"),
    ] {
        let (_, condition) = ready::<RateLimitOverride>(&namespace, name, reason).await?;
        assert!(condition.message.contains(word), "{name}: {}", condition.message);
    }
    let limits = namespace.api::<RateLimit>();
    eventually("the limit names those that are not used", SOON, || async {
        let status = limits.get("requests").await?.status.unwrap_or_default();
        let ready = find_condition(&status.conditions, READY).context("no Ready condition")?;
        let named = ["`second`", "`narrow`", "`inside`"].iter().all(|name| ready.message.contains(name));
        anyhow::Ok(named && ready.status == "True" && status.overrides.is_some_and(|count| count > 0))
    })
    .await?;
    let row = namespace.kubectl().run(&["get", "ratelimitoverride", "narrow", "--no-headers"]).await?;
    assert_eq!(row.split_whitespace().take(5).collect::<Vec<_>>(), ["narrow", "requests", "acme*", "0", "1s"], "{row}");
    assert_eq!(row.split_whitespace().nth(5), Some("False"), "{row}");

    let overrides = namespace.api::<RateLimitOverride>();
    for gone in ["first", "wide"] {
        overrides.delete(gone, &DeleteParams::default()).await?;
    }
    apply(&namespace, "RateLimit", "requests", "{limit: 10, window: 60s}").await?;
    for name in ["second", "narrow", "inside"] {
        ready::<RateLimitOverride>(&namespace, name, "InUse").await?;
    }
    Ok(())
}

async fn a_key_says_what_it_names_in_vain_and_works_all_the_same(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("dangling").await?;
    let _operator = namespace.operator("a").await?.start().await?;
    apply_key(&namespace, "plain", "{externalId: nobody, permissions: [no.object]}").await?;
    apply_key(&namespace, "acme", "{roles: [editor]}").await?;
    let (_, condition) = said::<ApiKey>(&namespace, "acme", REFERENCES_RESOLVED, "RoleNotFound").await?;
    assert!(condition.message.contains("`editor`") && condition.status == "False", "{condition:?}");
    let (key, status) = with_reason(&namespace, "acme", "Issued").await?;
    assert!(status.current.is_some(), "served");
    let mut writers: Vec<_> =
        key.managed_fields().iter().filter(|entry| entry.subresource.as_deref() == Some("status")).collect();
    writers.sort_by_key(|entry| entry.manager.clone());
    let writers: Vec<_> = writers.iter().filter_map(|entry| entry.manager.as_deref()).collect();
    assert_eq!(writers, [REFERENCES_FIELD_MANAGER, STATUS_FIELD_MANAGER], "each owns its part");

    apply(&namespace, "KeyRole", "first", "{name: editor, permissions: [a.read]}").await?;
    said::<ApiKey>(&namespace, "acme", REFERENCES_RESOLVED, "Resolved").await?;
    let wait = ["wait", "--for=condition=ReferencesResolved", "--timeout=10s", "apikey/acme"];
    namespace.kubectl().run(&wait).await?;
    namespace.api::<KeyRole>().delete("first", &DeleteParams::default()).await?;
    said::<ApiKey>(&namespace, "acme", REFERENCES_RESOLVED, "RoleNotFound").await?;
    let (_, after) = with_reason(&namespace, "acme", "Issued").await?;
    assert_eq!((after.key_id, after.current), (status.key_id, status.current), "what is issuance's stays");

    let (plain, status) = with_reason(&namespace, "plain", "Issued").await?;
    assert!(
        find_condition(&status.conditions, REFERENCES_RESOLVED).is_none(),
        "no word, and no write, for a key without trouble"
    );
    let managers = plain.managed_fields().iter().filter_map(|entry| entry.manager.as_deref());
    assert!(managers.into_iter().all(|manager| manager != REFERENCES_FIELD_MANAGER));
    Ok(())
}

async fn a_name_in_another_namespace_is_no_name_here(cluster: Arc<Cluster>) -> Result<()> {
    let (here, there) = (cluster.namespace("here").await?, cluster.namespace("there").await?);
    let both = format!("{},{}", here.name(), there.name());
    let _operator = here.operator("a").await?.flag("watch-namespaces", both).start().await?;
    for (kind, name, spec) in
        [("KeyRole", "editor", "{}"), ("Keyspace", "pay", "{}"), ("RateLimit", "requests", "{limit: 1, window: 1s}")]
    {
        apply(&there, kind, name, spec).await?;
    }
    ready::<RateLimit>(&there, "requests", "InUse").await?;
    apply_key(&here, "acme", "{keyspace: pay, roles: [editor]}").await?;
    let spec = "{rateLimit: requests, identifier: a, limit: 0, window: 1s}";
    apply(&here, "RateLimitOverride", "a", spec).await?;
    let (_, condition) = said::<ApiKey>(&here, "acme", REFERENCES_RESOLVED, "KeyspaceNotFound").await?;
    assert!(condition.message.contains("`editor`") && !condition.message.contains(there.name()), "{condition:?}");
    ready::<RateLimitOverride>(&here, "a", "RateLimitNotFound").await?;
    // Neither takes a name away from the other.
    apply(&here, "RateLimit", "requests", "{limit: 1, window: 1s}").await?;
    ready::<RateLimit>(&here, "requests", "InUse").await?;
    ready::<RateLimit>(&there, "requests", "InUse").await?;
    Ok(())
}

async fn an_edited_status_is_put_right(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("edited").await?;
    let operator = namespace.operator("a").await?.start().await?;
    apply(&namespace, "Keyspace", "pay", "{}").await?;
    ready::<Keyspace>(&namespace, "pay", "InUse").await?;
    let keyspaces = namespace.api::<Keyspace>();
    let edit = json!({"status": {"keys": 7000, "conditions": []}});
    keyspaces.patch_status("pay", &PatchParams::default(), &Patch::Merge(&edit)).await?;
    ready::<Keyspace>(&namespace, "pay", "InUse").await?;
    assert_eq!(keyspaces.get("pay").await?.status.context("a status")?.keys, Some(0));
    let writes = operator.metric(WRITES).await?;
    throughout("and nothing is written any more", Duration::from_secs(3), || async {
        anyhow::Ok(operator.metric(WRITES).await? == writes)
    })
    .await
}

async fn one_change_among_thousands_of_keys_is_one_write(_shared: Arc<Cluster>) -> Result<()> {
    // An API server of its own, which counts the requests of no other trial.
    let cluster = Cluster::start(Install::CrdsAndChart).await?;
    let namespace = cluster.namespace("many").await?;
    let client = cluster.client().await?;
    apply(
        &namespace,
        "RateLimit",
        "gold",
        "{limit: 1, window: 1s, appliesTo: {keySelector: {matchLabels: {plan: gold}}}}",
    )
    .await?;
    apply(&namespace, "RateLimit", "all", "{limit: 1, window: 1s, appliesTo: {keySelector: {}}}").await?;
    let keys = namespace.api::<ApiKey>();
    let create = |number: usize| {
        let keys = keys.clone();
        async move {
            let name = format!("key-{number:05}");
            let hash = KeyHash::of(&name).to_hex();
            let key = json!({"metadata": {"name": name}, "spec": {"key": {"hash": {"sha256": hash}}}});
            keys.create(&PostParams::default(), &serde_json::from_value(key)?).await?;
            anyhow::Ok(())
        }
    };
    futures::stream::iter(0..KEYS).map(create).buffer_unordered(32).try_collect::<()>().await?;
    let operator = namespace.operator("a").await?.start().await?;
    let issued = "keyplane_operator_status_writes_total{controller=\"ApiKey\"}";
    let expected = f64::from(u32::try_from(KEYS)?);
    eventually("all keys are issued", MANY, || async { operator.metric(issued).await.map(|n| n == Some(expected)) })
        .await?;
    // One for each of the two limits and none for a key.
    writes(&operator, 2.0).await?;

    let before = requests(&client).await?;
    label(&keys, "key-00007", "gold").await?;
    writes(&operator, 3.0).await?;
    let gold = "one change of ours, and one write of the operator because of it: from no key to one";
    assert_eq!(requests(&client).await? - before, 2, "{gold}");
    let limit = namespace.api::<RateLimit>().get("gold").await?;
    assert_eq!(limit.status.context("a status")?.sample, ["key-00007"]);

    // Another operator reads everything and finds nothing to write.
    assert_eq!(operator.terminate().await?, 0);
    let operator = namespace.operator("b").await?.start().await?;
    let before = changes(&client).await?;
    label(&keys, "key-00007", "free").await?;
    writes(&operator, 1.0).await?;
    assert_eq!(changes(&client).await? - before, 2, "back to none");
    Ok(())
}

async fn label(keys: &Api<ApiKey>, name: &str, plan: &str) -> Result<()> {
    let patch = json!({"metadata": {"labels": {"plan": plan}}});
    keys.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    Ok(())
}

async fn writes(operator: &Server, count: f64) -> Result<()> {
    eventually(format!("{count} statuses were written"), SOON, || async {
        match operator.metric(WRITES).await? {
            Some(found) if found > count => bail!("{found} were"),
            found => anyhow::Ok(found == Some(count)),
        }
    })
    .await
}

/// Requests about our kinds that the API server has answered, but for watches, which last.
async fn requests(client: &Client) -> Result<u64> {
    counted(client, |verb| verb != "WATCH").await
}

/// As [`requests`], without those that only read.
async fn changes(client: &Client) -> Result<u64> {
    counted(client, |verb| !["WATCH", "LIST", "GET"].contains(&verb)).await
}

async fn counted(client: &Client, verbs: fn(&str) -> bool) -> Result<u64> {
    let metrics = client.request_text(http::Request::get("/metrics").body(Vec::new())?).await?;
    let ours = metrics
        .lines()
        .filter(|line| line.starts_with("apiserver_request_total{") && line.contains("group=\"keyplane.dev\""));
    let mut sum = 0;
    for line in ours {
        let verb = line.split_once("verb=\"").and_then(|(_, rest)| rest.split_once('"')).context("a verb")?.0;
        if verbs(verb) {
            sum += line.rsplit_once(' ').context("a value")?.1.parse::<u64>()?;
        }
    }
    Ok(sum)
}

/// A kind with conditions.
trait Ours:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + serde::Serialize + DeserializeOwned
{
}

impl<K> Ours for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + serde::Serialize + DeserializeOwned
{
}

/// Waits until a condition has this reason and is about the object's present generation.
async fn said<K: Ours>(namespace: &Namespace, name: &str, type_: &str, reason: &str) -> Result<(K, Condition)> {
    let objects = namespace.api::<K>();
    eventually(format!("{} {name} is {reason}", K::kind(&())), SOON, || async {
        let object = objects.get(name).await?;
        let value: Value = serde_json::to_value(&object)?;
        let conditions = value["status"]["conditions"].clone();
        let conditions: Vec<Condition> =
            if conditions.is_null() { Vec::new() } else { serde_json::from_value(conditions)? };
        let condition = find_condition(&conditions, type_).context("no such condition yet")?;
        if condition.observed_generation != object.meta().generation || condition.reason != reason {
            bail!("generation {:?}, {}: {}", condition.observed_generation, condition.reason, condition.message);
        }
        Ok(Some((object, condition.clone())))
    })
    .await
}

async fn ready<K: Ours>(namespace: &Namespace, name: &str, reason: &str) -> Result<(K, Condition)> {
    said(namespace, name, READY, reason).await
}

async fn apply(namespace: &Namespace, kind: &str, name: &str, spec: &str) -> Result<()> {
    let object =
        format!("{{apiVersion: keyplane.dev/v1alpha1, kind: {kind}, metadata: {{name: {name}}}, spec: {spec}}}");
    namespace.kubectl().apply(&object).await.map(drop)
}

/// Creation times have whole seconds; who is to be younger must not be so by uid alone.
async fn next_second(namespace: &Namespace, name: &str) -> Result<()> {
    next_second_of::<RateLimit>(namespace, name).await?;
    next_second_of::<Identity>(namespace, name).await?;
    next_second_of::<KeyRole>(namespace, name).await?;
    next_second_of::<KeyPermission>(namespace, name).await
}

async fn next_second_of<K: Ours>(namespace: &Namespace, name: &str) -> Result<()> {
    let created = namespace.api::<K>().get(name).await?.creation_timestamp().context("no creation time")?;
    eventually("a second has passed", SOON, || async { Timestamp::now().as_second() > created.0.as_second() }).await
}
