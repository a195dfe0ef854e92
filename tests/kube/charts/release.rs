//! The life of a release: definitions first, installed, used as its notes say, upgraded, uninstalled, installed again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use keyplane_tests::cluster::{OPERATOR_ACCOUNT, SYSTEM_NAMESPACE};
use keyplane_tests::{Cluster, Install, Program, Server, SharedCluster, Trial, eventually, trials};

use super::{CRDS, KEYPLANE, chart, text};

/// From a command to what follows from it: milliseconds on a quiet machine.
const SOON: Duration = Duration::from_secs(20);

pub(super) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster; a_release_is_installed_used_upgraded_and_leaves_keys_behind]
}

async fn a_release_is_installed_used_upgraded_and_leaves_keys_behind(_shared: Arc<Cluster>) -> Result<()> {
    let cluster = Cluster::start(Install::Nothing).await?;

    let refusal = helm(&cluster, &["install", KEYPLANE], &["--create-namespace"]).await.unwrap_err().to_string();
    ensure!(refusal.contains("Install the chart keyplane-crds first"), "{refusal}");
    helm(&cluster, &["install", CRDS], &[]).await?;
    cluster.kubectl().run(&["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"]).await?;
    helm(&cluster, &["install", KEYPLANE], &["--create-namespace"]).await?;

    let operator = operator(&cluster).await?;
    // Made by the operator, with rights that the chart must have given to it first.
    let account = cluster.service_account(SYSTEM_NAMESPACE, "keyplane-verify-default").await?;
    let pod = Program::api_server()?.identity(&account).flag("registry", "kubernetes").flag("roles", "verify");
    let pod = pod.start().await?;
    let commands = Commands::of_the_notes(&cluster, &pod).await?;
    shell(&cluster, &commands.make).await?;
    verified(&cluster, &commands).await?;

    for name in [CRDS, KEYPLANE] {
        let before = versions(&cluster, name).await?;
        helm(&cluster, &["upgrade", name], &[]).await?;
        assert_eq!(versions(&cluster, name).await?, before, "an upgrade to the same writes nothing");
    }
    helm(&cluster, &["upgrade", KEYPLANE], &["--set", "operator.replicas=2"]).await?;
    let budget = cluster.kubectl().in_namespace(SYSTEM_NAMESPACE);
    budget.run(&["get", "poddisruptionbudget", "keyplane-operator"]).await?;

    assert_eq!(operator.terminate().await?, 0);
    helm(&cluster, &["uninstall", KEYPLANE], &[]).await?;
    helm(&cluster, &["uninstall", CRDS], &[]).await?;
    let gone = cluster.kubectl().run(&["get", "clusterrole", "keyplane-operator"]).await.unwrap_err().to_string();
    ensure!(gone.contains("NotFound"), "{gone}");
    let kinds = cluster.kubectl().run(&["get", "crd", "--output=name"]).await?;
    assert_eq!(kinds.lines().count(), keyplane_api::all_crds().len(), "{kinds}");
    cluster.kubectl().run(&["get", "apikey/acme", "rootkey/caller", "secret/acme-key", "secret/caller-key"]).await?;
    let pool = ["get", "verifypool", "default", "--output=jsonpath={.metadata.deletionTimestamp}"];
    let leaving = cluster.kubectl().in_namespace(SYSTEM_NAMESPACE).run(&pool).await?;
    assert_eq!(leaving, "", "the pool waits for an operator that is gone");
    // The pods still have their rights: a new one starts and verifies.
    drop(pod);
    let pod = Program::api_server()?.identity(&account).flag("registry", "kubernetes").flag("roles", "verify");
    let pod = pod.start().await?;
    verified(&cluster, &Commands { check: commands.check.replace(&commands.pod, &base(&pod)), ..commands }).await?;

    helm(&cluster, &["install", CRDS], &[]).await?;
    helm(&cluster, &["install", KEYPLANE], &[]).await?;
    Ok(())
}

/// The operator with the rights of the release.
async fn operator(cluster: &Cluster) -> Result<Server> {
    let identity = cluster.service_account(SYSTEM_NAMESPACE, OPERATOR_ACCOUNT).await?;
    Program::operator()?.identity(&identity).env("POD_NAMESPACE", SYSTEM_NAMESPACE).start().await
}

