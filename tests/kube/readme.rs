//! The README's Kubernetes section, run as it stands.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use keyplane_tests::{Cluster, SharedCluster, Trial, trials, workspace};

pub(crate) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster; the_readme_is_true]
}

/// The shell block behind the comment that names this file.
fn block() -> Result<String> {
    let readme = std::fs::read_to_string(workspace::root().join("README.md"))?;
    let after = readme.split("tests/kube/readme.rs").nth(1).context("README.md does not name this test")?;
    let block = after.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
    Ok(block.context("README.md has no shell block behind the comment")?.to_owned())
}

async fn the_readme_is_true(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("readme").await?;
    let operator = namespace.operator("a").await?.start().await?;
    let reader = namespace.reader().await?;
    let pods = [
        namespace.verify_pod("pod-0", &reader)?.start().await?,
        namespace.verify_pod("pod-1", &reader)?.start().await?,
    ];

    // The block as written, in the namespace and at the ports of this test.
    let mut script = block()?;
    for (written, pod) in ["http://127.0.0.1:18080", "http://127.0.0.1:18090"].into_iter().zip(&pods) {
        script = script.replace(written, pod.url("").trim_end_matches('/'));
    }
    let hosts: Vec<String> =
        pods.iter().map(|pod| pod.url("").replace("http://", "").trim_end_matches('/').to_owned()).collect();
    script = script.replace("127.0.0.1:18080 127.0.0.1:18090", &hosts.join(" "));
    ensure!(!script.contains("127.0.0.1:180"), "a port of the README was not replaced");
    let script = script.replace("kubectl create namespace team-a\n", "").replace("team-a", namespace.name());

    let script = waiting_for_the_end(&script)?;

    let programs = cluster.assets().kubectl.parent().context("kubectl has a folder")?;
    let output = tokio::process::Command::new("bash")
        .args(["-euo", "pipefail", "-c", &format!("PATH=\"{}:$PATH\"\n{script}", programs.display())])
        .env("KUBECONFIG", cluster.control_plane().admin().kubeconfig())
        .current_dir(workspace::root())
        .output()
        .await?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "the README's commands failed\n{stdout}\n{stderr}");
    ensure!(stdout.matches(r#""valid":true,"code":"VALID""#).count() == 2, "not VALID at both pods\n{stdout}");
    ensure!(stdout.contains(r#""valid":false,"code":"NOT_FOUND""#), "not revoked\n{stdout}");
    drop(operator);
    Ok(())
}

/// A person is slower than a watch event, a script on a busy machine may not be: the last question is asked until it is answered.
fn waiting_for_the_end(script: &str) -> Result<String> {
    let (before, revoked) =
        script.split_once("# Revoked: NOT_FOUND.\n").context("the block does not end with a revocation")?;
    let (delete, ask) = revoked.split_once('\n').context("a command behind the deletion")?;
    Ok(format!("{before}{delete}\nuntil {{ {ask} }} | grep NOT_FOUND; do [ $SECONDS -lt 60 ] || exit 1; done\n"))
}
