//! The environment variables that the kit reads, and the environment it gives to what it starts. Nothing else in the
//! kit reads any.

use std::ffi::OsString;
use std::path::PathBuf;

/// A folder with `etcd`, `kube-apiserver` and `kubectl`: the convention of controller-runtime's envtest.
pub const KUBEBUILDER_ASSETS: &str = "KUBEBUILDER_ASSETS";
/// A folder with our programs, built already: for measuring a certain build, or one program again and again.
pub const BINARIES: &str = "KEYPLANE_TESTS_BINARIES";
/// Any value: the directories of test runs stay, with logs and data.
pub const KEEP: &str = "KEYPLANE_TESTS_KEEP";
/// How many probes the comparison of z-pages draws; absent: as many as its own file says.
pub const PROBES: &str = "KEYPLANE_TESTS_PROBES";

/// What a started program inherits; all else of the developer's shell (`KUBECONFIG`, `KEYPLANE_*`) must not leak into a
/// test.
const INHERITED: [&str; 4] = ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"];

/// Cargo tells the program it runs about that program's package. A cargo inside would pass this on to build scripts
/// that watch these variables (ring's does), and rebuild half of the tree.
const OF_THE_OUTER_CARGO: [&str; 9] = [
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_BIN_",
    "CARGO_CRATE_NAME",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_TARGET_TMPDIR",
    "DEP_",
    "OUT_DIR",
    "LD_LIBRARY_PATH",
];

/// The value of one variable; an empty one counts as absent.
pub fn read(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The folder named by `KUBEBUILDER_ASSETS`.
pub fn kubebuilder_assets() -> Option<PathBuf> {
    read(KUBEBUILDER_ASSETS).map(PathBuf::from)
}

/// The folder named by `KEYPLANE_TESTS_BINARIES`.
pub fn binaries() -> Option<PathBuf> {
    read(BINARIES).map(PathBuf::from)
}

/// The cargo that runs us, or the one on the PATH.
pub fn cargo() -> PathBuf {
    read("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// What every program that the kit starts may see of our own environment.
pub fn inherited() -> Vec<(String, OsString)> {
    INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), read(name)?))).collect()
}

/// The variables that a cargo started by us must not see.
pub fn of_the_outer_cargo() -> Vec<OsString> {
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| {
            name.to_str().is_some_and(|name| OF_THE_OUTER_CARGO.iter().any(|prefix| name.starts_with(prefix)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_see_the_path_but_nothing_of_cargo_or_kubernetes() {
        let names: Vec<_> = inherited().into_iter().map(|(name, _)| name).collect();
        assert!(names.iter().any(|name| name == "PATH"));
        assert!(!names.iter().any(|name| name.starts_with("CARGO") || name.starts_with("KUBE")));
    }

    #[test]
    fn an_inner_cargo_does_not_see_the_package_that_is_tested() {
        assert!(read("CARGO_PKG_NAME").is_some(), "cargo sets it for test programs");
        assert!(of_the_outer_cargo().iter().any(|name| name == "CARGO_PKG_NAME"));
        assert!(!of_the_outer_cargo().iter().any(|name| name == "CARGO_HOME" || name == "CARGO_TARGET_DIR"));
    }
}
