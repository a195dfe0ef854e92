//! The answer of a z-page that has a text form and a versioned structure: negotiation, headers, bodies, refusals.

use axum::body::Body;
use axum::response::Response;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT, WARNING, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::encode;
use crate::negotiate::{Answer, Format, OFFERED, PageKind, Refusal, negotiate};
use crate::query;

/// The content type of every text answer.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// `metadata` of a structure: the name of the component and nothing else.
#[derive(Debug, Serialize)]
pub(crate) struct Metadata<'a> {
    /// For example `kube-scheduler`.
    pub(crate) name: &'a str,
}

/// Answers `request` with the page's text or, given the agreed `apiVersion`, with its structure.
pub(crate) fn answer<T: Serialize>(
    request: &Parts,
    page: &PageKind,
    text: impl FnOnce() -> String,
    structure: impl FnOnce(String) -> T,
) -> Response {
    match agreed(request, page) {
        Ok(Answer::Text) => plain(StatusCode::OK, text()),
        Ok(Answer::Structure { format, version, pretty }) => {
            let value = structure(format!("{}/{}", page.group, version.name));
            let content_type = format!("{};g={};v={};as={}", format.media_type(), page.group, version.name, page.kind);
            let mut response = encoded(StatusCode::OK, &content_type, format, pretty || pretty_client(request), &value);
            if version.deprecated {
                response.headers_mut().extend(deprecation(page));
            }
            response
        }
        Err(refusal) => not_acceptable(request, &refusal),
    }
}

/// An answer in plain text.
pub(crate) fn plain(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    response
}

/// A finished JSON body without negotiation.
pub(crate) fn json(body: String) -> Response {
    let mut response = plain(StatusCode::OK, body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Format::Json.media_type()));
    response
}

/// The answer with the header that forbids clients to guess its type: some pages of upstream have it, some not.
pub(crate) fn without_sniffing(mut response: Response) -> Response {
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn deprecation(page: &PageKind) -> Option<(http::HeaderName, HeaderValue)> {
    let name = page.kind.to_ascii_lowercase();
    let text = format!("299 - \"This version of the {name} endpoint is deprecated. Please use a newer version.\"");
    HeaderValue::try_from(text).ok().map(|value| (WARNING, value))
}

/// The part of a Kubernetes `Status` object that an error uses, in the order in which it is written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorStatus<'a> {
    kind: &'a str,
    api_version: &'a str,
    metadata: std::collections::BTreeMap<&'a str, &'a str>, // always `{}`
    status: &'a str,
    message: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<std::collections::BTreeMap<&'a str, &'a str>>, // `{}` where nothing is to be said
    code: u16,
}

impl<'a> ErrorStatus<'a> {
    fn new(code: StatusCode, reason: &'a str, message: &'a str) -> Self {
        let (metadata, code) = (std::collections::BTreeMap::new(), code.as_u16());
        Self { kind: "Status", api_version: "v1", metadata, status: "Failure", message, reason, details: None, code }
    }
}

/// Answers a request for `page` with an error: text where the page would have been text, else a `Status` of Kubernetes.
pub(crate) fn failure(request: &Parts, page: &PageKind, code: StatusCode, reason: &str, message: &str) -> Response {
    match agreed(request, page) {
        Ok(Answer::Text) => plain(code, format!("{message}\n")),
        Ok(Answer::Structure { format, pretty, .. }) => {
            let status = ErrorStatus::new(code, reason, message);
            encoded(code, format.media_type(), format, pretty || pretty_client(request), &status)
        }
        Err(refusal) => not_acceptable(request, &refusal),
    }
}

fn not_acceptable(request: &Parts, refusal: &Refusal) -> Response {
    let code = StatusCode::NOT_ACCEPTABLE;
    let message = format!("only the following media types are accepted: {OFFERED}");
    as_refused(request, refusal, code, &ErrorStatus::new(code, "NotAcceptable", &message))
}

/// A request that is refused before any page sees it, as a `Status` of Kubernetes; with empty `details` if told so.
#[cfg(feature = "serve")]
pub(crate) fn refused(request: &Parts, code: StatusCode, reason: &str, message: &str, details: bool) -> Response {
    let mut status = ErrorStatus::new(code, reason, message);
    status.details = details.then(std::collections::BTreeMap::new);
    let accept = request.headers.get(ACCEPT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    as_refused(request, &crate::negotiate::negotiate_error(accept.as_deref()), code, &status)
}

fn as_refused(request: &Parts, refusal: &Refusal, code: StatusCode, status: &ErrorStatus<'_>) -> Response {
    let (format, pretty) = match *refusal {
        Refusal::In { format, pretty } => (format, pretty || pretty_client(request)),
        Refusal::Raw => (Format::Json, true),
    };
    encoded(code, format.media_type(), format, pretty, status)
}

fn agreed(request: &Parts, page: &PageKind) -> Result<Answer, Refusal> {
    // `get` gives the first of several header lines, which is the only one that counts.
    let accept = request.headers.get(ACCEPT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    negotiate(accept.as_deref(), page)
}

fn encoded(code: StatusCode, content_type: &str, format: Format, pretty: bool, value: &impl Serialize) -> Response {
    let body = match format {
        Format::Json => encode::json(value, pretty),
        Format::Yaml => encode::yaml(value),
    };
    match (body, HeaderValue::try_from(content_type)) {
        (Ok(body), Ok(content_type)) => {
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = code;
            response.headers_mut().insert(CONTENT_TYPE, content_type);
            response
        }
        (Err(error), _) => {
            tracing::error!(%error, "failed to encode a z-page");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "failed to encode the page; the log says why\n")
        }
        (_, Err(error)) => {
            tracing::error!(%error, "failed to write the content type of a z-page");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "failed to encode the page; the log says why\n")
        }
    }
}

/// `?pretty` decides; without it, clients that people use directly get indented JSON.
fn pretty_client(request: &Parts) -> bool {
    // Upstream reads the query only when the word stands in it as it is: `p%72etty=1` asks for nothing.
    let query = request.uri.query().filter(|query| query.contains("pretty")).unwrap_or_default();
    if let Some(asked) = query::first(query, "pretty").filter(|value| !value.is_empty()) {
        return matches!(asked.as_ref(), "1" | "t" | "T" | "TRUE" | "true" | "True");
    }
    let agent = request.headers.get(USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
    [&b"curl"[..], b"Wget", b"Mozilla/5.0"].iter().any(|human| agent.starts_with(human))
}
