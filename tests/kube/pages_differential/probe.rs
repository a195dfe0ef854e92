//! One request, sent byte for byte alike to both sides, and shown as the curl line that repeats it.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use http::{HeaderValue, Method, Request};
use kube::Client;
use kube::client::Body;

use super::answer::Answer;

/// Far more than a page takes; a lost connection must not hang the trial.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request for a page.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    pub(super) method: Method,
    /// Path and query as they stand in the request line.
    pub(super) target: String,
    /// Name and value of each header line, in their order. Values need not be UTF-8.
    pub(super) headers: Vec<(&'static str, Vec<u8>)>,
    pub(super) body: &'static str,
}

impl Probe {
    /// A GET without any header.
    pub(super) fn get(target: &str) -> Self {
        Self { method: Method::GET, target: target.to_owned(), headers: Vec::new(), body: "" }
    }

    /// Adds an `Accept` line.
    pub(super) fn accept(self, value: &str) -> Self {
        self.header("accept", value)
    }

    /// Adds a header line.
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.as_bytes().to_vec()));
        self
    }

    /// Sends a body by another method.
    pub(super) fn sends(mut self, method: Method, body: &'static str) -> Self {
        (self.method, self.body) = (method, body);
        self
    }

    /// The path, without the query.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query, empty when there is none.
    pub(super) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first `Accept` line, the only one that is read.
    pub(super) fn first_accept(&self) -> String {
        let first = self.headers.iter().find(|(name, _)| *name == "accept");
        first.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    }

    /// Sends it. The client of kube sends what it is given: it adds no header, and it speaks HTTP/1.1 to both sides.
    pub(super) async fn send(&self, client: &Client) -> Result<Answer> {
        let mut request = Request::builder().method(self.method.clone()).uri(&self.target);
        for (name, value) in &self.headers {
            request = request.header(*name, HeaderValue::from_bytes(value).context("a header value")?);
        }
        let request = request
            .body(Body::from(self.body.as_bytes().to_vec()))
            .with_context(|| format!("make the request {self}"))?;
        let asked = tokio::time::timeout(PATIENCE, async {
            let (head, body) = client.send(request).await?.into_parts();
            Ok::<_, kube::Error>((head, body.collect_bytes().await?))
        });
        let (head, body) =
            asked.await.with_context(|| format!("no answer to {self}"))?.with_context(|| format!("{self}"))?;
        Ok(Answer::new(&head, &body))
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "curl -si --path-as-is")?;
        match self.method {
            Method::GET => {}
            Method::HEAD => write!(formatter, " -I")?,
            ref other => write!(formatter, " -X {other}")?,
        }
        // curl sends these two of its own accord.
        for name in ["accept", "user-agent"] {
            if self.headers.iter().all(|(given, _)| *given != name) {
                write!(formatter, " -H '{name}:'")?;
            }
        }
        for (name, value) in &self.headers {
            // `name;` is how curl is told to send an empty header.
            let line = if value.is_empty() {
                format!("{name};").into_bytes()
            } else {
                [name.as_bytes(), b": ", value].concat()
            };
            write!(formatter, " -H $'")?;
            for byte in line {
                match byte {
                    b'\'' | b'\\' => write!(formatter, "\\{}", char::from(byte))?,
                    b' '..=b'~' => write!(formatter, "{}", char::from(byte))?,
                    other => write!(formatter, "\\x{other:02x}")?,
                }
            }
            write!(formatter, "'")?;
        }
        if !self.body.is_empty() {
            write!(formatter, " --data-raw '{}'", self.body)?;
        }
        write!(formatter, " \"$SERVER\"'{}'", self.target.replace('\'', "'\\''"))
    }
}
