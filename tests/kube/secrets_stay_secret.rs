//! A plain key is in its own Secret and nowhere else: not in what the operator and the pods print, answer or write, nor in any object of
//! the cluster. Everything is searched while all programs are as talkative as they can be, and after everything went wrong that can.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use data_encoding::BASE64;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use keyplane_core::hash::KeyHash;
use keyplane_tests::cluster::SYSTEM_NAMESPACE;
use keyplane_tests::leaks::{self, Leaks};
use keyplane_tests::{Cluster, Namespace, Program, Server, SharedCluster, Trial, eventually, trials};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(15);
const TALKATIVE: &str =
    "debug,keyplane_api=trace,keyplane_api_server=trace,keyplane_core=trace,keyplane_operator=trace,zpages=trace";

/// Keys that people bring, right ones and wrong ones: by the name of their ApiKey or RootKey, which their Secret has too.
const BROUGHT: [(&str, &str); 5] = [
    ("brought", "own_Br0ught3kTq9vXz7LmNpAbCd"),
    ("brought-root", "own_R00tKey4hWm2jFs6RtYuEfGh"),
    ("with-newline", "own_NewL1ne5pZc8nDx3BvGkJkLm\n"),
    ("too-short", "sh0rt3kTq9vX"),
    ("edited", "own_Ed1tedB1gQs7tHy4WnKmNpQr"),
];

pub(crate) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster; plain_keys_are_in_their_secrets_and_nowhere_else]
}

async fn plain_keys_are_in_their_secrets_and_nowhere_else(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("secrecy").await?;
    let operator = talkative(namespace.operator("a").await?).start().await?;
    namespace.kubectl().apply(&manifests(namespace.name())).await?;
    let account = namespace.pool_account("edge").await?;
    let programs = [namespace.verify_pod("pod-0", &account)?, namespace.verify_pod("pod-1", &account)?].map(talkative);
    let pods = [programs[0].start().await?, programs[1].start().await?];
    let root_key = namespace.issued_key("caller-key").await?;
    let mut keys = vec![("caller", root_key.clone()), ("generated", namespace.issued_key("generated-key").await?)];
    keys.push(("edited before", namespace.issued_key("edited-key").await?));
    keys.extend(BROUGHT.map(|(name, plain)| (name, plain.trim_end().to_owned())));
    go_wrong(&namespace, &pods, &root_key, &keys).await?;

    let mut leaks = Leaks::of(keys.iter().map(|(name, plain)| (*name, plain.as_str())));
    for pod in &pods {
        for (_, plain) in &keys {
            for (place, answer) in leaks::bad_requests(pod, &root_key, plain).await? {
                leaks.look(place, answer);
            }
        }
    }
    for server in pods.iter().chain([&operator]) {
        for by in [&root_key, &keys[1].1] {
            for (place, page) in leaks::ops_pages(server, by).await? {
                leaks.look(place, page);
            }
        }
    }
    objects(&namespace, &mut leaks).await?;

    for server in pods.iter().chain([&operator]) {
        assert_eq!(server.terminate().await?, 0);
        let log = server.log()?;
        ensure!(log.contains("DEBUG"), "{} is not talkative", server.process().name());
        leaks.look(format!("the log of {}", server.process().name()), log);
    }
    for program in &programs {
        ensure!(program.directory().join("data/snapshot.redb").is_file(), "the snapshot is searched too");
        assert!(leaks.look_through_files("a file of a pod", program.directory())? > 0);
    }
    leaks.finish()
}

fn talkative(program: Program) -> Program {
    program.flag("log-filter", TALKATIVE)
}

fn manifests(namespace: &str) -> String {
    let object = |kind: &str, name: &str, spec: &str| {
        format!("---\n{{apiVersion: keyplane.dev/v1alpha1, kind: {kind}, metadata: {{name: {name}}}, spec: {spec}}}\n")
    };
    let mut objects = vec![
        object("VerifyPool", "edge", &format!("{{serves: {{namespaces: [{namespace}]}}}}")),
        object("RootKey", "caller", "{permissions: [api.*.verify_key]}"),
        object("ApiKey", "generated", "{key: {generate: {prefix: pay, byteLength: 32}}}"),
        object("ApiKey", "edited", "{}"),
    ];
    for (name, plain) in BROUGHT.iter().filter(|(name, _)| *name != "edited") {
        let kind = if *name == "brought-root" { "RootKey" } else { "ApiKey" };
        let data = json!({"apiKey": BASE64.encode(plain.as_bytes())});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data});
        objects.push(format!("---\n{secret}\n"));
        objects.push(object(kind, name, &format!("{{key: {{secretRef: {{name: {name}, key: apiKey}}}}}}")));
    }
    objects.concat()
}

