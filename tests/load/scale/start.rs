//! Starts of the api-server: how long, and how much memory.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use keyplane_tests::{Program, Server};

use super::objects;
use super::statistics::{Samples, Summary};
use super::wire::{Connection, Request};

/// The caller of every server here.
pub(crate) const ROOT_KEY: &str = "keyplane_benchmark_of_a_large_store";
const ASK_AGAIN: Duration = Duration::from_millis(2);
/// What the allocator and the kernel give back after the start is given back by then.
const SETTLE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(120);
const REQUESTS: usize = 1_000;
const PACE: Duration = Duration::from_millis(2);

/// Where keys come from.
pub(crate) enum Source<'a> {
    Embedded(&'a Path),
    Manifests(&'a Path),
}

/// What was seen of one start.
pub(crate) struct Start {
    pub(crate) ready: Duration,
    /// Bytes.
    pub(crate) resident: u64,
    /// Bytes.
    pub(crate) most_resident: u64,
    /// `None` without keys.
    pub(crate) verify: Option<Summary>,
}

pub(crate) async fn starts(source: &Source<'_>, count: usize, keys: usize) -> Result<Vec<Start>> {
    let mut seen = Vec::new();
    for _ in 0..count {
        seen.push(start(source, keys).await?);
    }
    Ok(seen)
}

async fn start(source: &Source<'_>, keys: usize) -> Result<Start> {
    let program = Program::api_server()?.env("KEYPLANE_BOOTSTRAP_ROOT_KEY", ROOT_KEY);
    let program = match source {
        Source::Embedded(directory) => program.flag("data-dir", directory.as_os_str()),
        Source::Manifests(directory) => {
            let mut choice = std::ffi::OsString::from("manifests:");
            choice.push(directory);
            program.flag("registry", choice)
        }
    };
    let began = Instant::now();
    let server = program.start_unready()?;
    wait_until_ready(&server, began)?;
    let ready = began.elapsed();
    thread::sleep(SETTLE);
    let status = fs::read_to_string(format!("/proc/{}/status", server.process().pid())).context("read its status")?;
    let (resident, most_resident) = (kibibytes(&status, "VmRSS:")? * 1024, kibibytes(&status, "VmHWM:")? * 1024);
    let verify = if keys == 0 { None } else { Some(verify_some(&server, keys)?) };
    ensure!(server.terminate().await? == 0, "the api-server failed at its end:\n{}", server.log()?);
    Ok(Start { ready, resident, most_resident, verify })
}

fn wait_until_ready(server: &Server, began: Instant) -> Result<()> {
    let port = port_of(&server.ops_url(""))?;
    while !is_ready(port) {
        let gone = server.process().exit_status().is_some() || began.elapsed() > PATIENCE;
        ensure!(!gone, "the api-server is not ready; its log ends:\n{}", server.process().log_tail());
        thread::sleep(ASK_AGAIN);
    }
    Ok(())
}

/// By hand: an HTTP client of its own would need a few milliseconds for the first request.
fn is_ready(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))) else { return false };
    let mut answer = String::new();
    let asked = stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200 ")
}

fn port_of(url: &str) -> Result<u16> {
    url.rsplit(':').next().and_then(|port| port.parse().ok()).with_context(|| format!("`{url}` has no port"))
}

fn kibibytes(status: &str, field: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)).with_context(|| format!("no {field}"))?;
    line.trim().trim_end_matches(" kB").parse().with_context(|| format!("{field} is no number"))
}

fn verify_some(server: &Server, keys: usize) -> Result<Summary> {
    let mut connection = Connection::open(port_of(&server.url(""))?)?;
    let mut samples = Samples::default();
    let mut next = Instant::now();
    for step in 0..REQUESTS {
        // A prime step walks over all keys in no order that a cache could use.
        let request = Request::verify(ROOT_KEY, &objects::plain((step * 7_368_787) % keys));
        next += PACE;
        thread::sleep(next.saturating_duration_since(Instant::now()));
        let sent = Instant::now();
        let code = connection.code(&request)?;
        ensure!(code == "VALID", "a key is {code} and not VALID");
        samples.add(sent.elapsed());
    }
    Ok(samples.summary())
}
