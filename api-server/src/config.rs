//! The command line and the environment; nothing else of the api-server reads either.

mod ops;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Parser, ValueEnum};
use keyplane_api::GoDuration;
use keyplane_core::key::PlainKey;
use zpages::logging::LogFormat;

pub use self::ops::{OpsArgs, Readers};

/// Verifies API keys from memory, alone with an embedded store or from the resources of a Kubernetes cluster.
#[derive(Clone, Debug, Parser)]
#[command(name = "keyplane-api-server", version)]
pub struct Args {
    /// Address of the HTTP API.
    #[arg(long, env = "KEYPLANE_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Address of health checks, metrics and z-pages.
    #[arg(long, env = "KEYPLANE_OPS_LISTEN", default_value = "127.0.0.1:8081", value_name = "ADDRESS")]
    pub ops_listen: SocketAddr,
    /// How these are served, and to whom.
    #[command(flatten)]
    pub ops: OpsArgs,
    /// Directory of the embedded store and, without a cluster, of the balances of credits; made when it is not there.
    #[arg(long, env = "KEYPLANE_DATA_DIR", default_value = "./keyplane-data", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// With `--registry kubernetes`: directory in which what this process knows is kept, so that it can start and serve while the Kubernetes
    /// API is down; made when it is not there. Absent: nothing is kept.
    #[arg(long, env = "KEYPLANE_SNAPSHOT_DIR", value_name = "DIR")]
    pub snapshot_dir: Option<PathBuf>,
    /// With `--registry kubernetes`: how old what is served may be. When the Kubernetes API was not heard for longer, from the snapshot or
    /// since, this process is not ready and answers 503.
    #[arg(long, env = "KEYPLANE_SNAPSHOT_MAX_AGE", default_value = "24h", value_name = "DURATION")]
    pub snapshot_max_age: GoDuration,
    /// Where keys come from: `embedded`, `kubernetes` or `manifests:DIR`.
    #[arg(long, env = "KEYPLANE_REGISTRY", default_value = "embedded", value_name = "REGISTRY")]
    pub registry: RegistryChoice,
    /// What this process does, separated by commas.
    #[arg(long, env = "KEYPLANE_ROLES", value_enum, value_delimiter = ',', default_value = "verify,control")]
    pub roles: Vec<Role>,
    /// With `--registry kubernetes`: the namespaces to serve, separated by commas; absent: all.
    #[arg(long, env = "KEYPLANE_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACES")]
    pub namespaces: Vec<String>,
    /// Standalone: the workspace of the keys that this process makes, and of manifests that name no namespace.
    #[arg(long, env = "KEYPLANE_WORKSPACE", default_value = "default", value_name = "NAMESPACE")]
    pub workspace: String,
    /// The namespace of which `/v1/keys.verifyKey` verifies keys: v1 has no caller who could say. Absent: standalone the workspace, with
    /// `--registry kubernetes` none, and v1 verification is off.
    #[arg(long, env = "KEYPLANE_V1_NAMESPACE", value_name = "NAMESPACE", value_parser = NonEmptyStringValueParser::new())]
    pub v1_namespace: Option<String>,
    /// A root key that must exist with all permissions, in plain. Better given in the environment, where `ps` does not show it.
    #[arg(long, env = "KEYPLANE_BOOTSTRAP_ROOT_KEY", hide_env_values = true, value_name = "KEY", value_parser = plain_key)]
    pub bootstrap_root_key: Option<PlainKey>,
    /// Form of the log lines on standard error.
    #[arg(long, env = "KEYPLANE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What to log: a level, or directives such as `info,keyplane_api_server=debug`.
    #[arg(long, env = "KEYPLANE_LOG_FILTER", default_value = "info", value_name = "FILTER")]
    pub log_filter: String,
    /// Serves `/debug` among the operational endpoints, as the components of Kubernetes do: CPU profiles, and the log level to change.
    #[arg(long, env = "KEYPLANE_PROFILING", default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    pub profiling: bool,
}

/// Where keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryChoice {
    /// One file in the data directory.
    Embedded,
    /// The Kubernetes API, by `KUBECONFIG` or from within a pod.
    Kubernetes,
    /// A directory of YAML.
    Manifests(PathBuf),
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Verifies keys; needs to read only.
    Verify,
    /// Manages keys; may write.
    Control,
}

impl FromStr for RegistryChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "embedded" => Ok(Self::Embedded),
            None if text == "kubernetes" => Ok(Self::Kubernetes),
            Some(("manifests", directory)) if !directory.is_empty() => Ok(Self::Manifests(directory.into())),
            _ => Err(format!("`{text}` is not a registry; write embedded, kubernetes or manifests:DIR")),
        }
    }
}

