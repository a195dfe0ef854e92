//! The charts, with a real helm and a real API server: what they render, what they refuse, what they grant, and the life of a release.

mod definitions;
mod release;
mod rights;
mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use keyplane_operator::config::{Cli, Command};
use keyplane_tests::{Cluster, SharedCluster, Trial, trials, workspace};
use serde::Deserialize;
use serde_json::Value;

const CRDS: &str = "keyplane-crds";
const KEYPLANE: &str = "keyplane";
/// The namespaces that the value files name.
const NAMED: [&str; 2] = ["team-a", "team-b"];

pub(crate) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    let mut trials = trials![cluster;
        every_set_of_values_lints_and_is_accepted_without_a_warning,
        the_operator_takes_the_arguments_it_gets,
        a_limited_operator_and_its_pool_agree_on_the_namespaces,
        our_labels_win_and_digests_pin,
    ];
    trials.extend(definitions::trials(cluster));
    trials.extend(release::trials(cluster));
    trials.extend(rights::trials(cluster));
    trials.extend(values::trials(cluster));
    trials
}

fn chart(name: &str) -> PathBuf {
    workspace::root().join("charts").join(name)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}

/// The value files of a chart's `ci/`; `None` stands for its defaults.
fn sets_of_values(chart: &Path) -> Result<Vec<Option<PathBuf>>> {
    let mut files: Vec<_> =
        std::fs::read_dir(chart.join("ci"))?.map(|file| file.map(|file| file.path())).collect::<Result<_, _>>()?;
    files.sort();
    ensure!(!files.is_empty(), "{} has no ci/", chart.display());
    Ok(std::iter::once(None).chain(files.into_iter().map(Some)).collect())
}

/// What a chart renders to in `namespace`, as text.
async fn manifests(cluster: &Cluster, name: &str, values: Option<&Path>, namespace: &str) -> Result<String> {
    let mut args = Vec::new();
    if let Some(values) = values {
        args.extend(["--values", text(values)?]);
    }
    cluster.helm().template(KEYPLANE, &chart(name), namespace, &args).await
}

/// The objects in rendered text.
fn objects(manifests: &str) -> Result<Vec<Value>> {
    let documents: Result<Vec<Value>, _> =
        serde_yaml::Deserializer::from_str(manifests).map(Value::deserialize).collect();
    Ok(documents?.into_iter().filter(|document| !document.is_null()).collect())
}

/// What the chart keyplane renders to with a value file of its `ci/`, or with its defaults.
async fn rendered(cluster: &Cluster, values: Option<&str>) -> Result<Vec<Value>> {
    let file = values.map(|name| chart(KEYPLANE).join("ci").join(name));
    objects(&manifests(cluster, KEYPLANE, file.as_deref(), "keyplane-system").await?)
}

/// The only object of a kind.
fn only<'a>(objects: &'a [Value], kind: &str) -> Result<&'a Value> {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let object = found.next().with_context(|| format!("no {kind}"))?;
    ensure!(found.next().is_none(), "more than one {kind}");
    Ok(object)
}

fn arguments(objects: &[Value]) -> Result<Vec<String>> {
    let container = &only(objects, "Deployment")?["spec"]["template"]["spec"]["containers"][0];
    Ok(serde_json::from_value(container["args"].clone())?)
}

async fn every_set_of_values_lints_and_is_accepted_without_a_warning(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("charts").await?;
    for name in NAMED {
        let manifest = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}");
        cluster.kubectl().apply(&manifest).await?;
    }
    // What is not fit for the level "restricted" is refused as pod and warned of as Deployment.
    let levels = ["enforce", "warn"].map(|mode| format!("pod-security.kubernetes.io/{mode}=restricted"));
    cluster.kubectl().run(&["label", "namespace", namespace.name(), &levels[0], &levels[1]]).await?;
    for name in [CRDS, KEYPLANE] {
        let chart = chart(name);
        for values in sets_of_values(&chart)? {
            let what = format!("{name} with {values:?}");
            let mut lint = vec!["lint", "--strict", text(&chart)?];
            if let Some(values) = &values {
                lint.extend(["--values", text(values)?]);
            }
            cluster.helm().run(&lint).await?;
            let manifests = manifests(&cluster, name, values.as_deref(), namespace.name()).await?;
            let file = tempfile::Builder::new().suffix(".yaml").tempfile()?;
            std::fs::write(file.path(), &manifests)?;
            let apply = ["apply", "--server-side", "--dry-run=server", "--warnings-as-errors", "--force-conflicts"];
            let applied = cluster.kubectl().run(&[&apply[..], &["-f", text(file.path())?]].concat()).await;
            let applied = applied.with_context(|| what.clone())?;
            assert_eq!(applied.lines().count(), objects(&manifests)?.len(), "{what}: {applied}");
        }
    }
    Ok(())
}