/// Everything that makes programs talk about a key: hashes twice, Secrets that are no keys, edited and deleted ones, denials.
async fn go_wrong(namespace: &Namespace, pods: &[Server; 2], root_key: &str, keys: &[(&str, String)]) -> Result<()> {
    let kubectl = namespace.kubectl();
    // Creation times have whole seconds; the twins must be the younger ones.
    let applied = Timestamp::now().as_second();
    eventually("a second has passed", SOON, || async { Timestamp::now().as_second() > applied }).await?;
    for name in ["generated", "brought"] {
        let plain = &keys.iter().find(|(key, _)| *key == name).context("a known key")?.1;
        pods[0].wait_for_code(root_key, plain, "VALID").await?;
        let hash = KeyHash::of(plain).to_hex();
        let twin = format!(
            "{{apiVersion: keyplane.dev/v1alpha1, kind: ApiKey, metadata: {{name: twin-of-{name}}}, spec: {{key: {{hash: {{sha256: {hash}}}}}}}}}"
        );
        kubectl.apply(&twin).await?;
    }
    reason(namespace, "apikey/with-newline", "SecretMalformed").await?;
    reason(namespace, "apikey/too-short", "SecretMalformed").await?;
    reason(namespace, "apikey/twin-of-generated", "DuplicateHash").await?;
    reason(namespace, "rootkey/brought-root", "Issued").await?;

    let plain = BROUGHT.iter().find(|(name, _)| *name == "edited").context("a known key")?.1;
    let edit = Patch::Merge(json!({"data": {"key": BASE64.encode(plain.as_bytes())}}));
    namespace.api::<Secret>().patch("edited-key", &PatchParams::default(), &edit).await?;
    reason(namespace, "apikey/edited", "SecretMalformed").await?;

    kubectl.run(&["patch", "apikey", "generated", "--type=merge", "--patch={\"spec\":{\"enabled\":false}}"]).await?;
    let generated = &keys[1].1;
    for pod in pods {
        pod.wait_for_code(root_key, generated, "DISABLED").await?;
    }
    Ok(())
}

async fn reason(namespace: &Namespace, object: &str, wanted: &str) -> Result<()> {
    let path = r#"--output=jsonpath={.status.conditions[?(@.type=="Ready")].reason}"#;
    eventually(format!("{object} says {wanted}"), SOON, || async {
        let seen = namespace.kubectl().run(&["get", object, path]).await?;
        ensure!(seen == wanted, "{seen}");
        Ok(())
    })
    .await
}

/// Searches every object of every kind, and shows that the keys are seen in their own Secrets.
async fn objects(namespace: &Namespace, leaks: &mut Leaks) -> Result<()> {
    let kubectl = namespace.kubectl();
    let kinds = kubectl.run(&["api-resources", "--namespaced", "--verbs=list", "--output=name"]).await?;
    let kinds: Vec<&str> = kinds.lines().collect();
    for kind in ["secrets", "events", "events.events.k8s.io", "apikeys.keyplane.dev", "rootkeys.keyplane.dev"] {
        ensure!(kinds.contains(&kind), "{kind} is not among the kinds: {kinds:?}");
    }
    let list = kubectl.run(&["get", &kinds.join(","), "--output=json", "--show-managed-fields"]).await?;
    let list: Value = serde_json::from_str(&list)?;
    let items = list["items"].as_array().context("a list")?;
    let mut own = 0;
    for item in items {
        let (kind, name) = (text(item, "/kind"), text(item, "/metadata/name"));
        let Some(holder) = holder_of(kind, name) else {
            leaks.look(format!("{kind} {name}"), item.to_string());
            continue;
        };
        leaks.must_find(holder, &format!("Secret {name}"), item.to_string())?;
        own += 1;
        let mut rest = item.clone();
        let data = rest["data"].as_object_mut().context("a Secret with data")?;
        data.retain(|entry, _| !["key", "apiKey"].contains(&entry.as_str()));
        leaks.look(format!("the rest of Secret {name}"), rest.to_string());
    }
    assert_eq!(own, 2 + BROUGHT.len(), "Secrets that hold a key");
    for kind in ["ApiKey", "RootKey", "Event", "StatefulSet", "Role"] {
        ensure!(items.iter().any(|item| item["kind"] == kind), "no {kind} was searched");
    }
    let system = namespace.cluster().kubectl().in_namespace(SYSTEM_NAMESPACE);
    leaks.look("the system namespace", system.run(&["get", &kinds.join(","), "--output=json"]).await?);
    let mut cluster_wide =
        namespace.cluster().kubectl().run(&["get", "clusterroles,namespaces,crds", "--output=json"]).await?;
    cluster_wide += &kubectl.run(&["describe", "apikeys,rootkeys,verifypools"]).await?;
    leaks.look("cluster-wide objects, and what people see", cluster_wide);
    Ok(())
}

fn text<'a>(item: &'a Value, path: &str) -> &'a str {
    item.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// The key that this Secret is there to hold.
fn holder_of<'a>(kind: &str, name: &'a str) -> Option<&'a str> {
    if kind != "Secret" {
        return None;
    }
    let generated = name.strip_suffix("-key").filter(|holder| ["caller", "generated", "edited"].contains(holder));
    generated.or_else(|| BROUGHT.iter().any(|(brought, _)| *brought == name).then_some(name))
}
