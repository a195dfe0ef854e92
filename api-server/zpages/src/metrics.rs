//! `/metrics`: the program's registry and a few facts about the process, as Prometheus text or as OpenMetrics; and
//! `/metrics/slis`, in the same formats.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::Registry;

use crate::accept;
use crate::page::plain;
use crate::{exposition, process};

const PROCESS_START: HeaderName = HeaderName::from_static("process-start-time-unix");

/// How metric names that are no plain identifiers would be written; ours all are, so each of these is kept.
const ESCAPINGS: [&str; 4] = ["allow-utf-8", "underscores", "dots", "values"];

/// The page of one component.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Registered by the program.
    pub(crate) registry: Option<Arc<Registry>>,
    /// Seconds since 1970.
    pub(crate) started: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Exposition {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Metrics {
    /// The answer to a request, whatever its method. Never 406: what is not understood gets text.
    pub(crate) fn answer(&self, request: &Parts) -> Response {
        exposed(request, self.started, || {
            let mut text = String::new();
            if let Some(registry) = &self.registry {
                encode_registry(&mut text, registry)?;
            }
            Ok(text + &process::exposition(self.started))
        })
    }
}

/// Answers with the metrics that `encode` gives as OpenMetrics text without its last line, for a process that started
/// `started` seconds after 1970.
pub(crate) fn exposed(
    request: &Parts,
    started: u64,
    encode: impl FnOnce() -> Result<String, std::fmt::Error>,
) -> Response {
    let header = request.headers.get(ACCEPT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let (exposition, escaping) = chosen(header.as_deref().unwrap_or_default());
    let Ok(text) = encode() else {
        tracing::error!("failed to encode the metrics: a metric refuses the text format");
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "failed to encode the metrics; the log says why\n");
    };
    let (body, content_type) = match exposition {
        Exposition::Text => {
            (exposition::prometheus(&text), format!("text/plain; version=0.0.4; charset=utf-8; escaping={escaping}"))
        }
        Exposition::OpenMetrics => (
            text + "# EOF\n",
            format!("application/openmetrics-text; version=1.0.0; charset=utf-8; escaping={escaping}"),
        ),
    };
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.extend(HeaderValue::try_from(content_type).ok().map(|value| (CONTENT_TYPE, value)));
    headers.insert(PROCESS_START, HeaderValue::from(started));
    response
}

/// The first understood clause decides; no clause means text.
fn chosen(header: &str) -> (Exposition, &'static str) {
    let understood = |clause: &accept::Clause<'_>| {
        let escaping = clause.parameter("escaping").and_then(|asked| ESCAPINGS.iter().find(|known| **known == asked));
        let escaping = escaping.copied().unwrap_or("underscores");
        if clause.covers("text", "plain") {
            Some((Exposition::Text, escaping)) // a wildcard covers both, and text is the default
        } else if clause.covers("application", "openmetrics-text") {
            Some((Exposition::OpenMetrics, escaping))
        } else {
            None
        }
    };
    accept::parse(header).iter().find_map(understood).unwrap_or((Exposition::Text, "underscores"))
}

#[cfg(test)]
mod tests;
