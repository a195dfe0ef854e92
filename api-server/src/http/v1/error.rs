//! Errors of the v1 API: `{"error":{"code","docs","message","requestId"}}`, where the code decides the status.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::with_request_id;
use crate::engine::{CallerError, RateLimitError, VerifyError};
use crate::http::error::{ApiError, SOON};
use crate::http::request_id::RequestId;

/// Field failures named in one message; more would let a small request draw a large answer.
const MAX_SHOWN: usize = 10;

/// What a request is answered instead of its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct V1Error {
    code: Code,
    message: String,
}

/// The codes of v1 that can come about here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    BadRequest,
    Unauthorized,
    InsufficientPermissions,
    NotFound,
    MethodNotAllowed,
    InternalServerError,
    /// `INTERNAL_SERVER_ERROR` with status 503: v1 has no word for a server that does not know every key yet or has too much to do, load
    /// balancers do.
    Unavailable,
}

impl Code {
    const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            // 403 and not 401: so v1's clients know it.
            Self::Unauthorized | Self::InsufficientPermissions => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::InternalServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BAD_REQUEST",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::InsufficientPermissions => "INSUFFICIENT_PERMISSIONS",
            Self::NotFound => "NOT_FOUND",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::InternalServerError | Self::Unavailable => "INTERNAL_SERVER_ERROR",
        }
    }
}

#[derive(Serialize)]
struct ErrorAnswer<'a> {
    error: Problem<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem<'a> {
    code: &'static str,
    docs: String,
    message: &'a str,
    request_id: RequestId,
}

impl V1Error {
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self { code: Code::BadRequest, message: message.into() }
    }

    /// Verification without a caller is not switched on.
    pub(super) fn verification_is_off() -> Self {
        let message = "verification by the v1 API is off: the server was started without --v1-namespace".to_owned();
        Self { code: Code::NotFound, message }
    }

    pub(super) fn answer(&self, request_id: &RequestId) -> Response {
        let code = self.code.as_str();
        let docs = format!("https://unkey.dev/docs/api-reference/errors/code/{code}");
        let error = Problem { code, docs, message: &self.message, request_id: *request_id };
        let mut answer = (self.code.status(), Json(ErrorAnswer { error })).into_response();
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(RETRY_AFTER, SOON);
        }
        with_request_id(request_id, answer)
    }
}

/// What v2 says in its envelope, said in v1's.
impl From<ApiError> for V1Error {
    fn from(error: ApiError) -> Self {
        let code = match &error {
            ApiError::InvalidInput { .. }
            | ApiError::Unreadable(_)
            | ApiError::TooLarge(_)
            | ApiError::NotPrefixed(_)
            | ApiError::Query(_)
            | ApiError::Precondition(_)
            | ApiError::Timeout => Code::BadRequest,
            ApiError::Malformed(_)
            | ApiError::Caller(CallerError::Unknown | CallerError::Disabled | CallerError::Expired) => {
                Code::Unauthorized
            }
            ApiError::Forbidden(_) => Code::InsufficientPermissions,
            ApiError::NotReady | ApiError::Overloaded => Code::Unavailable,
            ApiError::Unexpected => Code::InternalServerError,
        };
        let message = match error {
            // v1 has no list of failures: they all stand in the message.
            ApiError::InvalidInput { errors, .. } if !errors.is_empty() => {
                let failures =
                    errors.iter().take(MAX_SHOWN).map(|error| format!("{}: {}", error.location, error.message));
                failures.collect::<Vec<_>>().join("; ")
            }
            other => other.detail(),
        };
        Self { code, message }
    }
}

impl From<VerifyError> for V1Error {
    fn from(error: VerifyError) -> Self {
        ApiError::from(error).into()
    }
}

impl From<RateLimitError> for V1Error {
    fn from(error: RateLimitError) -> Self {
        ApiError::from(error).into()
    }
}

/// A path under `/v1` that no operation has.
pub(super) async fn unknown_path() -> Response {
    let message = "this server has no such operation of the v1 API".to_owned();
    V1Error { code: Code::NotFound, message }.answer(&RequestId::new())
}

/// A known path with a wrong method.
pub(super) async fn wrong_method() -> Response {
    let message = "this operation takes POST only".to_owned();
    V1Error { code: Code::MethodNotAllowed, message }.answer(&RequestId::new())
}
