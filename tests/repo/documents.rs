//! Documents say what is true: links lead somewhere, named flags and metrics exist.

use std::path::Path;

use clap::CommandFactory;
use keyplane_tests::workspace;

use super::{files, text};

fn documents() -> Vec<(String, String)> {
    let markdown = files().into_iter().filter(|file| file.extension().is_some_and(|end| end == "md"));
    let read: Vec<_> = markdown.map(|file| (file.display().to_string(), text(&file).unwrap())).collect();
    for expected in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        assert!(read.iter().any(|(name, _)| name == expected), "{expected} is missing");
    }
    read
}

#[test]
fn links_to_files_lead_to_files() {
    for (name, document) in documents() {
        let folder = workspace::root().join(&name);
        let folder = folder.parent().unwrap();
        for target in document.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            assert!(folder.join(Path::new(path)).exists(), "{name}: the link to `{target}` leads nowhere");
        }
    }
}

#[test]
fn the_readme_shows_every_flag_of_the_api_server() {
    let readme = text(Path::new("README.md")).unwrap();
    for argument in keyplane_api_server::config::Args::command().get_arguments() {
        let flag = format!("--{}", argument.get_long().unwrap());
        assert!(readme.contains(&format!("`{flag}")), "README.md does not mention {flag}");
        let variable = argument.get_env().unwrap().to_str().unwrap().to_owned();
        assert_eq!(variable, format!("KEYPLANE_{}", flag[2..].replace('-', "_").to_uppercase()));
    }
}

#[test]
fn metrics_in_documents_exist() {
    let sources: String =
        files().into_iter().filter(|file| registers_metrics(file)).map(|file| text(&file).unwrap()).collect();
    for (name, document) in documents() {
        for word in document.split(|c: char| !c.is_ascii_lowercase() && c != '_').filter(|w| w.starts_with("keyplane_"))
        {
            let family = word.strip_suffix("_total").unwrap_or(word);
            // Crate names look like metrics.
            if ["keyplane_core", "keyplane_api", "keyplane_api_server", "keyplane_operator", "keyplane_tests"]
                .contains(&word)
            {
                continue;
            }
            // A collector of the operator is given the prefix where it is registered.
            let names = [family, family.strip_prefix("keyplane_operator_").unwrap_or(family)];
            let exists = names.iter().any(|name| sources.contains(&format!("\"{name}\"")));
            assert!(exists, "{name}: there is no metric `{word}`");
        }
    }
}

fn registers_metrics(file: &Path) -> bool {
    file.ends_with("metrics.rs") || file.ends_with("issuance/deadlines.rs")
}
