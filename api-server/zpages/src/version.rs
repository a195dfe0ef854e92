//! `/version`: what was built, from what, with what; the shape of kube-apiserver's.

use serde::Serialize;

use crate::encode;

/// Where a program was built from. A part that is not known is empty, as upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Build {
    /// The commit, as 40 hexadecimal digits.
    pub git_commit: String,
    /// `clean`, or `dirty` when files differed from the commit.
    pub git_tree_state: String,
    /// RFC 3339, in UTC.
    pub build_date: String,
}

impl Build {
    /// What the build gave: a commit, followed by `-dirty` when files differed from it, and a date. For `option_env!`.
    pub fn of_environment(commit: Option<&str>, date: Option<&str>) -> Self {
        let commit = commit.unwrap_or_default();
        let (git_commit, git_tree_state) = match commit.strip_suffix("-dirty") {
            Some(commit) => (commit, "dirty"),
            None if commit.is_empty() => ("", ""),
            None => (commit, "clean"),
        };
        Self {
            git_commit: git_commit.to_owned(),
            git_tree_state: git_tree_state.to_owned(),
            build_date: date.unwrap_or_default().to_owned(),
        }
    }
}

/// In the order in which upstream writes it. Its fields of emulated versions are left out there too when they are empty.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    major: &'a str,
    minor: &'a str,
    git_version: String,
    git_commit: &'a str,
    git_tree_state: &'a str,
    build_date: &'a str,
    go_version: &'a str,
    compiler: &'a str,
    platform: String,
}

/// The page's body: indented JSON without a final newline. `version` has no leading `v`.
///
/// # Errors
/// None for these fields; the type is the encoder's.
pub(crate) fn body(version: &str, runtime_version: &str, build: &Build) -> Result<String, serde_json::Error> {
    let mut numbers = version.split('.');
    let info = Info {
        major: numbers.next().unwrap_or_default(),
        minor: numbers.next().unwrap_or_default(),
        git_version: format!("v{version}"),
        git_commit: &build.git_commit,
        git_tree_state: &build.git_tree_state,
        build_date: &build.build_date,
        go_version: runtime_version,
        compiler: "rustc",
        platform: platform(std::env::consts::OS, std::env::consts::ARCH),
    };
    encode::json(&info, true)
}

/// The names that Kubernetes has for operating systems and processors.
fn platform(system: &str, processor: &str) -> String {
    let system = if system == "macos" { "darwin" } else { system };
    let processor = match processor {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    };
    format!("{system}/{processor}")
}

#[cfg(test)]
mod tests {
    use super::{Build, body, platform};

    #[test]
    fn the_fields_stand_in_the_order_of_upstream() {
        let build = Build {
            git_commit: "0fe1a51".to_owned(),
            git_tree_state: "clean".to_owned(),
            build_date: "2026-11-21T12:00:00Z".to_owned(),
        };
        let body = body("1.36.2-rc.1", "rustc 1.95.0", &build).unwrap();
        let platform = platform(std::env::consts::OS, std::env::consts::ARCH);
        let wanted = format!(
            r#"{{
  "major": "1",
  "minor": "36",
  "gitVersion": "v1.36.2-rc.1",
  "gitCommit": "0fe1a51",
  "gitTreeState": "clean",
  "buildDate": "2026-11-21T12:00:00Z",
  "goVersion": "rustc 1.95.0",
  "compiler": "rustc",
  "platform": "{platform}"
}}"#
        );
        assert_eq!(body, wanted);
    }

    #[test]
    fn a_build_says_what_it_was_given() {
        let of = |commit| {
            let build = Build::of_environment(commit, None);
            (build.git_commit, build.git_tree_state)
        };
        assert_eq!(of(Some("0fe1a51")), ("0fe1a51".to_owned(), "clean".to_owned()));
        assert_eq!(of(Some("0fe1a51-dirty")), ("0fe1a51".to_owned(), "dirty".to_owned()));
        assert_eq!((of(None), Build::of_environment(None, None)), (of(Some("")), Build::default()));
    }

    #[test]
    fn platforms_have_the_names_of_kubernetes() {
        assert_eq!(platform("linux", "x86_64"), "linux/amd64");
        assert_eq!(platform("macos", "aarch64"), "darwin/arm64");
        assert_eq!(platform("linux", "riscv64"), "linux/riscv64");
    }
}
