use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};

use super::*;
use crate::clock;

struct Signer {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Signer {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn signs(&self, name: Option<&str>, group: Option<&str>, usage: ExtendedKeyUsagePurpose) -> PeerCertificates {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, text) in [(DnType::CommonName, name), (DnType::OrganizationName, group)] {
            if let Some(text) = text {
                params.distinguished_name.push(kind, text);
            }
        }
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap();
        PeerCertificates::new(&[certificate.der().clone()]).unwrap()
    }

    fn client(&self, name: &str) -> PeerCertificates {
        self.signs(Some(name), Some("team"), ExtendedKeyUsagePurpose::ClientAuth)
    }
}

fn vouching(signer: &Signer) -> Authority {
    let authority = Authority::default();
    authority.replace(signer.pem.as_bytes()).unwrap();
    authority
}

#[test]
fn a_certificate_names_a_user_and_a_group() {
    let signer = Signer::new();
    let user = vouching(&signer).user(&signer.client("alice"), clock::now()).unwrap().unwrap();
    assert_eq!((user.name.as_str(), user.groups.as_slice()), ("alice", &["team".to_owned()][..]));
    let id = &user.extra[CREDENTIAL_ID][0];
    assert!(id.starts_with("X509SHA256=") && id.len() == "X509SHA256=".len() + 64, "{id}");
}

#[test]
fn only_the_authoritys_own_count_and_only_those_for_clients() {
    let (ours, other) = (Signer::new(), Signer::new());
    let authority = vouching(&ours);
    assert!(authority.user(&other.client("alice"), clock::now()).is_err());
    let server = ours.signs(Some("alice"), None, ExtendedKeyUsagePurpose::ServerAuth);
    assert!(authority.user(&server, clock::now()).is_err());
    // rcgen's certificates begin in 1975.
    assert!(authority.user(&ours.client("alice"), UNIX_EPOCH).is_err(), "not yet valid");
    assert_eq!(
        authority.user(&ours.signs(None, Some("team"), ExtendedKeyUsagePurpose::ClientAuth), clock::now()),
        Ok(None)
    );
}

#[test]
fn without_an_authority_nothing_was_shown() {
    assert_eq!(Authority::default().user(&Signer::new().client("alice"), clock::now()), Ok(None));
}

#[test]
fn an_authority_is_replaced_as_a_whole_or_not_at_all() {
    let (old, new) = (Signer::new(), Signer::new());
    let authority = vouching(&old);
    for broken in [
        String::new(),
        "no PEM".to_owned(),
        format!("{}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", new.pem),
    ] {
        assert!(authority.replace(broken.as_bytes()).is_none(), "{broken}");
    }
    assert!(authority.user(&old.client("alice"), clock::now()).is_ok(), "the last good one counts");
    authority.replace(format!("{}{}", old.pem, new.pem).as_bytes()).unwrap();
    for signer in [&old, &new] {
        assert!(authority.user(&signer.client("alice"), clock::now()).is_ok());
    }
    authority.replace(new.pem.as_bytes()).unwrap();
    assert!(authority.user(&old.client("alice"), clock::now()).is_err());
}
