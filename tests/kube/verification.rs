//! What verify pods answer, from objects in a real Kubernetes API: pods are processes with exactly the rights that a pool gives them.

mod outages;
mod tenancy;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use keyplane_api::{ApiKey, RootKey};
use keyplane_core::hash::KeyHash;
use keyplane_tests::{Cluster, Namespace, Server, SharedCluster, Trial, eventually, trials, workspace};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// From a change of an object to the answer of a pod. Milliseconds on a quiet machine.
const SOON: Duration = Duration::from_secs(15);

pub(crate) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    let mut trials = trials![cluster;
        a_key_is_valid_at_each_of_two_pods,
        an_answer_follows_the_object,
        roles_come_and_go_without_a_touch_of_the_key,
        a_stopped_operator_stops_no_revocation,
        a_hashed_key_needs_no_operator,
        a_pod_that_starts_later_knows_everything_when_it_is_ready,
        a_restarted_pod_answers_as_before,
        of_two_keys_with_one_hash_the_older_serves_until_it_is_gone,
    ];
    trials.extend(outages::trials(cluster));
    trials.extend(tenancy::trials(cluster));
    trials
}

/// A namespace with an operator, a pool and a root key `caller`; its pods are processes.
struct Served {
    namespace: Namespace,
    operator: Server,
    pods: Vec<Server>,
    root_key: String,
}

impl Served {
    async fn by(cluster: &Arc<Cluster>, purpose: &str, pods: usize) -> Result<Self> {
        let namespace = cluster.namespace(purpose).await?;
        let operator = namespace.operator("a").await?.start().await?;
        namespace.kubectl().apply(&(CALLER.to_owned() + &pool(&[namespace.name()]))).await?;
        let (account, root_key) = (namespace.pool_account("edge").await?, namespace.issued_key("caller-key").await?);
        let programs: Result<Vec<_>> =
            (0..pods).map(|number| namespace.verify_pod(&format!("pod-{number}"), &account)).collect();
        let mut pods = Vec::new();
        for program in programs? {
            pods.push(program.start().await?);
        }
        Ok(Self { namespace, operator, pods, root_key })
    }

    /// Applies an `ApiKey` that the operator generates, and waits until it is VALID everywhere.
    async fn key(&self, name: &str, spec: &str) -> Result<String> {
        self.namespace.kubectl().apply(&key_object(name, spec)).await?;
        let plain = self.namespace.issued_key(&format!("{name}-key")).await?;
        self.everywhere(&plain, "VALID").await?;
        Ok(plain)
    }

    async fn everywhere(&self, plain: &str, code: &str) -> Result<()> {
        for pod in &self.pods {
            pod.wait_for_code(&self.root_key, plain, code).await?;
        }
        Ok(())
    }

    async fn change(&self, name: &str, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.namespace.api::<ApiKey>().patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }
}

const CALLER: &str = "
apiVersion: keyplane.dev/v1alpha1
kind: RootKey
metadata: {name: caller}
spec: {permissions: [api.*.verify_key]}
---
";

/// A pool that serves these namespaces, so with a Role in each and no more.
fn pool(namespaces: &[&str]) -> String {
    let names = namespaces.join(", ");
    format!(
        "apiVersion: keyplane.dev/v1alpha1\nkind: VerifyPool\nmetadata: {{name: edge}}\nspec: {{serves: {{namespaces: [{names}]}}}}\n---\n"
    )
}

fn key_object(name: &str, spec: &str) -> String {
    format!("apiVersion: keyplane.dev/v1alpha1\nkind: ApiKey\nmetadata: {{name: {name}}}\nspec: {spec}\n---\n")
}

/// A `RootKey` or `ApiKey` with the hash of a plain key; `more` goes in front of the other fields of its spec, with a comma behind.
fn hashed(kind: &str, name: &str, plain: &str, more: &str) -> String {
    let sha256 = KeyHash::of(plain).to_hex();
    let more = if kind == "RootKey" { "permissions: [api.*.verify_key], " } else { more };
    format!(
        "apiVersion: keyplane.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{{more}key: {{hash: {{sha256: {sha256}}}}}}}\n---\n"
    )
}

/// `data` of an answer; an error when it is not a verdict.
async fn data(pod: &Server, root_key: &str, body: Value) -> Result<Value> {
    let (status, mut answer) = pod.post("/v2/keys.verifyKey", root_key, &body).await?;
    ensure!(status == 200, "{status}: {answer}");
    Ok(answer["data"].take())
}

