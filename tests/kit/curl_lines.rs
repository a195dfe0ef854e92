//! The `curl` lines of a document, sent to a server of ours as they are written.
//!
//! Only what documents need of curl is understood (`-s`, `-H`, `-X`, `-d`, and `| jq [-r] FILTER` or `| grep WORD` behind it); anything else is an error,
//! so that no line is passed over in silence.

use anyhow::{Context, Result, bail, ensure};
use http::Method;

use crate::jq::jq;
use crate::server::Server;

/// One line of a document: a request, and what is made of the answer.
#[derive(Debug, PartialEq, Eq)]
pub struct CurlLine {
    /// As it is written.
    pub line: String,
    method: Method,
    headers: Vec<(String, String)>,
    body: Option<String>,
    /// Path and query.
    target: String,
    filter: Option<Filter>,
}

/// What stands behind the `|`.
#[derive(Debug, PartialEq, Eq)]
enum Filter {
    Jq(String),
    Grep(String),
}

/// The lines of the `sh` blocks of a document that ask the server at `address`, which is written as `localhost:8081`, say.
///
/// # Errors
/// A line that is not understood.
pub fn curl_lines(document: &str, address: &str) -> Result<Vec<CurlLine>> {
    let blocks = document.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let joined = blocks.map(|block| block.replace("\\\n", " ")).collect::<Vec<_>>().join("\n");
    let lines = joined.lines().map(str::trim).filter(|line| line.starts_with("curl ") && line.contains(address));
    lines.map(|line| CurlLine::parse(line, address).with_context(|| format!("`{line}`"))).collect()
}

impl CurlLine {
    fn parse(line: &str, address: &str) -> Result<Self> {
        let words = shlex::split(line).context("its quotes are not closed")?;
        let mut parts = words.split(|word| word == "|");
        let mut parsed = Self::of_curl(line, parts.next().unwrap_or_default(), address)?;
        parsed.filter = match parts.next() {
            None => None,
            Some([jq, filter]) if jq == "jq" => Some(Filter::Jq(filter.clone())),
            Some([jq, raw, filter]) if jq == "jq" && raw == "-r" => Some(Filter::Jq(filter.clone())),
            Some([grep, word]) if grep == "grep" => Some(Filter::Grep(word.clone())),
            Some(other) => bail!("`{}` is not `jq [-r] FILTER` and not `grep WORD`", other.join(" ")),
        };
        ensure!(parts.next().is_none(), "there is more than one `|`");
        Ok(parsed)
    }

    fn of_curl(line: &str, words: &[String], address: &str) -> Result<Self> {
        let (mut method, mut headers, mut body, mut target) = (None, Vec::new(), None, None);
        let mut words = words.iter().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().cloned().with_context(|| format!("{word} has no value"));
            match word.as_str() {
                "-s" => {}
                "-X" => method = Some(value()?.parse().context("-X")?),
                "-d" => body = Some(value()?),
                "-H" => {
                    let header = value()?;
                    let (name, value) = header.split_once(':').with_context(|| format!("-H {header} has no colon"))?;
                    headers.push((name.to_owned(), value.trim().to_owned()));
                }
                url => {
                    let url = url.strip_prefix("http://").unwrap_or(url);
                    target = Some(
                        url.strip_prefix(address).with_context(|| format!("`{word}` is not understood"))?.to_owned(),
                    );
                }
            }
        }
        let method = method.unwrap_or(if body.is_some() { Method::POST } else { Method::GET });
        let target = target.context("there is no address")?;
        Ok(Self { line: line.to_owned(), method, headers, body, target, filter: None })
    }

    /// Sends the request to the operations listener of a server; returns what the line would print.
    ///
    /// # Errors
    /// Without an answer, with one that is no success, or when the filter finds nothing: no output, or `null`.
    pub async fn run(&self, server: &Server) -> Result<String> {
        let mut request = server.http().request(self.method.clone(), server.ops_url(&self.target));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let answer =
            request.body(self.body.clone().unwrap_or_default()).send().await.with_context(|| self.line.clone())?;
        let status = answer.status();
        let text = answer.text().await.with_context(|| self.line.clone())?;
        ensure!(status.is_success(), "`{}` answers {status}: {text}", self.line);
        let outputs = match &self.filter {
            None => return Ok(text),
            Some(Filter::Jq(filter)) => jq(filter, &text).with_context(|| self.line.clone())?,
            Some(Filter::Grep(word)) => text.lines().filter(|line| line.contains(word)).map(str::to_owned).collect(),
        };
        let found = !outputs.is_empty() && outputs.iter().all(|output| output != "null");
        ensure!(found, "`{}` prints {outputs:?}, from {text}", self.line);
        Ok(outputs.join("\n") + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "text\n```sh\n# a comment\ncurl -s localhost:1/a\ncurl -s -H 'Accept: b;c=d' \\\n  'http://localhost:1/e?f' | jq -r '.g[\"h i\"]'\n\
        curl -s -X PUT -d 2 localhost:1/j\ncurl other:2/\n```\n```rust\ncurl localhost:1/\n```\n";

    #[test]
    fn lines_of_shell_blocks_are_read_as_a_shell_does() {
        let lines = curl_lines(DOCUMENT, "localhost:1").unwrap();
        let read: Vec<_> = lines.iter().map(|it| (it.method.as_str(), it.target.as_str(), &it.filter)).collect();
        let filter = Some(Filter::Jq(".g[\"h i\"]".to_owned()));
        assert_eq!(read, [("GET", "/a", &None), ("GET", "/e?f", &filter), ("PUT", "/j", &None)]);
        assert_eq!(lines[1].headers, [("Accept".to_owned(), "b;c=d".to_owned())]);
        assert_eq!(lines[2].body.as_deref(), Some("2"));
    }

    #[test]
    fn what_is_not_understood_is_not_passed_over() {
        for line in [
            "curl -k localhost:1/",
            "curl localhost:1/ | sort",
            "curl localhost:1/ | jq . | jq .",
            "curl 'localhost:1/",
        ] {
            let error = curl_lines(&format!("```sh\n{line}\n```"), "localhost:1").unwrap_err();
            assert!(format!("{error:#}").contains(line), "{error:#}");
        }
    }
}
