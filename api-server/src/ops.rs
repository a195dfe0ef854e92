//! The operational listener: how it is exposed, and to whom.

use anyhow::Context;
use kube::Client;
use zpages::access::Guard;
use zpages::serve::{Certificate, Exposure};

use crate::config::{Args, Readers};

/// How the operational endpoints are served, as the flags say. `client` is there in a cluster.
pub fn exposure(args: &Args, client: Option<&Client>) -> anyhow::Result<Exposure> {
    let ops = &args.ops;
    let guard = match (args.readers()?, client) {
        (Readers::Everyone, _) => return Ok(Exposure::plain()),
        (Readers::Delegated, Some(client)) => Guard::delegated(client.clone()),
        (Readers::Delegated | Readers::Certified, _) => Guard::certificates(None)?,
    };
    let guard = guard.with_client_ca_file(ops.ops_client_ca_file.clone()).context("--ops-client-ca-file")?;
    let guard = guard.with_always_allow_paths(&ops.ops_always_allow_paths);
    let certificate = match (&ops.ops_tls_cert_file, &ops.ops_tls_private_key_file) {
        (Some(chain), Some(key)) => Certificate::from_files(chain, key).context("--ops-tls-cert-file")?,
        _ => Certificate::self_signed(["localhost".to_owned(), args.ops_listen.ip().to_string()])?,
    };
    Ok(Exposure::guarded(certificate, guard))
}
