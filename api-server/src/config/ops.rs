//! The flags of the operational endpoints beside their address, and what follows from them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::ConfigError;

/// How health checks, metrics and z-pages are served, and to whom.
#[derive(Clone, Debug, Args)]
pub struct OpsArgs {
    /// Serves the operational endpoints as plain HTTP to everyone who reaches them, in a cluster too. Without a cluster they are plain HTTP
    /// unless there is a certificate, and on loopback only.
    #[arg(long, env = "KEYPLANE_OPS_PLAIN_HTTP", conflicts_with_all = ["ops_tls_cert_file", "ops_client_ca_file"])]
    pub ops_plain_http: bool,
    /// Certificate chain in PEM for the operational endpoints, read again when it changes. Absent, in a cluster: a self-signed one.
    #[arg(long, env = "KEYPLANE_OPS_TLS_CERT_FILE", requires = "ops_tls_private_key_file", value_name = "FILE")]
    pub ops_tls_cert_file: Option<PathBuf>,
    /// Its private key in PEM.
    #[arg(long, env = "KEYPLANE_OPS_TLS_PRIVATE_KEY_FILE", requires = "ops_tls_cert_file", value_name = "FILE")]
    pub ops_tls_private_key_file: Option<PathBuf>,
    /// Authority in PEM of the client certificates that count there, read again when it changes. Absent: the cluster's.
    #[arg(long, env = "KEYPLANE_OPS_CLIENT_CA_FILE", value_name = "FILE")]
    pub ops_client_ca_file: Option<PathBuf>,
    /// Paths that everyone may read over TLS, separated by commas; one that ends in `*` stands for all that begin like it.
    #[arg(
        long,
        env = "KEYPLANE_OPS_ALWAYS_ALLOW_PATHS",
        value_delimiter = ',',
        default_value = "/healthz,/livez,/readyz",
        value_name = "PATHS"
    )]
    pub ops_always_allow_paths: Vec<String>,
}

/// Who may read the operational endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Everyone who reaches them, over plain HTTP.
    Everyone,
    /// Over TLS, those with a client certificate of the authority; the health pages everyone.
    Certified,
    /// Over TLS, those whom the Kubernetes API lets.
    Delegated,
}

impl OpsArgs {
    /// Decides who reads, from the address and from whether there is a cluster to ask.
    pub(super) fn readers(&self, address: SocketAddr, cluster: bool) -> Result<Readers, ConfigError> {
        let certificates = self.ops_tls_cert_file.is_some() || self.ops_client_ca_file.is_some();
        match (cluster, self.ops_plain_http) {
            (true, true) => Ok(Readers::Everyone),
            (true, false) => Ok(Readers::Delegated),
            (false, _) if certificates => Ok(Readers::Certified),
            (false, _) if address.ip().is_loopback() => Ok(Readers::Everyone),
            (false, _) => Err(ConfigError::OpsInTheClear(address)),
        }
    }
}
