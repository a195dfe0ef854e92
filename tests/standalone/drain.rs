//! SIGTERM: what is under way is answered, then the process ends with code 0.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use keyplane_tests::{Program, Server, eventually};
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::shown::Shown;

/// Generous; well below the time that a drain may take.
const SOON: Duration = Duration::from_secs(10);

/// A request whose body the server has begun to read, of which it has seen half.
struct UnderWay {
    stream: TcpStream,
    rest: String,
}

impl UnderWay {
    async fn to(server: &Server, shown: &Shown) -> Result<Self> {
        let body = json!({"key": shown.sample_key}).to_string();
        let (half, rest) = body.split_at(body.len() / 2);
        let address = server.url("").trim_start_matches("http://").to_owned();
        let mut stream = TcpStream::connect(&address).await?;
        // The server says `100 Continue` when it begins to read: from then on the request is under way for certain.
        let head = format!(
            "POST /v2/keys.verifyKey HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            shown.root_key,
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        let mut answer = [0; 25];
        tokio::time::timeout(SOON, stream.read_exact(&mut answer)).await??;
        ensure!(answer == *b"HTTP/1.1 100 Continue\r\n\r\n", "{}", String::from_utf8_lossy(&answer));
        stream.write_all(half.as_bytes()).await?;
        Ok(Self { stream, rest: rest.to_owned() })
    }

    async fn finish(mut self) -> Result<String> {
        self.stream.write_all(self.rest.as_bytes()).await?;
        let mut answer = String::new();
        tokio::time::timeout(SOON, self.stream.read_to_string(&mut answer)).await.context("no answer")??;
        Ok(answer)
    }
}

/// Waits until the operations listener says that the process is stopping.
async fn stopping(server: &Server) -> Result<()> {
    eventually("/readyz names the shutdown", SOON, || async {
        let answer = server.http().get(server.ops_url("/readyz")).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == 500 && text.contains("[-]shutdown"), "{status}: {text}");
        Ok(())
    })
    .await
}

async fn exit_code(server: &Server) -> Result<Option<i32>> {
    Ok(eventually("the process ends", SOON, || async { server.process().exit_status() }).await?.code())
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_end() -> Result<()> {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let server = Program::api_server()?.start().await?;
        let request = UnderWay::to(&server, &Shown::by(&server).await?).await?;
        server.process().signal(signal)?;
        stopping(&server).await?;
        server.ops_page("/livez").await.context("a draining process is alive")?;
        server.ops_page("/metrics").await?;
        assert!(server.process().exit_status().is_none());
        let answer = request.finish().await?;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains(r#""code":"VALID""#), "{answer}");
        assert_eq!(exit_code(&server).await?, Some(0));
        assert!(!server.log()?.contains("did not finish in time"));
    }
    Ok(())
}

#[tokio::test]
async fn an_idle_connection_holds_nothing_up() -> Result<()> {
    let server = Program::api_server()?.start().await?;
    let address = server.url("").trim_start_matches("http://").to_owned();
    let mut idle = TcpStream::connect(&address).await?;
    idle.write_all(format!("GET /v2/liveness HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let mut byte = [0; 1];
    idle.read_exact(&mut byte).await?;
    server.process().signal(Signal::SIGTERM)?;
    assert_eq!(exit_code(&server).await?, Some(0));
    Ok(())
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_with_code_1() -> Result<()> {
    for second in [Signal::SIGTERM, Signal::SIGINT] {
        let server = Program::api_server()?.start().await?;
        let _request = UnderWay::to(&server, &Shown::by(&server).await?).await?;
        server.process().signal(Signal::SIGTERM)?;
        stopping(&server).await?;
        server.process().signal(second)?;
        assert_eq!(exit_code(&server).await?, Some(1));
    }
    Ok(())
}
