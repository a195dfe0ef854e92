//! The chart keyplane-crds has the definitions of `crds/`: as copies, and unchanged but for labels and annotations.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use keyplane_tests::{Cluster, SharedCluster, Trial, trials, workspace};
use serde_json::{Value, json};

use super::{CRDS, chart, manifests, objects};

pub(super) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster; the_copies_are_those_of_crds, what_is_rendered_is_what_is_committed]
}

fn files(directory: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("a name in UTF-8")?;
        files.insert(name, fs::read_to_string(entry.path())?);
    }
    Ok(files)
}

async fn the_copies_are_those_of_crds(_cluster: Arc<Cluster>) -> Result<()> {
    let committed = files(&workspace::root().join("crds"))?;
    let copies = chart(CRDS).join("files");
    if std::env::var_os("UPDATE").is_some() {
        for name in files(&copies)?.keys() {
            fs::remove_file(copies.join(name))?;
        }
        for (name, text) in &committed {
            fs::write(copies.join(name), text)?;
        }
    }
    assert!(
        files(&copies)? == committed,
        "charts/keyplane-crds/files/ differs from crds/: run `UPDATE=1 cargo test -p keyplane-tests --test kube charts` and commit it"
    );
    Ok(())
}

async fn what_is_rendered_is_what_is_committed(cluster: Arc<Cluster>) -> Result<()> {
    let keep = json!({"helm.sh/resource-policy": "keep"});
    for (values, annotations) in [(None, Some(&keep)), (Some(chart(CRDS).join("ci/all-values.yaml")), None)] {
        let mut rendered = objects(&manifests(&cluster, CRDS, values.as_deref(), "default").await?)?;
        for definition in &mut rendered {
            let metadata = definition["metadata"].as_object_mut().context("metadata")?;
            assert_eq!(metadata.remove("annotations").as_ref(), annotations, "{values:?}");
            let labels = metadata.remove("labels").context("labels")?;
            assert_eq!(labels["app.kubernetes.io/managed-by"], "Helm");
        }
        let committed: Vec<Value> = files(&workspace::root().join("crds"))?
            .values()
            .map(|text| serde_yaml::from_str(text))
            .collect::<Result<_, _>>()?;
        // Also that no number went through a float on the way.
        assert_eq!(rendered, committed, "{values:?}");
    }
    Ok(())
}
