//! Errors as the API's clients know them: an envelope with title, detail, status and a type that names the kind.

use axum::http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use keyplane_core::permission::QueryError;
use keyplane_core::plan::PlanError;
use keyplane_core::prefixed::NotPrefixed;
use serde::Serialize;

use super::envelope::Meta;
use crate::engine::{CallerError, RateLimitError, VerifyError};

/// When to ask again a server that can't answer now, in seconds. Requests are over in milliseconds, and an index is complete in seconds.
pub(crate) const SOON: HeaderValue = HeaderValue::from_static("1");

/// One field of a request that breaks its rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FieldError {
    /// Where: `body.key`, `header.Authorization`.
    pub(crate) location: String,
    /// Which rule, and how it was broken.
    pub(crate) message: String,
    /// What to do about it, when that is not plain from the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
}

/// What a request is answered instead of its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ApiError {
    /// The request doesn't have the form that the operation asks for.
    InvalidInput { detail: String, errors: Vec<FieldError> },
    /// The body can't be read at all.
    Unreadable(String),
    /// Over the limit, in bytes.
    TooLarge(usize),
    /// An `Authorization` header that is not `Bearer <root key>`.
    Malformed(&'static str),
    /// The request names a migration and its key doesn't have the form that goes with it.
    NotPrefixed(NotPrefixed),
    /// The caller is turned away.
    Caller(CallerError),
    /// The permission query can't be read.
    Query(QueryError),
    /// The caller lacks a permission.
    Forbidden(String),
    /// The request names something that the key doesn't have.
    Precondition(String),
    /// The request took longer than allowed.
    Timeout,
    /// The index is not complete yet: an answer about a key could be wrong.
    NotReady,
    /// Too much is under way; see [`super::admission`].
    Overloaded,
    /// Our own fault. The cause is in the log, never in the answer.
    Unexpected,
}

#[derive(Serialize)]
struct Problem<'a> {
    title: &'static str,
    detail: &'a str,
    status: u16,
    r#type: String,
    /// Only 400, 408 and 413 have it, and those always do.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a [FieldError]>,
}

#[derive(Serialize)]
struct ErrorAnswer<'a> {
    meta: Meta,
    error: Problem<'a>,
}

impl From<CallerError> for ApiError {
    fn from(error: CallerError) -> Self {
        Self::Caller(error)
    }
}

impl From<VerifyError> for ApiError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Query(error) => Self::Query(error),
            VerifyError::NotPrefixed(error) => Self::NotPrefixed(error),
            VerifyError::Limit(error @ PlanError::Unknown { .. }) => Self::Precondition(error.to_string()),
            VerifyError::Limit(error @ PlanError::Inline { .. }) => Self::invalid("body.ratelimits", error.to_string()),
            VerifyError::Lease(_) => Self::NotReady,
        }
    }
}

impl From<RateLimitError> for ApiError {
    fn from(error: RateLimitError) -> Self {
        match error {
            RateLimitError::Forbidden(_) => Self::Forbidden(error.to_string()),
            RateLimitError::Limit(error) => Self::invalid("body", error.to_string()),
            RateLimitError::Lease(_) => Self::NotReady,
        }
    }
}

