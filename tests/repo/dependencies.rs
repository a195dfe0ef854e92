//! Who may depend on whom: the direction that `ARCHITECTURE.md` draws.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};
use keyplane_tests::workspace;

/// Of each package in the tree, what it is built with (not what its tests or build script need).
fn tree() -> BTreeMap<String, BTreeSet<String>> {
    let mut command = MetadataCommand::new();
    command
        .manifest_path(workspace::root().join("Cargo.toml"))
        .other_options(vec!["--offline".to_owned(), "--locked".to_owned()]);
    let metadata = command.exec().expect("cargo metadata");
    let name = |id| metadata[id].name.to_string();
    let nodes = metadata.resolve.as_ref().expect("a resolved graph").nodes.iter();
    let normal = |dep: &&cargo_metadata::NodeDep| dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
    nodes.map(|node| (name(&node.id), node.deps.iter().filter(normal).map(|dep| name(&dep.pkg)).collect())).collect()
}

/// Everything that a package is built with, however far away.
fn all_below(package: &str) -> BTreeSet<String> {
    let tree = tree();
    let (mut found, mut open) = (BTreeSet::new(), vec![package.to_owned()]);
    assert!(tree.contains_key(package), "there is no package `{package}`");
    while let Some(next) = open.pop() {
        for dependency in &tree[&next] {
            if found.insert(dependency.clone()) {
                open.push(dependency.clone());
            }
        }
    }
    found
}

fn assert_free_of(package: &str, forbidden: &[&str], why: &str) {
    let below = all_below(package);
    for other in forbidden {
        assert!(!below.contains(*other), "{package} is built with {other}, but {why}");
    }
}

#[test]
fn the_core_waits_for_nothing_and_opens_nothing() {
    let io =
        ["tokio", "futures", "kube", "kube-client", "axum", "hyper", "tracing", "jiff", "chrono", "getrandom", "redb"];
    assert_free_of("keyplane-core", &io, "decisions are functions of values");
}

#[test]
fn the_resource_types_talk_to_no_cluster() {
    assert_free_of("keyplane-api", &["tokio", "hyper", "kube-client", "kube-runtime", "axum"], "types have no client");
}

#[test]
fn operator_and_api_server_do_not_know_each_other() {
    assert_free_of("keyplane-operator", &["keyplane-api-server"], "they share core, api and zpages only");
    assert_free_of("keyplane-api-server", &["keyplane-operator"], "they share core, api and zpages only");
}

#[test]
fn zpages_knows_none_of_ours() {
    let ours = ["keyplane-core", "keyplane-api", "keyplane-operator", "keyplane-api-server", "kube"];
    assert_free_of("zpages", &ours, "it is a library in its own right");
}

#[test]
fn one_cryptography_provider_is_in_the_tree() {
    // Two of them leave rustls without a default, and the first TLS connection panics.
    for package in ["keyplane-operator", "keyplane-api-server"] {
        let below = all_below(package);
        assert!(below.contains("ring") && !below.contains("aws-lc-rs"), "{package}: ring, and ring alone");
    }
}