async fn a_key_is_valid_at_each_of_two_pods(cluster: Arc<Cluster>) -> Result<()> {
    let served = Served::by(&cluster, "valid", 2).await?;
    let plain = served.key("acme", "{displayName: ACME, meta: {tier: gold}}").await?;
    let kubectl = served.namespace.kubectl();
    kubectl.run(&["wait", "--for=condition=Ready", "--timeout=10s", "apikey/acme", "rootkey/caller"]).await?;

    let secret = served.namespace.api::<Secret>().get("acme-key").await?;
    let key_id = secret.data.and_then(|mut data| data.remove("keyId")).context("the Secret has no keyId")?;
    for pod in &served.pods {
        let answer = data(pod, &served.root_key, json!({"key": plain})).await?;
        assert_eq!((&answer["valid"], &answer["name"]), (&json!(true), &json!("ACME")), "{answer}");
        assert_eq!(
            answer["keyId"],
            String::from_utf8(key_id.0.clone())?,
            "what the Secret, the status and the pods say"
        );
        assert_eq!(answer["meta"], json!({"tier": "gold"}));
        assert_eq!(pod.verify(&served.root_key, "another key").await?, "NOT_FOUND");
        assert_eq!(pod.verify(&served.root_key, &served.root_key).await?, "NOT_FOUND", "a root key is no key");
    }
    kubectl.run(&["delete", "apikey", "acme"]).await?;
    served.everywhere(&plain, "NOT_FOUND").await?;
    for server in served.pods.iter().chain([&served.operator]) {
        assert_eq!(server.terminate().await?, 0);
    }
    Ok(())
}

async fn an_answer_follows_the_object(cluster: Arc<Cluster>) -> Result<()> {
    let served = Served::by(&cluster, "follow", 2).await?;
    let plain = served.key("acme", "{}").await?;
    served.change("acme", json!({"enabled": false})).await?;
    served.everywhere(&plain, "DISABLED").await?;
    served.change("acme", json!({"enabled": true})).await?;
    served.everywhere(&plain, "VALID").await?;

    let expires = Timestamp::from_second(Timestamp::now().as_second() + 5)?;
    served.change("acme", json!({"expires": expires.to_string()})).await?;
    served.everywhere(&plain, "EXPIRED").await?;
    assert!(Timestamp::now() >= expires, "not before its time");
    served.change("acme", json!({"expires": null})).await?;
    served.everywhere(&plain, "VALID").await?;

    let roots = served.namespace.api::<RootKey>();
    let disable = Patch::Merge(json!({"spec": {"enabled": false}}));
    roots.patch("caller", &PatchParams::default(), &disable).await?;
    refused(&served.pods[0], &served.root_key, &plain, "403").await
}

/// Waits until the caller is turned away.
async fn refused(pod: &Server, root_key: &str, plain: &str, status: &str) -> Result<()> {
    eventually(format!("the caller gets {status}"), SOON, || async {
        pod.verify(root_key, plain).await.is_err_and(|error| error.to_string().contains(&format!("answers {status}")))
    })
    .await
}

async fn roles_come_and_go_without_a_touch_of_the_key(cluster: Arc<Cluster>) -> Result<()> {
    let served = Served::by(&cluster, "roles", 1).await?;
    let plain = served.key("acme", "{permissions: [reports.read], roles: [editor]}").await?;
    let asked = |query: &'static str, code: &'static str| {
        let (pod, body) = (&served.pods[0], json!({"key": plain, "permissions": query}));
        let root_key = &served.root_key;
        eventually(format!("`{query}` is {code}"), SOON, move || {
            let body = body.clone();
            async move {
                let answer = data(pod, root_key, body).await?;
                ensure!(answer["code"] == code, "{answer}");
                Ok(())
            }
        })
    };
    let role = "{apiVersion: keyplane.dev/v1alpha1, kind: KeyRole, metadata: {name: editor}, spec: {permissions: [invoices.read, invoices.write]}}";
    asked("reports.read", "VALID").await?;
    asked("reports.read OR invoices.write", "VALID").await?;
    asked("reports.read AND invoices.write", "INSUFFICIENT_PERMISSIONS").await?;
    served.namespace.kubectl().apply(role).await?;
    asked("reports.read AND (invoices.write OR invoices.delete)", "VALID").await?;
    asked("invoices.delete", "INSUFFICIENT_PERMISSIONS").await?;
    served.namespace.kubectl().run(&["delete", "keyrole", "editor"]).await?;
    asked("invoices.read", "INSUFFICIENT_PERMISSIONS").await?;
    asked("reports.read", "VALID").await
}

async fn a_stopped_operator_stops_no_revocation(cluster: Arc<Cluster>) -> Result<()> {
    let served = Served::by(&cluster, "revoke", 2).await?;
    let (one, other) = (served.key("one", "{}").await?, served.key("other", "{}").await?);
    assert_eq!(served.operator.terminate().await?, 0);
    served.change("one", json!({"enabled": false})).await?;
    served.everywhere(&one, "DISABLED").await?;
    served.change("one", json!({"enabled": true})).await?;
    served.everywhere(&one, "VALID").await?;

    let kubectl = served.namespace.kubectl();
    kubectl.run(&["delete", "apikey", "other", "--timeout=10s"]).await?;
    served.everywhere(&other, "NOT_FOUND").await?;
    served.everywhere(&one, "VALID").await?;
    kubectl.run(&["delete", "rootkey", "caller", "--timeout=10s"]).await?;
    for pod in &served.pods {
        refused(pod, &served.root_key, &one, "401").await?;
    }
    Ok(())
}

