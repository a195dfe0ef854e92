//! Kubeconfig files: who someone is to the API server, as the one file that kubectl, helm and our programs all read.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use data_encoding::BASE64;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::pki::Certified;

/// The address of an API server and the authority that signed its certificate.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `https://127.0.0.1:PORT`
    pub url: String,
    /// The authority's certificate, PEM.
    pub authority: String,
}

/// How someone proves who they are.
pub enum Credentials<'a> {
    /// A client certificate.
    Certificate(&'a Certified),
    /// A ServiceAccount's token.
    Token(&'a str),
}

/// Someone known to the API server: a person or a ServiceAccount.
#[derive(Clone, Debug)]
pub struct Identity {
    kubeconfig: PathBuf,
}

impl Identity {
    /// Writes the kubeconfig file; readable by us alone.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(file: PathBuf, endpoint: &Endpoint, credentials: Credentials<'_>, namespace: &str) -> Result<Self> {
        let text =
            serde_json::to_string_pretty(&render(endpoint, credentials, namespace)).context("render a kubeconfig")?;
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file);
        opened
            .and_then(|mut open| open.write_all(text.as_bytes()))
            .with_context(|| format!("write {}", file.display()))?;
        Ok(Self { kubeconfig: file })
    }

    /// The kubeconfig file: the value of `KUBECONFIG` for a program that should be this identity.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A new client. It belongs to the runtime that makes it, so it must not be handed to another trial.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read.
    pub async fn client(&self) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).context("read back a kubeconfig")?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .context("use a kubeconfig")?;
        Client::try_from(config).context("make a client from a kubeconfig")
    }
}

/// JSON is YAML, so this is a kubeconfig as any.
fn render(endpoint: &Endpoint, credentials: Credentials<'_>, namespace: &str) -> Value {
    let encoded = |pem: &str| BASE64.encode(pem.as_bytes());
    let user = match credentials {
        Credentials::Certificate(certified) => json!({
            "client-certificate-data": encoded(&certified.certificate),
            "client-key-data": encoded(&certified.key),
        }),
        Credentials::Token(token) => json!({ "token": token }),
    };
    let cluster = json!({ "server": endpoint.url, "certificate-authority-data": encoded(&endpoint.authority) });
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "local", "cluster": cluster }],
        "users": [{ "name": "user", "user": user }],
        "contexts": [{ "name": "local", "context": { "cluster": "local", "user": "user", "namespace": namespace } }],
        "current-context": "local",
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_written_kubeconfig_makes_a_client_and_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let authority = crate::pki::Authority::new().unwrap();
        let endpoint =
            Endpoint { url: "https://127.0.0.1:6443".to_owned(), authority: authority.certificate().to_owned() };
        let alice = authority.client("alice", None).unwrap();
        let file = directory.path().join("alice.kubeconfig");
        let identity = Identity::write(file.clone(), &endpoint, Credentials::Certificate(&alice), "team-a").unwrap();
        assert_eq!(identity.client().await.unwrap().default_namespace(), "team-a");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
