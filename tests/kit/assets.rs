//! The programs of a real Kubernetes control plane: from `KUBEBUILDER_ASSETS`, or built once from Go modules into
//! cargo's target directory.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{environment, workspace};

/// The tool sets of `tests/kube/tools` and the programs that each gives.
const SETS: [(&str, &[&str]); 3] =
    [("etcd", &["etcd"]), ("k8s", &["kube-apiserver", "kube-controller-manager", "kubectl"]), ("helm", &["helm"])];

/// Where each program is.
#[derive(Clone, Debug)]
pub struct Assets {
    /// etcd 3.6
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// The controllers: default service accounts, garbage collection, the pods of a StatefulSet.
    pub kube_controller_manager: PathBuf,
    /// The client.
    pub kubectl: PathBuf,
    /// helm 4
    pub helm: PathBuf,
}

impl Assets {
    /// Finds the programs, or builds them: about 7 minutes on two cores once, then nothing.
    ///
    /// # Errors
    /// When `KUBEBUILDER_ASSETS` lacks a program that cannot be had otherwise, or when there is neither such a folder
    /// nor Go; the text says what to install.
    pub fn find() -> Result<Self> {
        match environment::kubebuilder_assets() {
            Some(folder) => Self::of_folder(&folder),
            None => Ok(Self::all_in(&built(&["etcd", "k8s", "helm"])?)),
        }
    }

    /// The folder's own programs, and what the convention does not put there from our build.
    fn of_folder(folder: &Path) -> Result<Self> {
        let lacking: Vec<&str> =
            ["etcd", "kube-apiserver", "kubectl"].into_iter().filter(|name| !folder.join(name).is_file()).collect();
        ensure!(
            lacking.is_empty(),
            "{}={} has no {}; point it at a folder that `setup-envtest use -p path` prints, or unset it to build from source",
            environment::KUBEBUILDER_ASSETS,
            folder.display(),
            lacking.join(", ")
        );
        let mut assets = Self::all_in(folder);
        if !assets.kube_controller_manager.is_file() {
            ensure_same_minor(&assets.kube_apiserver)?;
            assets.kube_controller_manager = built(&["k8s"])?.join("kube-controller-manager");
        }
        if !assets.helm.is_file() {
            assets.helm = built(&["helm"])?.join("helm");
        }
        Ok(assets)
    }

    fn all_in(folder: &Path) -> Self {
        Self {
            etcd: folder.join("etcd"),
            kube_apiserver: folder.join("kube-apiserver"),
            kube_controller_manager: folder.join("kube-controller-manager"),
            kubectl: folder.join("kubectl"),
            helm: folder.join("helm"),
        }
    }
}

/// A controller-manager newer than its API server is not supported, so ours only goes with an API server of its own
/// minor version.
fn ensure_same_minor(apiserver: &Path) -> Result<()> {
    let output =
        Command::new(apiserver).arg("--version").output().with_context(|| format!("run {}", apiserver.display()))?;
    let theirs = String::from_utf8_lossy(&output.stdout).trim().trim_start_matches("Kubernetes ").to_owned();
    let ours = pinned_kubernetes(
        &fs::read_to_string(tools().join("k8s/go.mod")).context("read tests/kube/tools/k8s/go.mod")?,
    )?;
    ensure!(
        minor(&theirs).is_some() && minor(&theirs) == minor(&ours),
        "{name} holds a kube-apiserver {theirs} but no kube-controller-manager, and the one that the tests can build is {ours}; \
         put a kube-controller-manager {theirs} into that folder, or unset {name} to build everything from source",
        name = environment::KUBEBUILDER_ASSETS,
    );
    Ok(())
}

/// `v1.36.3` from the line `require k8s.io/kubernetes v1.36.3`, alone or in a block.
fn pinned_kubernetes(go_mod: &str) -> Result<String> {
    let version = go_mod.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word == "require");
        (words.next() == Some("k8s.io/kubernetes")).then(|| words.next()).flatten()
    });
    version.map(str::to_owned).context("tests/kube/tools/k8s/go.mod names no version of k8s.io/kubernetes")
}

/// `v1.36` of `v1.36.3`.
fn minor(version: &str) -> Option<&str> {
    version.starts_with('v').then_some(())?;
    version.match_indices('.').nth(1).map(|(end, _)| &version[..end])
}

fn tools() -> PathBuf {
    workspace::root().join("tests/kube/tools")
}

/// The folder with the programs of these sets, built when they are missing or when their pins have changed.
fn built(sets: &[&str]) -> Result<PathBuf> {
    let cache = workspace::target_directory()?.join("kube-assets");
    fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
    // Two test programs may want the same build; the second waits here and then finds it done.
    let guard = File::create(cache.join(".lock")).context("create the lock file of the asset cache")?;
    guard.lock().context("lock the asset cache")?;
    let stale: Vec<&str> = sets.iter().copied().filter(|set| !is_current(&cache, set)).collect();
    if !stale.is_empty() {
        build(&cache, &stale)?;
    }
    Ok(cache)
}

