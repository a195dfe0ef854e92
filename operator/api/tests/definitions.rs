//! The committed definitions are the generated ones, and keep the promises of every field.

use std::{env, fs, path::PathBuf};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../crds")
}

#[test]
fn committed_definitions_are_the_generated_ones() {
    let files = keyplane_api::crd_files().unwrap();
    if env::var_os("UPDATE").is_some() {
        fs::create_dir_all(directory()).unwrap();
        for (name, text) in &files {
            fs::write(directory().join(name), text).unwrap();
        }
    }
    for (name, text) in &files {
        let committed = fs::read_to_string(directory().join(name)).unwrap_or_default();
        assert!(
            committed == *text,
            "crds/{name} is out of date: run `UPDATE=1 cargo test -p keyplane-api` and commit it"
        );
    }
    let mut found: Vec<_> =
        fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    let mut expected: Vec<_> = files.into_iter().map(|(name, _)| name).collect();
    expected.sort();
    assert_eq!(
        found, expected,
        "crds/ holds the generated files and nothing else, so that `kubectl apply -f crds/` works"
    );
}
