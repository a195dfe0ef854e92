//! The certificate of a server: from files, read again when they change, or made by the process itself.

use std::convert::Infallible;
use std::fs;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ring::digest::{SHA256, digest};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use tokio_rustls::TlsAcceptor;

use super::client::ClientCertificates;

/// Between two looks at the files. They are read and not watched: two small reads a second cost less than a thousandth
/// of a core, and work with every file system and with the links that a Kubernetes volume swaps.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why there is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file is not there or may not be read.
    #[error("failed to read {}: {reason}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the operating system says.
        reason: std::io::Error,
    },
    /// A file holds no certificate in PEM, or a broken one.
    #[error("{} holds no certificate chain in PEM", .0.display())]
    NoChain(PathBuf),
    /// A file holds no private key in PEM, or a broken one.
    #[error("{} holds no private key in PEM", .0.display())]
    NoKey(PathBuf),
    /// The private key is of another certificate, or of a kind that cannot sign.
    #[error("the private key in {} does not serve the certificate: {reason}", file.display())]
    Unfit {
        /// The file of the key.
        file: PathBuf,
        /// What is wrong with it.
        reason: rustls::Error,
    },
    /// The process could not make its own.
    #[error("failed to make a self-signed certificate: {0}")]
    SelfSigned(String),
    /// The cryptography offers no version of TLS that we want.
    #[error("failed to configure TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// A certificate and its key, which can change while servers use it. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Certificate {
    current: Arc<Current>,
    files: Option<Arc<Files>>,
}

#[derive(Debug)]
struct Files {
    chain: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// The certificate in two PEM files: the chain, the server's own certificate first, and its private key.
    ///
    /// # Errors
    /// One of them is not there, is not what it should be, or they do not belong together.
    pub fn from_files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, CertificateError> {
        let files = Files { chain: chain.into(), key: key.into() };
        let (certified, _) = files.load()?;
        Ok(Self { current: Arc::new(Current(ArcSwap::from_pointee(certified))), files: Some(Arc::new(files)) })
    }

    /// A new key and a certificate for `names` that nobody vouches for, in memory alone. It encrypts; who reads must
    /// know by other means to whom he talks. Clients are not meant to trust it, so it does not end either.
    ///
    /// # Errors
    /// The operating system gives no randomness, or a name is none.
    pub fn self_signed(names: impl Into<Vec<String>>) -> Result<Self, CertificateError> {
        let own = rcgen::generate_simple_self_signed(names);
        let own = own.map_err(|error| CertificateError::SelfSigned(error.to_string()))?;
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let certified = CertifiedKey::from_der(vec![own.cert.der().clone()], key.into(), &provider())?;
        Ok(Self { current: Arc::new(Current(ArcSwap::from_pointee(certified))), files: None })
    }

    /// What makes a TLS connection of a TCP connection: TLS 1.2 or 1.3, HTTP/2 preferred. Each handshake takes the
    /// certificate of that moment, so one acceptor serves for ever.
    ///
    /// # Errors
    /// None with the cryptography that this crate is built with.
    pub fn acceptor(&self, clients: ClientCertificates) -> Result<TlsAcceptor, CertificateError> {
        let config = ServerConfig::builder_with_provider(provider());
        let config = config.with_protocol_versions(&[&version::TLS13, &version::TLS12])?;
        let config = match clients {
            ClientCertificates::Ignored => config.with_no_client_auth(),
            ClientCertificates::Requested => config.with_client_cert_verifier(super::client::requested(&provider())),
        };
        let mut config = config.with_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Looks at the files every second and takes what is new; goes on for ever. Files that can't be used are logged
    /// once, and the last good certificate is served on: half of a pair may have been written so far.
    pub async fn follow(&self) -> Infallible {
        let Some(files) = &self.files else { return pending().await };
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        let (mut served, mut refused) = (None, None);
        loop {
            ticks.tick().await;
            let reader = Arc::clone(files);
            // Files may lie on a network, and a read from there can take long.
            match tokio::task::spawn_blocking(move || reader.load()).await {
                Ok(Ok((certified, version))) => {
                    if served.as_ref().is_some_and(|old| *old != version) {
                        tracing::info!(file = %files.chain.display(), "serving a new certificate");
                    }
                    if served.as_ref() != Some(&version) {
                        self.current.0.store(Arc::new(certified));
                    }
                    (served, refused) = (Some(version), None);
                }
                Ok(Err(error)) => {
                    let error = error.to_string();
                    if refused.as_ref() != Some(&error) {
                        tracing::warn!(%error, "the certificate was not replaced, the last one is served on");
                        refused = Some(error);
                    }
                }
                Err(error) => tracing::error!(%error, "the files of the certificate were not read"),
            }
        }
    }
}

impl Files {
    /// The certificate, and a digest of what it was made of.
    fn load(&self) -> Result<(CertifiedKey, Vec<u8>), CertificateError> {
        let (chain_pem, key_pem) = (read(&self.chain)?, read(&self.key)?);
        let chain = certificates(&chain_pem).ok_or_else(|| CertificateError::NoChain(self.chain.clone()))?;
        let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| CertificateError::NoKey(self.key.clone()))?;
        let certified = CertifiedKey::from_der(chain, key, &provider());
        let certified = certified.map_err(|reason| CertificateError::Unfit { file: self.key.clone(), reason })?;
        let parts = [digest(&SHA256, &chain_pem), digest(&SHA256, &key_pem)];
        Ok((certified, parts.iter().flat_map(|part| part.as_ref().to_vec()).collect()))
    }
}

/// The certificate that handshakes take.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// All certificates of a PEM text; `None` when there is none or one is broken.
pub(crate) fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    (!found.is_empty()).then_some(found)
}

pub(crate) fn read(file: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(file).map_err(|reason| CertificateError::Unreadable { file: file.to_owned(), reason })
}

/// The workspace has one provider; named here, so that nothing depends on which one a process installed.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