fn build(cache: &Path, sets: &[&str]) -> Result<()> {
    let log = cache.join("build.log");
    if let Err(error) = workspace::go_version() {
        bail!(
            "the tests need a Kubernetes control plane and found neither {} nor Go ({error:#}); \
             install Go 1.26 or newer (https://go.dev/dl), or set {} to a folder with etcd, kube-apiserver, \
             kube-controller-manager, kubectl and helm (`setup-envtest use -p path` gives most of it)",
            environment::KUBEBUILDER_ASSETS,
            environment::KUBEBUILDER_ASSETS,
        );
    }
    eprintln!(
        "building {} into {} (once; minutes when cold; log: {})",
        sets.join(", "),
        cache.display(),
        log.display()
    );
    let output = File::create(&log).with_context(|| format!("create {}", log.display()))?;
    let status = Command::new("bash")
        .arg(workspace::root().join("tests/kube/build.sh"))
        .arg(cache)
        .args(sets)
        .stdout(output.try_clone().context("duplicate the build log")?)
        .stderr(output)
        .status()
        .context("run tests/kube/build.sh with bash")?;
    if !status.success() {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let end: Vec<&str> = text.lines().rev().take(20).collect();
        bail!("tests/kube/build.sh failed ({status}):\n{}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    for set in sets {
        fs::write(stamp(cache, set), fingerprint(set)?).with_context(|| format!("write the stamp of {set}"))?;
    }
    Ok(())
}

/// Whether the set's programs are there and were built from the pins of this checkout. Without this, go needs 4 s to
/// say so.
fn is_current(cache: &Path, set: &str) -> bool {
    let programs = SETS.iter().find(|(name, _)| *name == set).map_or(&[] as &[&str], |(_, programs)| programs);
    let all_there = programs.iter().all(|program| cache.join(program).is_file());
    let built_from = fs::read_to_string(stamp(cache, set)).ok();
    all_there && built_from.is_some() && built_from == fingerprint(set).ok()
}

fn stamp(cache: &Path, set: &str) -> PathBuf {
    cache.join(format!(".{set}.stamp"))
}

/// Changes with the set's pins and with the build script. A new Rust may change it too; that costs one look by go.
fn fingerprint(set: &str) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for file in [
        tools().join(set).join("go.mod"),
        tools().join(set).join("go.sum"),
        workspace::root().join("tests/kube/build.sh"),
    ] {
        fs::read(&file).with_context(|| format!("read {}", file.display()))?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_version_is_found_in_both_forms_of_go_mod() {
        assert_eq!(pinned_kubernetes("module m\nrequire k8s.io/kubernetes v1.36.3\n").unwrap(), "v1.36.3");
        assert_eq!(
            pinned_kubernetes("require (\n\tk8s.io/api v0.36.3\n\tk8s.io/kubernetes v1.36.3\n)").unwrap(),
            "v1.36.3"
        );
        assert!(pinned_kubernetes("require k8s.io/api v0.36.3").is_err());
        assert!(pinned_kubernetes(&fs::read_to_string(tools().join("k8s/go.mod")).unwrap()).is_ok());
    }

    #[test]
    fn minor_versions_are_compared_not_patches() {
        assert_eq!(minor("v1.36.3"), Some("v1.36"));
        assert_eq!(minor("v1.36.0-rc.1"), Some("v1.36"));
        assert_eq!(minor("garbage"), None);
    }

    #[test]
    fn a_folder_without_the_api_server_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("etcd"), "").unwrap();
        let error = Assets::of_folder(folder.path()).unwrap_err().to_string();
        assert!(error.contains("has no kube-apiserver, kubectl;") && error.contains("unset it"), "{error}");
    }

    #[test]
    fn an_api_server_of_another_minor_version_does_not_get_our_controller_manager() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        for program in ["etcd", "kubectl", "kube-apiserver"] {
            let path = folder.path().join(program);
            fs::write(&path, "#!/bin/sh\necho Kubernetes v1.20.1\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let error = Assets::of_folder(folder.path()).unwrap_err().to_string();
        assert!(error.contains("v1.20.1") && error.contains("kube-controller-manager"), "{error}");
    }

    #[test]
    fn every_set_of_the_build_script_is_known_here() {
        for (set, _) in SETS {
            assert_eq!(fingerprint(set).unwrap().len(), 16);
        }
    }

    #[test]
    fn a_program_without_a_stamp_is_not_current() {
        let cache = tempfile::tempdir().unwrap();
        fs::write(cache.path().join("etcd"), "").unwrap();
        assert!(!is_current(cache.path(), "etcd"));
        fs::write(stamp(cache.path(), "etcd"), fingerprint("etcd").unwrap()).unwrap();
        assert!(is_current(cache.path(), "etcd"));
        fs::remove_file(cache.path().join("etcd")).unwrap();
        assert!(!is_current(cache.path(), "etcd"));
    }
}
