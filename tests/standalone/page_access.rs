//! Who reads the operational pages without a cluster: everyone on loopback, over TLS those with a certificate.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use keyplane_tests::pki::{Authority, Certified};
use keyplane_tests::server::http_client;
use keyplane_tests::{Program, Server, eventually};
use reqwest::Client;
use reqwest::tls::TlsInfo;

use super::command_line::refusal;

/// Files are looked at every second.
const REPLACED: Duration = Duration::from_secs(20);

/// Files of a certificate, in the directory of a program.
struct Files {
    chain: PathBuf,
    key: PathBuf,
}

impl Files {
    fn write(directory: &Path, certified: &Certified) -> Result<Self> {
        let files = Self { chain: directory.join("tls.crt"), key: directory.join("tls.key") };
        std::fs::write(&files.key, &certified.key)?;
        std::fs::write(&files.chain, &certified.certificate)?;
        Ok(files)
    }
}

fn over_tls(authority: &Authority) -> Result<Program> {
    let program = Program::api_server()?.over_tls();
    let files = Files::write(program.directory(), &authority.server()?)?;
    Ok(program.flag("ops-tls-cert-file", &files.chain).flag("ops-tls-private-key-file", &files.key))
}

fn certified(certified: &Certified) -> Result<Client> {
    let pem = format!("{}{}", certified.certificate, certified.key);
    http_client(Client::builder().identity(reqwest::Identity::from_pem(pem.as_bytes())?))
}

async fn status(client: &Client, server: &Server, path: &str) -> Result<u16> {
    Ok(client.get(server.ops_url(path)).send().await.with_context(|| format!("GET {path}"))?.status().as_u16())
}

#[tokio::test]
async fn an_address_that_others_reach_is_refused_without_tls() -> Result<()> {
    for plain in [false, true] {
        // The kit's own address comes last, so this one is given in the environment, as an administrator may.
        let program = Program::api_server()?.over_tls();
        let launch = keyplane_tests::process::Launch::new(
            "refused",
            &keyplane_tests::binaries::Binaries::build()?.api_server,
            program.directory(),
        );
        let launch = launch.args(["--listen", "127.0.0.1:0", "--ops-listen", "0.0.0.0:0"]);
        let launch = if plain { launch.arg("--ops-plain-http") } else { launch };
        let process = launch.start()?;
        let ended = eventually("the start is refused", REPLACED, || async { process.exit_status() }).await?;
        assert_eq!(ended.code(), Some(1));
        let log = process.log()?;
        for word in ["--ops-listen 0.0.0.0:0", "without TLS", "--ops-tls-cert-file", "loopback"] {
            assert!(log.contains(word), "{word}: {log}");
        }
        assert!(!program.directory().join("keyplane-data").exists(), "nothing was made");
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_is_none_is_refused_by_its_flag() -> Result<()> {
    let program = Program::api_server()?.over_tls();
    let program = program.flag("ops-tls-cert-file", "none.crt").flag("ops-tls-private-key-file", "none.key");
    let log = refusal(&program.start_unready()?).await?;
    assert!(log.contains("--ops-tls-cert-file") && log.contains("none.crt"), "{log}");
    Ok(())
}

#[tokio::test]
async fn over_tls_health_is_for_everyone_and_pages_are_for_the_certified() -> Result<()> {
    let (authority, stranger) = (Authority::new()?, Authority::new()?);
    let program = over_tls(&authority)?;
    let ca = program.directory().join("ca.crt");
    std::fs::write(&ca, authority.certificate())?;
    let server = program.flag("ops-client-ca-file", &ca).start().await?;
    let anyone = server.http();
    let known = certified(&authority.client("alice", None)?)?;
    let unknown = certified(&stranger.client("alice", None)?)?;
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(status(anyone, &server, path).await?, 200, "{path}");
    }
    for path in ["/statusz", "/flagz", "/metrics", "/", "/nowhere"] {
        let page = if path == "/nowhere" { 404 } else { 200 };
        assert_eq!(status(anyone, &server, path).await?, 403, "{path}");
        assert_eq!(status(&known, &server, path).await?, page, "{path}");
        assert_eq!(status(&unknown, &server, path).await?, 401, "{path}");
    }
    // Another authority: who was known is no more.
    std::fs::write(&ca, stranger.certificate())?;
    eventually("the new authority counts", REPLACED, || async {
        anyhow::Ok(status(&unknown, &server, "/statusz").await? == 200)
    })
    .await?;
    assert_eq!(status(&known, &server, "/statusz").await?, 401);
    assert_eq!(server.terminate().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_certificate_replaced_on_disk_is_served_next() -> Result<()> {
    let authority = Authority::new()?;
    let program = over_tls(&authority)?;
    let server = program.start().await?;
    // A client of its own each time: a kept connection has the certificate that it began with.
    let served = async || -> Result<Vec<u8>> {
        let answer = http_client(Client::builder().tls_info(true))?.get(server.ops_url("/livez")).send().await?;
        let info = answer.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate);
        Ok(info.context("no certificate was shown")?.to_vec())
    };
    let first = served().await?;
    Files::write(program.directory(), &authority.server()?)?;
    eventually("the new certificate is served", REPLACED, || async { anyhow::Ok(served().await? != first) }).await?;
    assert!(server.log()?.contains("serving a new certificate"), "{}", server.log()?);
    Ok(())
}