impl ApiError {
    /// One field that breaks a rule.
    fn invalid(location: &str, message: String) -> Self {
        let detail = format!("The request is invalid: {message} ({location}).");
        Self::InvalidInput { detail, errors: vec![FieldError { location: location.to_owned(), message, fix: None }] }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::InvalidInput { .. }
            | Self::Unreadable(_)
            | Self::Malformed(_)
            | Self::NotPrefixed(_)
            | Self::Query(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Caller(CallerError::Unknown) => StatusCode::UNAUTHORIZED,
            Self::Caller(CallerError::Disabled | CallerError::Expired) | Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Precondition(_) => StatusCode::PRECONDITION_FAILED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::NotReady | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unexpected => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn title(&self) -> &'static str {
        match self {
            Self::InvalidInput { .. }
            | Self::Unreadable(_)
            | Self::Malformed(_)
            | Self::NotPrefixed(_)
            | Self::Query(_) => "Bad Request",
            Self::TooLarge(_) => "Request Entity Too Large",
            Self::Caller(CallerError::Unknown) => "Unauthorized",
            Self::Caller(CallerError::Disabled) => "Key is disabled",
            Self::Caller(CallerError::Expired) => "Forbidden",
            Self::Forbidden(_) => "Insufficient Permissions",
            Self::Precondition(_) => "Precondition Failed",
            Self::Timeout => "Request Timeout",
            Self::NotReady | Self::Overloaded => "Service Unavailable",
            Self::Unexpected => "Internal Server Error",
        }
    }

    /// `<system>/<category>/<specific>`: what clients switch on.
    const fn kind(&self) -> &'static str {
        match self {
            Self::InvalidInput { .. } => "unkey/application/invalid_input",
            Self::Unreadable(_) => "user/bad_request/request_body_unreadable",
            Self::TooLarge(_) => "user/bad_request/request_body_too_large",
            Self::Malformed(_) | Self::NotPrefixed(_) => "unkey/authentication/malformed",
            Self::Caller(CallerError::Unknown) => "unkey/authentication/key_not_found",
            Self::Caller(CallerError::Disabled) => "unkey/authorization/key_disabled",
            Self::Caller(CallerError::Expired) => "unkey/authorization/forbidden",
            Self::Forbidden(_) => "unkey/authorization/insufficient_permissions",
            Self::Precondition(_) => "unkey/application/precondition_failed",
            Self::Query(_) => "user/bad_request/permissions_query_syntax_error",
            Self::Timeout => "user/bad_request/request_timeout",
            Self::NotReady | Self::Overloaded => "unkey/application/service_unavailable",
            Self::Unexpected => "unkey/application/unexpected_error",
        }
    }

    /// What went wrong and what to do, for people.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::InvalidInput { detail, .. } => detail.clone(),
            Self::Unreadable(why) => format!("The request body can't be read: {why}."),
            Self::TooLarge(limit) => format!("The request body has more than {limit} bytes."),
            Self::Malformed(why) => format!("The Authorization header is malformed: {why}."),
            Self::NotPrefixed(error) => format!("The key is malformed: {error}."),
            Self::Caller(CallerError::Unknown) => "The provided root key is invalid.".to_owned(),
            Self::Caller(CallerError::Disabled) => "The provided root key is disabled.".to_owned(),
            Self::Caller(CallerError::Expired) => "The provided root key has expired.".to_owned(),
            Self::Forbidden(why) | Self::Precondition(why) => why.clone(),
            Self::Query(error) => format!("The permission query is invalid: {error}."),
            Self::Timeout => "The request took too long.".to_owned(),
            Self::NotReady => "The server is starting and does not know every key yet.".to_owned(),
            Self::Overloaded => "The server has too much to do. Try again in a second.".to_owned(),
            Self::Unexpected => "An unexpected error occurred.".to_owned(),
        }
    }

    /// The errors of single fields; `None` where the answer has no such list.
    fn fields(&self) -> Option<&[FieldError]> {
        match self {
            Self::InvalidInput { errors, .. } => Some(errors),
            _ if self.status() == StatusCode::BAD_REQUEST => Some(&[]),
            Self::TooLarge(_) | Self::Timeout => Some(&[]),
            _ => None,
        }
    }

    /// The answer. `application/problem+json` only for a client that says it takes it, and never for input that fails its schema: SDKs
    /// choose their error class by the content type.
    pub(crate) fn answer(&self, request: &HeaderMap) -> Response {
        let schema_failure = matches!(self, Self::InvalidInput { .. });
        let content_type = if !schema_failure && takes_problem_json(request) {
            "application/problem+json"
        } else {
            "application/json"
        };
        let status = self.status();
        let error = Problem {
            title: self.title(),
            detail: &self.detail(),
            status: status.as_u16(),
            r#type: format!("https://unkey.com/docs/errors/{}", self.kind()),
            errors: self.fields(),
        };
        let mut answer = match serde_json::to_vec(&ErrorAnswer { meta: Meta::new(), error }) {
            Ok(body) => (status, [(CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        };
        if status == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(RETRY_AFTER, SOON);
        }
        answer
    }
}

fn takes_problem_json(request: &HeaderMap) -> bool {
    let accept = request.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    ["application/problem+json", "application/*", "*/*"].iter().any(|wanted| accept.contains(wanted))
}

/// A path that no operation has: plain text, as clients know it.
pub(crate) async fn unknown_path() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "404 page not found\n")
}

/// A known path with a wrong method: plain text, as clients know it.
pub(crate) async fn wrong_method() -> (StatusCode, &'static str) {
    (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n")
}
