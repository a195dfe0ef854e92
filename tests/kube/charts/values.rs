//! The values of the charts: every one is explained and in the schema, and a mistake is refused by name.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result};
use keyplane_tests::{Cluster, SharedCluster, Trial, trials};
use serde_json::{Map, Value};

use super::{CRDS, KEYPLANE, chart};

pub(super) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster;
        schema_and_values_have_the_same_names,
        every_value_is_explained,
        an_unknown_value_is_refused_at_every_level,
        a_wrong_value_is_refused_by_name,
    ]
}

fn schema(name: &str) -> Result<Value> {
    Ok(serde_json::from_str(&fs::read_to_string(chart(name).join("values.schema.json"))?)?)
}

/// The parts of a schema that have properties, with the path of each; `""` is the whole.
fn objects<'a>(path: &str, schema: &'a Value, found: &mut Vec<(String, &'a Map<String, Value>)>) {
    let Some(properties) = schema["properties"].as_object() else { return };
    assert_eq!(schema["additionalProperties"], false, "`{path}` takes any value");
    found.push((path.to_owned(), properties));
    for (name, property) in properties {
        objects(&joined(path, name), property, found);
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

async fn schema_and_values_have_the_same_names(_cluster: Arc<Cluster>) -> Result<()> {
    for name in [CRDS, KEYPLANE] {
        let schema = schema(name)?;
        let values: Value = serde_yaml::from_str(&fs::read_to_string(chart(name).join("values.yaml"))?)?;
        let mut found = Vec::new();
        objects("", &schema, &mut found);
        for (path, properties) in found {
            let here = path.split('.').filter(|part| !part.is_empty()).fold(&values, |value, part| &value[part]);
            let here = here.as_object().with_context(|| format!("{name}: values.yaml has no map `{path}`"))?;
            // Resources and the like: the form is Kubernetes', the default is ours.
            if here.is_empty() || path.ends_with("resources") {
                continue;
            }
            let written: BTreeSet<_> = here.keys().collect();
            let known: BTreeSet<_> = properties.keys().filter(|name| *name != "global").collect();
            assert_eq!(written, known, "{name}: `{path}`");
        }
    }
    Ok(())
}

async fn every_value_is_explained(_cluster: Arc<Cluster>) -> Result<()> {
    for name in [CRDS, KEYPLANE] {
        let text = fs::read_to_string(chart(name).join("values.yaml"))?;
        let lines: Vec<&str> = text.lines().collect();
        let mut inside_resources = None;
        for (number, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let is_key =
                line.trim_start().split_once(':').is_some_and(|(key, _)| key.chars().all(char::is_alphanumeric));
            if !is_key || inside_resources.is_some_and(|at| indent > at) {
                continue;
            }
            inside_resources = line.trim_start().starts_with("resources:").then_some(indent);
            let is_group = line.ends_with(':') && inside_resources.is_none();
            let above = number.checked_sub(1).map_or("", |above| lines[above].trim_start());
            assert!(is_group || above.starts_with("# "), "{name}: values.yaml:{} is not explained: {line}", number + 1);
        }
    }
    Ok(())
}

async fn an_unknown_value_is_refused_at_every_level(cluster: Arc<Cluster>) -> Result<()> {
    for name in [CRDS, KEYPLANE] {
        let schema = schema(name)?;
        let mut found = Vec::new();
        objects("", &schema, &mut found);
        for (path, _) in found {
            let set = format!("{}=1", joined(&path, "mistake"));
            let error = cluster.helm().template("a", &chart(name), "default", &["--set", &set]).await.unwrap_err();
            let error = error.to_string();
            assert!(error.contains("'mistake' not allowed"), "{name} {set}: {error}");
        }
    }
    Ok(())
}

async fn a_wrong_value_is_refused_by_name(cluster: Arc<Cluster>) -> Result<()> {
    for (set, words) in [
        ("operator.replicas=0", "/operator/replicas"),
        ("operator.leaseDuration=soon", "/operator/leaseDuration"),
        ("operator.logFormat=xml", "/operator/logFormat"),
        ("operator.image.digest=latest", "/operator/image/digest"),
        ("operator.watchNamespaces={Team_A}", "/operator/watchNamespaces/0"),
        ("verifyPool.name=a.b", "/verifyPool/name"),
        ("verifyPool.replicas=many", "/verifyPool/replicas"),
        ("verifyPool.serves.namespaces={}", "/verifyPool/serves/namespaces"),
        ("verifyPool.service.type=None", "/verifyPool/service/type"),
        ("verifyPool.storage.storageClassName=fast", "/verifyPool/storage"),
        ("imagePullSecrets[0].nam=a", "/imagePullSecrets/0"),
    ] {
        let error = cluster.helm().template("a", &chart(KEYPLANE), "default", &["--set", set]).await;
        let error = error.err().with_context(|| format!("{set} was taken"))?.to_string();
        assert!(error.contains(words), "{set}: {error}");
    }
    Ok(())
}