/// Takes the key as it is. Whether it can be used is checked after parsing: clap repeats a refused value in its message.
#[expect(clippy::unnecessary_wraps, reason = "the form that clap asks for")]
fn plain_key(text: &str) -> Result<PlainKey, Infallible> {
    Ok(PlainKey::unchecked(text))
}

/// Flags that can't be used together, or not at all.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Too short, or with white space.
    #[error("--bootstrap-root-key can't be used: {0}")]
    BootstrapKey(#[from] keyplane_core::key::PlainKeyError),
    /// In a cluster root keys are objects.
    #[error("--bootstrap-root-key is for standalone use; with --registry kubernetes apply a RootKey instead")]
    BootstrapInCluster,
    /// Only clusters have namespaces to choose from.
    #[error(
        "--namespaces is for --registry kubernetes; standalone keys lie in the one workspace that --workspace names"
    )]
    NamespacesStandalone,
    /// What the process holds otherwise is on its disk already.
    #[error(
        "--snapshot-dir is for --registry kubernetes; standalone the objects are in --data-dir or in the directory of manifests"
    )]
    SnapshotStandalone,
    /// Nothing would ever be served.
    #[error("--snapshot-max-age is `{0}`; write at least 1s, such as 24h")]
    MaxAge(String),
    /// A namespace whose keys this process doesn't have.
    #[error("--v1-namespace is `{0}`, which is not among --namespaces; add it there or name one of them")]
    V1Namespace(String),
    /// Everyone on the network could read how the server is doing, and what it holds.
    #[error(
        "--ops-listen {0} can be reached from other machines, and without TLS anyone there could read the operational endpoints; give \
         --ops-tls-cert-file and --ops-tls-private-key-file (and --ops-client-ca-file for who may read more than health), or a loopback address"
    )]
    OpsInTheClear(SocketAddr),
    /// Nothing to do.
    #[error("--roles is empty; write verify, control or both")]
    NoRole,
}

