//! `POST /v2/keys.verifyKey` over one kept-alive connection, as cheap for this side as it can be: the request is rendered once, the answer
//! is searched and not parsed. Blocking, for a thread of its own. About 15 µs of CPU for each request here.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// An answer that takes longer is a failure of the run.
const PATIENCE: Duration = Duration::from_secs(5);
/// Answers have about 300 bytes, those of keys with long metadata a few thousand.
const LARGEST_ANSWER: usize = 256 * 1024;

/// A rendered request.
pub(crate) struct Request(Vec<u8>);

impl Request {
    pub(crate) fn verify(root_key: &str, key: &str) -> Self {
        let body = serde_json::json!({ "key": key }).to_string();
        let length = body.len();
        Self(
            format!(
                "POST /v2/keys.verifyKey HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {root_key}\r\n\
                 content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .into_bytes(),
        )
    }
}

pub(crate) struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).context("connect to a pod")?;
        stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(PATIENCE))).context("set up a socket")?;
        Ok(Self { stream, answer: Vec::with_capacity(4096) })
    }

    /// The `code` of the verdict.
    pub(crate) fn code(&mut self, request: &Request) -> Result<&str> {
        self.stream.write_all(&request.0).context("send a verification")?;
        self.receive()?;
        let text = std::str::from_utf8(&self.answer).context("an answer is not UTF-8")?;
        let code = text.split_once(r#""code":""#).and_then(|(_, rest)| rest.split_once('"')).map(|(code, _)| code);
        ensure!(text.starts_with("HTTP/1.1 200 "), "no verdict but: {}", text.lines().next().unwrap_or_default());
        code.context("an answer has no code")
    }

    fn receive(&mut self) -> Result<()> {
        self.answer.clear();
        let mut chunk = [0; 16 * 1024];
        loop {
            let read = self.stream.read(&mut chunk).context("wait for a verdict")?;
            ensure!(read > 0, "the pod closed the connection");
            self.answer.extend_from_slice(&chunk[..read]);
            if whole_length(&self.answer)?.is_some_and(|length| self.answer.len() >= length) {
                return Ok(());
            }
            ensure!(self.answer.len() < LARGEST_ANSWER, "an answer has more than {LARGEST_ANSWER} bytes");
        }
    }
}

/// Head and body together, once the head is there.
fn whole_length(answer: &[u8]) -> Result<Option<usize>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&answer[..end]);
    for line in head.lines() {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            let body: usize = value.trim().parse().context("a content-length is no number")?;
            return Ok(Some(end + 4 + body));
        }
    }
    bail!("an answer has no content-length: {head}")
}
