//! Client certificates: who vouches for them, and whom they name.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::parse_x509_certificate;
use x509_parser::x509::AttributeTypeAndValue;

use super::user::User;
use crate::serve::{CertificateError, PeerCertificates, certificates, provider, read};

/// What names the credential of a user in the API server's audit log.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
/// Between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The authority of client certificates, which can change while it is used; nobody at first. Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Authority(Arc<ArcSwapOption<Roots>>);

struct Roots {
    /// What they were read from.
    pem: Vec<u8>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Authority {
    /// Takes the certificates of a PEM text, all of them or none; `None` when there is none that can be used.
    pub(super) fn replace(&self, pem: &[u8]) -> Option<()> {
        if self.0.load().as_ref().is_some_and(|roots| roots.pem == pem) {
            return Some(());
        }
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem)? {
            roots.add(certificate).ok()?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build().ok()?;
        self.0.store(Some(Arc::new(Roots { pem: pem.to_owned(), verifier })));
        Some(())
    }

    /// Takes those of a PEM file.
    pub(super) fn load(&self, file: &Path) -> Result<(), CertificateError> {
        self.replace(&read(file)?).ok_or_else(|| CertificateError::NoChain(file.to_owned()))
    }

    /// Looks at the file every second; goes on for ever. A file that can't be used is logged once, and the last good
    /// one counts.
    pub(super) async fn follow(&self, file: &Path) -> Infallible {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        let mut refused = None;
        loop {
            ticks.tick().await;
            let (authority, path) = (self.clone(), file.to_owned());
            let looked = tokio::task::spawn_blocking(move || authority.load(&path)).await;
            let error = match looked {
                Ok(result) => result.err().map(|error| error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            if let Some(error) = error.as_ref().filter(|error| refused.as_ref() != Some(*error)) {
                tracing::warn!(error, "the authority of client certificates was not replaced");
            }
            refused = error;
        }
    }

    /// The user that the certificate names, if the authority vouches for it at `now`. `None` when there is no
    /// authority, or the certificate has no common name.
    ///
    /// # Errors
    /// Nobody vouches for it, or not now, or not for a client.
    pub(super) fn user(&self, shown: &PeerCertificates, now: SystemTime) -> Result<Option<User>, String> {
        let roots = self.0.load();
        let (Some(roots), Some((own, others))) = (roots.as_ref(), shown.split()) else { return Ok(None) };
        let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        roots.verifier.verify_client_cert(own, others, now).map_err(|error| error.to_string())?;
        named(own)
    }
}

/// The common name is the user (the last one, as in Go), each organization a group.
fn named(certificate: &CertificateDer<'_>) -> Result<Option<User>, String> {
    let (_, parsed) = parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
    let text = |name: &AttributeTypeAndValue<'_>| {
        name.as_str().map(str::to_owned).map_err(|error| format!("the subject can't be read: {error}"))
    };
    let Some(name) = parsed.subject().iter_common_name().last().map(text).transpose()? else { return Ok(None) };
    if name.is_empty() {
        return Ok(None);
    }
    let groups = parsed.subject().iter_organization().map(text).collect::<Result<_, _>>()?;
    let credential = format!("X509SHA256={}", HEXLOWER.encode(digest(&SHA256, certificate).as_ref()));
    let extra = BTreeMap::from([(CREDENTIAL_ID.to_owned(), vec![credential])]);
    Ok(Some(User { name, uid: String::new(), groups, extra }))
}

#[cfg(test)]
mod tests;
