//! Rules for single files.

use super::{files, text};

#[test]
fn no_rust_file_has_more_than_600_lines() {
    for file in files().into_iter().filter(|file| file.extension().is_some_and(|end| end == "rs")) {
        let lines = text(&file).unwrap().lines().count();
        assert!(lines <= 600, "{} has {lines} lines; split it by idea", file.display());
    }
}

#[test]
fn no_file_names_a_machine_or_a_registry_host() {
    // Written in two parts, so that this file does not contain them.
    let forbidden = [
        ("/wo", "rk/"),
        ("/ro", "ot/"),
        ("/ho", "me/"),
        ("pypi", ".org"),
        ("registry.", "npmjs"),
        ("proxy.", "golang"),
        ("static.", "crates"),
        ("index.", "crates"),
        ("deb.", "debian"),
    ]
    .map(|(one, two)| format!("{one}{two}"));
    for file in files() {
        let locked = ["Cargo.lock", "go.sum", "package-lock.json"].iter().any(|name| file.ends_with(name));
        let Some(text) = text(&file).filter(|_| !locked) else { continue };
        for (number, line) in text.lines().enumerate() {
            for word in &forbidden {
                // A letter before the slash makes it part of a longer path, such as `framework/`.
                let found = line
                    .find(word.as_str())
                    .is_some_and(|at| !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || "-._".contains(c)));
                assert!(!found, "{}:{}: contains `{word}`", file.display(), number + 1);
            }
        }
    }
}

#[test]
fn every_module_says_what_it_is() {
    for file in files().into_iter().filter(|file| file.extension().is_some_and(|end| end == "rs")) {
        let path = file.to_string_lossy();
        if path.ends_with("tests.rs") || path.contains("/tests/") {
            continue;
        }
        assert!(text(&file).unwrap().starts_with("//!"), "{path} does not begin with a `//!` comment on what it is");
    }
}

#[test]
fn no_file_is_named_for_nothing() {
    for file in files() {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
        for word in ["util", "utils", "common", "helper", "helpers", "manager", "misc"] {
            assert_ne!(stem, word, "{} says nothing of what it holds", file.display());
        }
    }
}