async fn a_hashed_key_needs_no_operator(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("hashed").await?;
    let pod = namespace.verify_pod("pod-0", &namespace.reader().await?)?.start().await?;
    // What the standalone server loads from a directory is what a cluster takes, and means the same.
    namespace.kubectl().apply_path(&workspace::root().join("api-server/examples")).await?;
    let root_key = "keyplane_example_root_key";
    eventually("the root key is known", SOON, || async { pod.verify(root_key, "unknown").await.map(|_| ()) }).await?;
    for (plain, code) in [
        ("pay_example_key_of_acme", "VALID"),
        ("example-key-of-a-partner", "VALID"),
        ("pay_example_key_switched_off", "DISABLED"),
    ] {
        pod.wait_for_code(root_key, plain, code).await?;
    }
    namespace.kubectl().run(&["delete", "apikey", "acme"]).await?;
    pod.wait_for_code(root_key, "pay_example_key_of_acme", "NOT_FOUND").await
}

async fn a_pod_that_starts_later_knows_everything_when_it_is_ready(cluster: Arc<Cluster>) -> Result<()> {
    const KEYS: usize = 100;
    let namespace = cluster.namespace("later").await?;
    let reader = namespace.reader().await?;
    let more = "externalId: acme, roles: [editor], ";
    let mut manifests: String = (0..KEYS)
        .map(|number| hashed("ApiKey", &format!("key-{number}"), &format!("later-key-{number}"), more))
        .collect();
    manifests += &hashed("RootKey", "caller", "later-root-key", "");
    manifests += "{apiVersion: keyplane.dev/v1alpha1, kind: KeyRole, metadata: {name: editor}, spec: {permissions: [a.b]}}\n---\n";
    manifests += "{apiVersion: keyplane.dev/v1alpha1, kind: Identity, metadata: {name: acme}, spec: {externalId: acme, meta: {plan: pro}}}\n";
    namespace.kubectl().apply(&manifests).await?;

    let pod = namespace.verify_pod("pod-0", &reader)?.start().await?;
    // The first answer counts: a ready pod does not come to know things later.
    for number in 0..KEYS {
        let body = json!({"key": format!("later-key-{number}"), "permissions": "a.b"});
        let answer = data(&pod, "later-root-key", body).await?;
        assert_eq!(
            (&answer["code"], &answer["identity"]["meta"]),
            (&json!("VALID"), &json!({"plan": "pro"})),
            "{answer}"
        );
    }
    Ok(())
}

async fn a_restarted_pod_answers_as_before(cluster: Arc<Cluster>) -> Result<()> {
    let mut served = Served::by(&cluster, "restart", 1).await?;
    let plain = served.key("acme", "{displayName: ACME, permissions: [a.b], meta: {tier: gold}}").await?;
    let mut pod = served.pods.remove(0);
    let before = data(&pod, &served.root_key, json!({"key": plain})).await?;
    for how in ["stopped", "killed"] {
        match how {
            "stopped" => assert_eq!(pod.terminate().await?, 0),
            _ => pod.kill(),
        }
        pod.start_again().await?;
        assert_eq!(data(&pod, &served.root_key, json!({"key": plain})).await?, before, "{how}");
    }
    Ok(())
}

async fn of_two_keys_with_one_hash_the_older_serves_until_it_is_gone(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("twins").await?;
    let reader = namespace.reader().await?;
    let twin = |name: &str| hashed("ApiKey", name, "one-key-for-two", &format!("displayName: {name}, "));
    // The older one has the later name, and one pod sees them together, one after the other.
    namespace.kubectl().apply(&(hashed("RootKey", "caller", "root-key-of-twins", "") + &twin("z-older"))).await?;
    let early = namespace.verify_pod("early", &reader)?.start().await?;
    let created = namespace.api::<ApiKey>().get("z-older").await?.creation_timestamp().context("no creation time")?;
    eventually("a second has passed", SOON, || async { Timestamp::now().as_second() > created.0.as_second() }).await?;
    namespace.kubectl().apply(&(twin("a-younger") + &hashed("ApiKey", "marker", "marker-of-twins", ""))).await?;
    early.wait_for_code("root-key-of-twins", "marker-of-twins", "VALID").await?;
    let late = namespace.verify_pod("late", &reader)?.start().await?;

    let body = json!({"key": "one-key-for-two"});
    for pod in [&early, &late] {
        assert_eq!(data(pod, "root-key-of-twins", body.clone()).await?["name"], "z-older");
    }
    namespace.kubectl().run(&["delete", "apikey", "z-older"]).await?;
    for pod in [&early, &late] {
        eventually("the younger one serves", SOON, || async {
            let answer = data(pod, "root-key-of-twins", body.clone()).await?;
            ensure!(answer["name"] == "a-younger" && answer["code"] == "VALID", "{answer}");
            Ok(())
        })
        .await?;
    }
    namespace.kubectl().run(&["delete", "apikey", "a-younger"]).await?;
    for pod in [&early, &late] {
        pod.wait_for_code("root-key-of-twins", "one-key-for-two", "NOT_FOUND").await?;
    }
    Ok(())
}
