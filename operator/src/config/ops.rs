//! The flags of the operational endpoints beside their address.

use std::path::PathBuf;

use clap::Args;

/// How health checks, metrics and z-pages are served, and to whom.
#[derive(Clone, Debug, Args)]
pub struct OpsArgs {
    /// Serves the operational endpoints as plain HTTP to everyone who reaches them. Absent: over TLS, to those whom the Kubernetes API lets.
    #[arg(long, env = "KEYPLANE_OPERATOR_OPS_PLAIN_HTTP", conflicts_with_all = ["ops_tls_cert_file", "ops_client_ca_file"])]
    pub ops_plain_http: bool,
    /// Certificate chain in PEM for the operational endpoints, read again when it changes. Absent: a self-signed one.
    #[arg(
        long,
        env = "KEYPLANE_OPERATOR_OPS_TLS_CERT_FILE",
        requires = "ops_tls_private_key_file",
        value_name = "FILE"
    )]
    pub ops_tls_cert_file: Option<PathBuf>,
    /// Its private key in PEM.
    #[arg(
        long,
        env = "KEYPLANE_OPERATOR_OPS_TLS_PRIVATE_KEY_FILE",
        requires = "ops_tls_cert_file",
        value_name = "FILE"
    )]
    pub ops_tls_private_key_file: Option<PathBuf>,
    /// Authority in PEM of the client certificates that count there, read again when it changes. Absent: the cluster's.
    #[arg(long, env = "KEYPLANE_OPERATOR_OPS_CLIENT_CA_FILE", value_name = "FILE")]
    pub ops_client_ca_file: Option<PathBuf>,
    /// Paths that everyone may read over TLS, separated by commas; one that ends in `*` stands for all that begin like it.
    #[arg(
        long,
        env = "KEYPLANE_OPERATOR_OPS_ALWAYS_ALLOW_PATHS",
        value_delimiter = ',',
        default_value = "/healthz,/livez,/readyz",
        value_name = "PATHS"
    )]
    pub ops_always_allow_paths: Vec<String>,
}