/// `helm COMMAND RELEASE [CHART]`, where the release is named as its chart, with further arguments.
async fn helm(cluster: &Cluster, command: &[&str; 2], args: &[&str]) -> Result<String> {
    let (folder, namespace): (PathBuf, _) = (chart(command[1]), ["--namespace", SYSTEM_NAMESPACE]);
    let folder = [text(&folder)?];
    let folder = if command[0] == "uninstall" { &[][..] } else { &folder[..] };
    let namespace = if command[1] == CRDS { &[][..] } else { &namespace[..] };
    cluster.helm().run(&[command, folder, namespace, args].concat()).await
}

/// What the notes tell a person to type.
struct Commands {
    /// Makes a key and a caller.
    make: String,
    /// Verifies the key; prints the answer.
    check: String,
    /// Where `check` asks.
    pod: String,
}

impl Commands {
    /// Without the waiting for pods, which do not run here, and at `pod` instead of a forwarded port.
    async fn of_the_notes(cluster: &Cluster, pod: &Server) -> Result<Self> {
        let notes = cluster.helm().run(&["get", "notes", KEYPLANE, "--namespace", SYSTEM_NAMESPACE]).await?;
        let (mut script, mut in_document) = (String::new(), false);
        for line in notes.lines() {
            let of_pods = ["rollout status", "verifypool/", "port-forward"].iter().any(|words| line.contains(words));
            let begins = line.contains("<<YAML");
            let command = ["  kubectl ", "  KEY=", "  CALLER=", "  curl "].iter().any(|start| line.starts_with(start));
            if begins || in_document || (command && !of_pods) {
                script.push_str(line);
                script.push('\n');
            }
            in_document = begins || (in_document && line != "YAML");
        }
        let (make, check) = script.split_once("  KEY=").context("no KEY= in the notes")?;
        ensure!(check.contains("http://127.0.0.1:8080/"), "{notes}");
        let check = format!("KEY={check}").replace("http://127.0.0.1:8080", &base(pod));
        Ok(Self { make: make.to_owned(), check, pod: base(pod) })
    }
}

fn base(pod: &Server) -> String {
    pod.url("").trim_end_matches('/').to_owned()
}

async fn verified(cluster: &Cluster, commands: &Commands) -> Result<()> {
    // A person is slower than a watch event, a script on a busy machine may not be.
    eventually("the key is VALID at the pod", SOON, || async {
        let answer = shell(cluster, &commands.check).await?;
        anyhow::Ok(answer.contains(r#""valid":true,"code":"VALID""#).then_some(()))
    })
    .await
}

async fn shell(cluster: &Cluster, script: &str) -> Result<String> {
    let programs = cluster.assets().kubectl.parent().context("kubectl has a folder")?;
    let script = format!("PATH=\"{}:$PATH\"\n{script}", programs.display());
    let kubeconfig = cluster.control_plane().admin().kubeconfig();
    let output = tokio::process::Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .env("KUBECONFIG", kubeconfig)
        .output()
        .await?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{script}\n{stdout}\n{stderr}");
    Ok(stdout.into_owned())
}

/// What changes when an object of a release is written: its generation, or its version where the kind has none.
async fn versions(cluster: &Cluster, release: &str) -> Result<Vec<String>> {
    let namespace: &[&str] = if release == CRDS { &[] } else { &["--namespace", SYSTEM_NAMESPACE] };
    let manifest = cluster.helm().run(&[&["get", "manifest", release], namespace].concat()).await?;
    let file = tempfile::Builder::new().suffix(".yaml").tempfile()?;
    std::fs::write(file.path(), manifest)?;
    let listed = cluster.kubectl().run(&["get", "--output=json", "-f", text(file.path())?]).await?;
    let listed: serde_json::Value = serde_json::from_str(&listed)?;
    let versions = listed["items"].as_array().context("a list")?.iter().map(|object| {
        let metadata = &object["metadata"];
        let version = metadata.get("generation").unwrap_or(&metadata["resourceVersion"]);
        format!("{} {} {version}", object["kind"], metadata["name"])
    });
    Ok(versions.collect())
}
