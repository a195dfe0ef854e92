//! A ServiceAccount as the identity of a program, so that each runs with exactly the rights that the chart or a pool
//! gives.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};

use crate::kubeconfig::{Credentials, Endpoint, Identity};
use crate::wait;

/// A week: longer than any test, and than a developer keeps a local cluster.
const TOKEN_SECONDS: i64 = 7 * 24 * 3600;
/// A ServiceAccount may be about to be made, by the chart or by the operator.
const APPEARS: Duration = Duration::from_secs(20);

/// Waits for a ServiceAccount, asks for a token of it and writes a kubeconfig with it.
pub(crate) async fn of_service_account(
    client: Client,
    endpoint: &Endpoint,
    directory: &Path,
    namespace: &str,
    name: &str,
) -> Result<Identity> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client, namespace);
    let what = format!("ServiceAccount {namespace}/{name} is there");
    wait::eventually(what, APPEARS, || async { accounts.get_opt(name).await }).await?;
    let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let answer = accounts.create_token_request(name, &PostParams::default(), &request).await;
    let status = answer.with_context(|| format!("ask for a token of ServiceAccount {namespace}/{name}"))?.status;
    let token = status.context("a TokenRequest without a status")?.token;
    let file = directory.join(format!("{namespace}.{name}.kubeconfig"));
    Identity::write(file, endpoint, Credentials::Token(&token), namespace)
}
