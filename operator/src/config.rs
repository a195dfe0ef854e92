//! The command line and the environment; nothing else of the operator reads either.

mod ops;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};
use zpages::logging::LogFormat;

pub use self::ops::OpsArgs;

/// The image of verify pods when neither the pool nor `--verify-image` names one: the api-server of the operator's own version.
const DEFAULT_VERIFY_IMAGE: &str = concat!("keyplane-api-server:", env!("CARGO_PKG_VERSION"));

/// Makes API keys and verify pods out of Keyplane's resources.
#[derive(Debug, Parser)]
#[command(name = "keyplane-operator", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; without it the operator runs.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of `run`, so that `run` itself may be left out.
    #[command(flatten)]
    pub run: RunArgs,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the controllers (the default).
    Run(Box<RunArgs>),
    /// Prints the custom resource definitions, or writes them as files.
    Crd {
        /// Writes one file a kind into this directory instead of printing them.
        #[arg(long, value_name = "DIR")]
        write: Option<PathBuf>,
    },
}

/// The flags of `run`; each is also an environment variable `KEYPLANE_OPERATOR_…`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Address of health checks, metrics and z-pages.
    #[arg(long, env = "KEYPLANE_OPERATOR_OPS_LISTEN", default_value = "127.0.0.1:8082", value_name = "ADDRESS")]
    pub ops_listen: SocketAddr,
    /// How these are served, and to whom.
    #[command(flatten)]
    pub ops: OpsArgs,
    /// Namespaces to work in, separated by commas; absent: all.
    #[arg(long, env = "KEYPLANE_OPERATOR_WATCH_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACES")]
    pub watch_namespaces: Vec<String>,
    /// Namespace of the lease that decides who leads; absent: the pod's own, else keyplane-system.
    #[arg(long, env = "KEYPLANE_OPERATOR_LEASE_NAMESPACE", value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// Name of that lease.
    #[arg(long, env = "KEYPLANE_OPERATOR_LEASE_NAME", default_value = "keyplane-operator", value_name = "NAME")]
    pub lease_name: String,
    /// How long the lease of a leader that stopped renewing holds off the others; at least 1s.
    #[arg(long, env = "KEYPLANE_OPERATOR_LEASE_DURATION", default_value = "15s", value_parser = lease_duration)]
    pub lease_duration: Duration,
    /// Who this process is in the lease; must differ between processes. Absent: the host name and random characters.
    #[arg(long, env = "KEYPLANE_OPERATOR_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,
    /// Image of verify pods whose pool names none.
    #[arg(long, env = "KEYPLANE_OPERATOR_VERIFY_IMAGE", default_value = DEFAULT_VERIFY_IMAGE, value_name = "IMAGE")]
    pub verify_image: String,
    /// Form of the log lines on standard error.
    #[arg(long, env = "KEYPLANE_OPERATOR_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What to log: a level, or directives such as `info,keyplane_operator=debug`.
    #[arg(long, env = "KEYPLANE_OPERATOR_LOG_FILTER", default_value = "info", value_name = "FILTER")]
    pub log_filter: String,
    /// Serves `/debug` among the operational endpoints, as the components of Kubernetes do: CPU profiles, and the log level to change.
    #[arg(long, env = "KEYPLANE_OPERATOR_PROFILING", default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    pub profiling: bool,
    /// The namespace that Kubernetes tells the pod through the downward API.
    #[arg(long, env = "POD_NAMESPACE", hide = true)]
    pub pod_namespace: Option<String>,
    /// The host name, which in a pod is the pod's name.
    #[arg(long, env = "HOSTNAME", hide = true)]
    pub hostname: Option<String>,
}

/// Where a controller watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every namespace.
    Cluster,
    /// One namespace.
    Namespace(String),
}

impl Scope {
    /// Whether objects of this namespace are watched.
    pub fn covers(&self, namespace: &str) -> bool {
        match self {
            Self::Cluster => true,
            Self::Namespace(own) => own == namespace,
        }
    }
}

impl RunArgs {
    /// The scopes to watch: the whole cluster, or each named namespace once.
    pub fn scopes(&self) -> Vec<Scope> {
        let mut names: Vec<_> =
            self.watch_namespaces.iter().map(|name| name.trim()).filter(|n| !n.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return vec![Scope::Cluster];
        }
        names.into_iter().map(|name| Scope::Namespace(name.to_owned())).collect()
    }

    /// The namespace of the lease.
    pub fn lease_namespace(&self) -> &str {
        self.lease_namespace.as_deref().or(self.pod_namespace.as_deref()).unwrap_or("keyplane-system")
    }

    /// Who this process is: as told, else the host name with `random` behind it, since two processes can share a host.
    pub fn identity(&self, random: u64) -> String {
        let host = self.hostname.as_deref().unwrap_or("keyplane-operator");
        self.identity.clone().unwrap_or_else(|| format!("{host}_{random:016x}"))
    }
}

fn lease_duration(text: &str) -> Result<Duration, String> {
    let millis = keyplane_core::duration::parse_millis(text).map_err(|error| error.to_string())?;
    match u64::try_from(millis) {
        Ok(millis @ 1_000..=3_600_000) => Ok(Duration::from_millis(millis)),
        _ => Err(format!("`{text}` is not between 1s and 1h")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Cli {
        Cli::try_parse_from(std::iter::once(&"keyplane-operator").chain(arguments)).unwrap()
    }

    #[test]
    fn run_may_be_left_out() {
        let bare = parse(&["--ops-listen", "127.0.0.1:1"]);
        assert!(bare.command.is_none());
        assert_eq!(bare.run.ops_listen.port(), 1);
        let Some(Command::Run(args)) = parse(&["run", "--ops-listen", "127.0.0.1:2"]).command else {
            panic!("not run")
        };
        assert_eq!(args.ops_listen.port(), 2);
    }

    #[test]
    fn namespaces_are_named_once_each_and_none_means_all() {
        assert_eq!(parse(&[]).run.scopes(), [Scope::Cluster]);
        assert_eq!(parse(&["--watch-namespaces="]).run.scopes(), [Scope::Cluster]);
        let two = [Scope::Namespace("a".to_owned()), Scope::Namespace("b".to_owned())];
        assert_eq!(parse(&["--watch-namespaces", "b, a,b"]).run.scopes(), two);
    }

    #[test]
    fn two_processes_of_one_host_differ() {
        let args = parse(&["--hostname", "box"]).run;
        assert_ne!(args.identity(1), args.identity(2));
        assert_eq!(parse(&["--identity", "me"]).run.identity(1), "me");
    }

    #[test]
    fn a_lease_is_at_least_a_second() {
        assert_eq!(parse(&["--lease-duration", "1500ms"]).run.lease_duration, Duration::from_millis(1500));
        for bad in ["500ms", "2h", "15", "x"] {
            assert!(Cli::try_parse_from(["keyplane-operator", "--lease-duration", bad]).is_err(), "{bad}");
        }
    }
}
