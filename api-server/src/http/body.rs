//! Reads a request's body and holds it against the operation's schema.

use std::net::IpAddr;

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::caller::{self, Peer};
use super::error::{ApiError, FieldError};
use super::schema::Rule;

/// The largest body, in bytes: 10 MiB, as clients of this API know it.
pub(crate) const MAX_BYTES: usize = 10 * 1024 * 1024;

/// A request whose form is in order: its headers and its typed body. Who sent it is not known yet.
pub(crate) struct Parsed<T> {
    pub(crate) headers: HeaderMap,
    /// The address of the key's user; see [`caller::client`].
    pub(crate) client: Option<IpAddr>,
    pub(crate) body: T,
}

/// Reads the body and checks the form of the whole request (media type, presence of credentials, every field), before anyone looks at who
/// calls. All failures of form are reported at once.
pub(crate) async fn parse<T: DeserializeOwned>(
    request: Request,
    rule: &Rule,
) -> Result<Parsed<T>, (HeaderMap, ApiError)> {
    let (parts, body) = request.into_parts();
    let missing = caller::check_present(&parts.headers).err();
    match read(&parts.headers, body, rule, MAX_BYTES, missing).await {
        Ok(body) => Ok(Parsed::new(parts, body)),
        Err(error) => Err((parts.headers, error)),
    }
}

/// The same without credentials being a matter of form, and with a limit of the body's size, in bytes, that suits a stranger.
pub(crate) async fn parse_open<T: DeserializeOwned>(
    request: Request,
    rule: &Rule,
    max_bytes: usize,
) -> Result<Parsed<T>, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read(&parts.headers, body, rule, max_bytes, None).await?;
    Ok(Parsed::new(parts, body))
}

impl<T> Parsed<T> {
    fn new(parts: Parts, body: T) -> Self {
        let client = caller::client(&parts.headers, parts.extensions.get::<Peer>().copied());
        Self { headers: parts.headers, client, body }
    }
}

async fn read<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    rule: &Rule,
    max_bytes: usize,
    missing: Option<FieldError>,
) -> Result<T, ApiError> {
    let bytes = match Limited::new(body, max_bytes).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(ApiError::TooLarge(max_bytes)),
        Err(_) => return Err(ApiError::Unreadable("the connection broke while it was sent".to_owned())),
    };
    let mut errors: Vec<FieldError> = check_media_type(headers).err().into_iter().collect();
    errors.extend(missing);
    let mut value: Value = match serde_json::from_slice(&bytes) {
        Ok(value) => value,
        Err(error) => {
            let message = if bytes.is_empty() {
                "the body is empty".to_owned()
            } else {
                format!("the body is not JSON: {error}")
            };
            errors.push(FieldError { location: "body".to_owned(), message, fix: None });
            return Err(invalid(errors));
        }
    };
    rule.check("body", &mut value, &mut errors);
    if !errors.is_empty() {
        return Err(invalid(errors));
    }
    serde_json::from_value(value).map_err(|error| {
        // The rule let something through that the type refuses: our mistake, but still the caller's value to change.
        invalid(vec![FieldError { location: "body".to_owned(), message: error.to_string(), fix: None }])
    })
}

/// The headline names the first failure, as one reads it in a log; the list has all.
fn invalid(errors: Vec<FieldError>) -> ApiError {
    let detail = match errors.first() {
        Some(first) => format!("The request is invalid: {} ({}).", first.message, first.location),
        None => "The request is invalid.".to_owned(),
    };
    ApiError::InvalidInput { detail, errors }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), FieldError> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(FieldError {
        location: "header.Content-Type".to_owned(),
        message: format!("the content type is `{value}`, not application/json"),
        fix: Some("send `Content-Type: application/json`".to_owned()),
    })
}
