use std::future::ready;
use std::path::Path;

use axum::Extension;
use axum::routing::get;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

use super::certificate::provider;
use super::*;

/// Takes any server: the tests know by the port to whom they talk.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

fn client(
    version: &'static rustls::SupportedProtocolVersion,
    alpn: &[u8],
    own: Option<&rcgen::CertifiedKey<rcgen::KeyPair>>,
) -> TlsConnector {
    let config = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer));
    let mut config = match own {
        None => config.with_no_client_auth(),
        Some(own) => {
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
            config.with_client_auth_cert(vec![own.cert.der().clone()], key).unwrap()
        }
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    TlsConnector::from(Arc::new(config))
}

async fn whose(peer: Option<Extension<PeerCertificates>>) -> String {
    let bytes = peer.and_then(|peer| peer.split().map(|(own, _)| own.len()));
    format!("certificate of {} bytes", bytes.unwrap_or_default())
}

async fn serving(
    tls: Option<TlsAcceptor>,
) -> (std::net::SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let router = Router::new().route("/", get(whose));
    let served = tokio::spawn(serve(listener, tls, router, async move { drop(stopped.await) }));
    (address, stop, served)
}

async fn get_over(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // A server that closes without a farewell of TLS is an error to rustls, and no matter here.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn connected(
    connector: &TlsConnector,
    address: std::net::SocketAddr,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    connector.connect(name, TcpStream::connect(address).await?).await
}

fn acceptor() -> TlsAcceptor {
    Certificate::self_signed(["localhost".to_owned()]).unwrap().acceptor(ClientCertificates::Requested).unwrap()
}

#[tokio::test]
async fn both_versions_of_tls_and_of_http_are_spoken() {
    let (address, _stop, _served) = serving(Some(acceptor())).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let stream = connected(&client(version, b"http/1.1", None), address).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        let answer = get_over(stream).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("certificate of 0 bytes"), "{answer}");
        let mut stream = connected(&client(version, b"h2", None), address).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let mut frame = [0; 9];
        stream.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame[3], 4, "the first frame of an HTTP/2 server is its settings");
    }
}

#[tokio::test]
async fn a_certificate_that_the_client_shows_is_handed_on() {
    let (address, _stop, _served) = serving(Some(acceptor())).await;
    let own = rcgen::generate_simple_self_signed(["me".to_owned()]).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let stream = connected(&client(version, b"http/1.1", Some(&own)), address).await.unwrap();
        let answer = get_over(stream).await;
        assert!(answer.ends_with(&format!("certificate of {} bytes", own.cert.der().len())), "{answer}");
    }
}

#[tokio::test]
async fn plain_http_is_not_answered_over_tls_and_the_other_way_round() {
    let (address, _stop, _served) = serving(Some(acceptor())).await;
    assert!(!get_over(TcpStream::connect(address).await.unwrap()).await.contains("HTTP/1.1 200"));
    let (address, _stop, _served) = serving(None).await;
    assert!(get_over(TcpStream::connect(address).await.unwrap()).await.contains("certificate of 0 bytes"));
    assert!(connected(&client(&rustls::version::TLS13, b"http/1.1", None), address).await.is_err());
}

#[tokio::test]
async fn a_connection_that_waits_does_not_hold_up_the_stop() {
    let (address, stop, served) = serving(None).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).await.unwrap();
    stop.send(()).unwrap();
    timeout(Duration::from_secs(4), served).await.expect("ends before the drain time").unwrap().unwrap();
}

fn write_pair(directory: &Path, name: &str) -> CertificateDer<'static> {
    let own = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    std::fs::write(directory.join("tls.key"), own.signing_key.serialize_pem()).unwrap();
    std::fs::write(directory.join("tls.crt"), own.cert.pem()).unwrap();
    own.cert.der().clone()
}

#[tokio::test]
async fn a_certificate_replaced_on_disk_is_served_next_and_half_of_a_pair_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let first = write_pair(directory.path(), "first");
    let files = ["tls.crt", "tls.key"].map(|name| directory.path().join(name));
    let certificate = Certificate::from_files(&files[0], &files[1]).unwrap();
    let (address, _stop, _served) = serving(Some(certificate.acceptor(ClientCertificates::Ignored).unwrap())).await;
    let followed = certificate.clone();
    tokio::spawn(async move { followed.follow().await });
    let connector = client(&rustls::version::TLS13, b"http/1.1", None);
    let served = async || {
        let stream = connected(&connector, address).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    };
    assert_eq!(served().await, first);

    let other = rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap();
    std::fs::write(&files[0], other.cert.pem()).unwrap();
    assert!(Certificate::from_files(&files[0], &files[1]).is_err(), "the key is not the certificate's");
    assert_eq!(served().await, first);
    std::fs::write(&files[1], other.signing_key.serialize_pem()).unwrap();
    let replaced = async {
        while served().await != *other.cert.der() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), replaced).await.expect("the new pair is served");
}

#[test]
fn files_that_are_no_certificate_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let (chain, key) = (directory.path().join("tls.crt"), directory.path().join("tls.key"));
    let refused = || Certificate::from_files(&chain, &key).unwrap_err().to_string();
    assert!(refused().starts_with("failed to read") && refused().contains("tls.crt"), "{}", refused());
    write_pair(directory.path(), "a");
    std::fs::write(&key, "no key").unwrap();
    assert!(refused().contains("tls.key holds no private key"), "{}", refused());
    std::fs::write(&chain, "no certificate").unwrap();
    assert!(refused().contains("tls.crt holds no certificate"), "{}", refused());
}

#[tokio::test]
async fn what_is_open_and_what_is_guarded_are_two_kinds_of_exposure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let router = Router::new().route("/", get(whose)).route("/livez", get(whose));
    let guard = Guard::certificates(None).unwrap();
    let exposure = Exposure::guarded(Certificate::self_signed(["a".to_owned()]).unwrap(), guard);
    let address = listener.local_addr().unwrap();
    tokio::spawn(exposure.serve(listener, router.clone(), std::future::pending()));
    let stream = connected(&client(&rustls::version::TLS13, b"http/1.1", None), address).await.unwrap();
    assert!(get_over(stream).await.starts_with("HTTP/1.1 403"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Exposure::plain().serve(listener, router, ready(())).await.unwrap();
}
