//! One kept-alive HTTP/1.1 connection that never blocks. An answer is looked through, not parsed: the generator must be cheaper than any
//! server, or it would measure itself.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use mio::net::TcpStream;

/// Verifications have about 900 bytes.
const LARGEST_ANSWER: usize = 16 * 1024;

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    answer: Vec<u8>,
    filled: usize,
    /// Where the body of the answer begins, once it is whole.
    body: usize,
    /// When the request under way should have been sent.
    pub(crate) due: Instant,
}

impl Connection {
    pub(crate) fn open(server: SocketAddr) -> Result<Self> {
        // Connected before it stops to block: everything is on loopback.
        let stream = std::net::TcpStream::connect(server).with_context(|| format!("connect to {server}"))?;
        stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true)).context("set up a socket")?;
        let stream = TcpStream::from_std(stream);
        Ok(Self { stream, answer: vec![0; LARGEST_ANSWER], filled: 0, body: 0, due: Instant::now() })
    }

    /// Sends a request that was due at that moment. The last answer must have come: the socket's buffer is empty then, and takes it whole.
    pub(crate) fn send(&mut self, request: &[u8], due: Instant) -> Result<()> {
        (self.filled, self.body, self.due) = (0, 0, due);
        let sent = self.stream.write(request).context("send a request")?;
        ensure!(sent == request.len(), "a socket took {sent} of {} bytes", request.len());
        Ok(())
    }

    /// Takes what has come; whether the answer is whole.
    pub(crate) fn receive(&mut self) -> Result<bool> {
        loop {
            match self.stream.read(&mut self.answer[self.filled..]) {
                Ok(0) => bail!("the server closed a connection, or its answer has more than {LARGEST_ANSWER} bytes"),
                Ok(length) => self.filled += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("receive an answer"),
            }
            if self.is_whole()? {
                return Ok(true);
            }
        }
    }

    fn is_whole(&mut self) -> Result<bool> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        let parsed = head.parse(&self.answer[..self.filled]).context("read the head of an answer")?;
        let httparse::Status::Complete(body) = parsed else { return Ok(false) };
        let length = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok());
        self.body = body;
        Ok(self.filled >= body + length.context("an answer has no content-length")?)
    }

    /// Whether the answer is a 200 with this text in its body.
    pub(crate) fn is_right(&self, marker: &[u8]) -> bool {
        // The text stands near the beginning of each body.
        self.answer.starts_with(b"HTTP/1.1 200 ") && self.body().windows(marker.len()).any(|window| window == marker)
    }

    /// Head and body, as text for an error.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.answer[..self.filled]).into_owned()
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.answer[self.body..self.filled]
    }
}
