//! Who may depend on whom: the direction that `ARCHITECTURE.md` draws.

use std::collections::BTreeSet;
use std::process::Command;

use keyplane_tests::workspace;

/// Everything that a package is built with, however far away: not what its tests or build scripts need, and only with the features that
/// the package asks for itself.
fn all_below(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none", "--package", package])
        .current_dir(workspace::root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("names are UTF-8");
    let below: BTreeSet<String> = names.lines().filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect();
    assert!(below.contains(package) && below.len() > 5, "cargo tree said {below:?}");
    below
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
