//! The certificates of one throw-away control plane. EC keys: made in a millisecond each.

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Names by which the API server may be called. 10.96.0.1 is its address inside the cluster, the first of the service
/// range.
const SERVER_NAMES: [&str; 6] =
    ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "127.0.0.1", "10.96.0.1"];

/// A certificate authority that signs for every part of one control plane.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// A certificate and its private key, PEM.
pub struct Certified {
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS #8.
    pub key: String,
}

/// The key pair with which ServiceAccount tokens are signed, PEM.
pub struct TokenKeys {
    /// PKCS #8, for who signs.
    pub private: String,
    /// For who verifies.
    pub public: String,
}

impl Authority {
    /// Makes a new one.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new() -> Result<Self> {
        let mut params = subject("keyplane-tests", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("make the authority's key")?;
        let certificate = params.self_signed(&key).context("sign the authority's certificate")?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// The authority's own certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate for the servers of the control plane.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn server(&self) -> Result<Certified> {
        let mut params = CertificateParams::new(SERVER_NAMES.map(str::to_owned)).context("name the API server")?;
        params.distinguished_name = subject("kube-apiserver", None).distinguished_name;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    /// A certificate for a user, in a group or in none: Kubernetes reads the user from the common name, the group from
    /// the organization (rcgen writes at most one).
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn client(&self, user: &str, group: Option<&str>) -> Result<Certified> {
        let mut params = subject(user, group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Result<Certified> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("make a key")?;
        let certificate = params.signed_by(&key, &self.issuer).context("sign a certificate")?.pem();
        Ok(Certified { certificate, key: key.serialize_pem() })
    }
}

impl TokenKeys {
    /// Makes a new pair.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate().context("make the key of the ServiceAccount tokens")?;
        Ok(Self { private: key.serialize_pem(), public: key.public_key_pem() })
    }
}

fn subject(common_name: &str, organization: Option<&str>) -> CertificateParams {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_certificate_has_its_own_key() {
        let authority = Authority::new().unwrap();
        let (alice, bob) = (authority.client("alice", Some("a")).unwrap(), authority.client("bob", None).unwrap());
        assert!(alice.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(alice.key.starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_ne!(alice.key, bob.key);
        assert!(authority.server().is_ok());
    }
}