impl Args {
    /// Checks what one flag alone can't tell.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.roles.is_empty() {
            return Err(ConfigError::NoRole);
        }
        if let Some(key) = &self.bootstrap_root_key {
            PlainKey::from_bytes(key.expose().as_bytes())?;
        }
        let cluster = self.registry == RegistryChoice::Kubernetes;
        if cluster && self.bootstrap_root_key.is_some() {
            return Err(ConfigError::BootstrapInCluster);
        }
        if !cluster && !self.namespaces.is_empty() {
            return Err(ConfigError::NamespacesStandalone);
        }
        if !cluster && self.snapshot_dir.is_some() {
            return Err(ConfigError::SnapshotStandalone);
        }
        if self.snapshot_max_age.millis() < 1000 {
            return Err(ConfigError::MaxAge(self.snapshot_max_age.as_str().to_owned()));
        }
        self.readers()?;
        match &self.v1_namespace {
            Some(name) if !self.namespaces.is_empty() && !self.namespaces.contains(name) => {
                Err(ConfigError::V1Namespace(name.clone()))
            }
            _ => Ok(()),
        }
    }

    /// How old what is served may be, in milliseconds; `None`: the registry is a part of this process.
    pub fn max_age(&self) -> Option<i64> {
        (self.registry == RegistryChoice::Kubernetes).then(|| self.snapshot_max_age.millis())
    }

    /// Who may read the operational endpoints.
    pub fn readers(&self) -> Result<Readers, ConfigError> {
        self.ops.readers(self.ops_listen, self.registry == RegistryChoice::Kubernetes)
    }

    /// The namespace of which the v1 API verifies keys; `None`: it verifies none. A cluster has many namespaces, and to open one of them to
    /// callers without a root key is for its administrator to say; a standalone server has only one.
    pub fn v1_verifies(&self) -> Option<&str> {
        let only = (self.registry != RegistryChoice::Kubernetes).then_some(self.workspace.as_str());
        self.v1_namespace.as_deref().or(only)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Args, String> {
        let args = Args::try_parse_from(std::iter::once(&"keyplane-api-server").chain(arguments));
        let args = args.map_err(|error| error.to_string())?;
        args.check().map_err(|error| error.to_string())?;
        Ok(args)
    }

    #[test]
    fn without_arguments_it_serves_on_loopback_from_the_embedded_store() {
        let args = parse(&[]).unwrap();
        assert_eq!(
            (args.listen.to_string(), args.ops_listen.to_string()),
            ("127.0.0.1:8080".into(), "127.0.0.1:8081".into())
        );
        assert_eq!((args.registry, args.data_dir), (RegistryChoice::Embedded, "./keyplane-data".into()));
        assert_eq!(args.roles, [Role::Verify, Role::Control]);
    }

    #[test]
    fn registries_are_named() {
        assert_eq!(
            parse(&["--registry", "manifests:/etc/keys"]).unwrap().registry,
            RegistryChoice::Manifests("/etc/keys".into())
        );
        for bad in ["manifests:", "manifests", "etcd", "embedded:x"] {
            assert!(parse(&["--registry", bad]).unwrap_err().contains("is not a registry"), "{bad}");
        }
    }

    #[test]
    fn flags_that_do_not_go_together_are_refused_with_what_to_do() {
        let key = "a-root-key-of-someone";
        for (arguments, expected) in [
            (&["--registry", "kubernetes", "--bootstrap-root-key", key][..], "apply a RootKey"),
            (&["--namespaces", "a"], "--workspace"),
            (&["--snapshot-dir", "a"], "--data-dir"),
            (&["--snapshot-max-age", "5"], "unit"),
            (&["--snapshot-max-age", "10ms"], "at least 1s"),
            (&["--registry", "kubernetes", "--namespaces", "a,b", "--v1-namespace", "c"], "not among --namespaces"),
            (&["--bootstrap-root-key", "short"], "at least 16"),
        ] {
            let error = parse(arguments).unwrap_err();
            assert!(error.contains(expected) && !error.contains(key), "{error}");
        }
    }

    #[test]
    fn operations_are_open_on_loopback_alone_and_the_clusters_to_judge_in_one() {
        let cluster = ["--registry", "kubernetes"];
        let (files, any) =
            (["--ops-tls-cert-file", "c", "--ops-tls-private-key-file", "k"], ["--ops-listen", "0.0.0.0:1"]);
        for (arguments, expected) in [
            (&[][..], Readers::Everyone),
            (&["--ops-listen", "[::1]:1"], Readers::Everyone),
            (&files, Readers::Certified),
            (&["--ops-client-ca-file", "a"], Readers::Certified),
            (&[files.as_slice(), &any].concat(), Readers::Certified),
            (&cluster, Readers::Delegated),
            (&[cluster, any].concat(), Readers::Delegated),
            (&[&cluster[..], &files, &any].concat(), Readers::Delegated),
            (&[&cluster[..], &any, &["--ops-plain-http"]].concat(), Readers::Everyone),
        ] {
            assert_eq!(parse(arguments).unwrap().readers().unwrap(), expected, "{arguments:?}");
        }
        for (arguments, says) in [
            (&any[..], "--ops-tls-cert-file"),
            (&[&any[..], &["--ops-plain-http"]].concat(), "loopback"),
            (&["--ops-listen", "192.0.2.7:8081"], "192.0.2.7:8081"),
            (&["--ops-tls-cert-file", "c"], "--ops-tls-private-key-file"),
            (&[&files[..], &["--ops-plain-http"]].concat(), "cannot be used with"),
        ] {
            let error = parse(arguments).unwrap_err();
            assert!(error.contains(says), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn only_what_a_cluster_says_grows_old() {
        for (arguments, expected) in [
            (&[][..], None),
            (&["--snapshot-max-age", "1h"], None),
            (&["--registry", "kubernetes"], Some(86_400_000)),
            (&["--registry", "kubernetes", "--snapshot-dir", "a", "--snapshot-max-age", "90s"], Some(90_000)),
        ] {
            assert_eq!(parse(arguments).unwrap().max_age(), expected, "{arguments:?}");
        }
    }

    #[test]
    fn v1_verification_has_one_namespace_or_none() {
        for (arguments, expected) in [
            (&[][..], Some("default")),
            (&["--workspace", "team-a"], Some("team-a")),
            (&["--registry", "manifests:keys", "--v1-namespace", "team-b"], Some("team-b")),
            (&["--registry", "kubernetes"], None),
            (&["--registry", "kubernetes", "--v1-namespace", "team-a"], Some("team-a")),
            (&["--registry", "kubernetes", "--namespaces", "a,b", "--v1-namespace", "b"], Some("b")),
        ] {
            assert_eq!(parse(arguments).unwrap().v1_verifies(), expected, "{arguments:?}");
        }
    }

    #[test]
    fn a_root_key_on_the_command_line_is_in_no_message_and_no_debug_output() {
        let key = "too short";
        assert!(!parse(&["--bootstrap-root-key", key]).unwrap_err().contains(key));
        let args = parse(&["--bootstrap-root-key", "a-root-key-of-someone"]).unwrap();
        assert!(!format!("{args:?}").contains("of-someone"));
    }
}