async fn the_operator_takes_the_arguments_it_gets(cluster: Arc<Cluster>) -> Result<()> {
    for values in sets_of_values(&chart(KEYPLANE))? {
        let objects = objects(&manifests(&cluster, KEYPLANE, values.as_deref(), "keyplane-system").await?)?;
        let arguments = arguments(&objects)?;
        let cli = Cli::try_parse_from(std::iter::once("keyplane-operator".to_owned()).chain(arguments))?;
        let Some(Command::Run(run)) = cli.command else { anyhow::bail!("{values:?}: not `run`") };
        let ports = &only(&objects, "Deployment")?["spec"]["template"]["spec"]["containers"][0]["ports"];
        assert_eq!(ports[0]["containerPort"], run.ops_listen.port(), "{values:?}");
        assert!(run.ops_listen.ip().is_unspecified(), "the kubelet's probes come from outside of the pod");
    }
    Ok(())
}

async fn a_limited_operator_and_its_pool_agree_on_the_namespaces(cluster: Arc<Cluster>) -> Result<()> {
    let limited = rendered(&cluster, Some("limited-values.yaml")).await?;
    // The pool's own namespace is watched as well, or nobody would make its pods.
    let watched = "--watch-namespaces=keyplane-system,team-a,team-b".to_owned();
    assert!(arguments(&limited)?.contains(&watched), "{:?}", arguments(&limited)?);
    let pool = only(&limited, "VerifyPool")?;
    assert_eq!(pool["spec"]["serves"], serde_json::json!({"namespaces": ["team-a", "team-b"]}));
    assert!(pool["spec"].get("replicas").is_none(), "an autoscaler's");

    let named = rendered(&cluster, Some("named-values.yaml")).await?;
    let pool = only(&named, "VerifyPool")?;
    assert_eq!(pool["spec"]["serves"], serde_json::json!({"namespaces": ["team-b"]}));
    assert!(pool["metadata"].get("annotations").is_none(), "keep is false");

    let open = rendered(&cluster, None).await?;
    assert!(!arguments(&open)?.iter().any(|argument| argument.starts_with("--watch-namespaces")));
    let pool = only(&open, "VerifyPool")?;
    assert!(pool["spec"].get("serves").is_none());
    assert_eq!(pool["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    Ok(())
}

async fn our_labels_win_and_digests_pin(cluster: Arc<Cluster>) -> Result<()> {
    let labels = "commonLabels.app\\.kubernetes\\.io/name=mine,operator.podLabels.app\\.kubernetes\\.io/instance=mine";
    let args = ["--set", labels, "--set", "operator.image.tag=v2"];
    let objects = objects(&cluster.helm().template("other", &chart(KEYPLANE), "1234", &args).await?)?;
    let deployment = only(&objects, "Deployment")?;
    let pod = &deployment["spec"]["template"];
    assert_eq!(deployment["metadata"]["labels"]["app.kubernetes.io/name"], "keyplane-operator");
    for (label, value) in deployment["spec"]["selector"]["matchLabels"].as_object().context("a selector")? {
        assert_eq!(&pod["metadata"]["labels"][label], value, "{label}");
    }
    // A namespace of digits stays a string, and a release of another name does not take ours.
    assert_eq!(deployment["metadata"]["namespace"], "1234");
    assert_eq!(deployment["metadata"]["name"], "other-keyplane-operator");
    assert_eq!(pod["spec"]["containers"][0]["image"], "keyplane-operator:v2");

    let limited = rendered(&cluster, Some("limited-values.yaml")).await?;
    let image = &only(&limited, "Deployment")?["spec"]["template"]["spec"]["containers"][0]["image"];
    assert!(image.as_str().is_some_and(|image| image.starts_with("keyplane-operator@sha256:")), "{image}");
    Ok(())
}
