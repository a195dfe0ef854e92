//! Every file of the corpus through its case, and the corpus complete.

use std::path::Path;

use keyplane_hostile::CASES;

#[test]
fn what_must_hold_holds_of_the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, case) in CASES {
        let mut files = 0;
        for entry in std::fs::read_dir(corpus.join(name)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            // A panic of the case alone would not say which file it was.
            assert!(std::panic::catch_unwind(|| case(&bytes)).is_ok(), "{} fails the case `{name}`", path.display());
            files += 1;
        }
        assert!(
            (3..=60).contains(&files),
            "{name} has {files} files: a few dozen at most, minimised with `cargo fuzz cmin`"
        );
    }
}

#[test]
fn every_target_is_a_case_and_every_case_a_target() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let mut targets: Vec<String> = std::fs::read_dir(fuzz.join("fuzz_targets"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    targets.sort();
    assert_eq!(targets, CASES.map(|(name, _)| name));
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for (name, _) in CASES {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "tests/fuzz/Cargo.toml lacks {name}");
    }
}
