//! How a refusal is written: the bodies and headers of a Kubernetes component.

use axum::response::Response;
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;

use super::reviews::Attributes;
use crate::page::{plain, refused};
use crate::quote::quoted;

/// Why a request is not served.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Something was shown, and nobody vouches for it.
    Unauthorized,
    /// The user may not do this.
    Forbidden {
        /// What was wanted.
        attributes: Attributes,
        /// Why, in the words of who decided; may be empty.
        reason: String,
    },
    /// Who decides did not say.
    Undecided {
        /// What went wrong.
        error: String,
    },
}

impl Refusal {
    /// The answer. No `WWW-Authenticate`, as upstream: a browser must not ask people for a password.
    pub(super) fn answer(&self, request: &Parts) -> Response {
        let mut response = match self {
            Self::Unauthorized => refused(request, StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized", false),
            Self::Forbidden { attributes, reason } => {
                let message = forbidden(attributes, reason);
                unsniffed(refused(request, StatusCode::FORBIDDEN, "Forbidden", &message, true))
            }
            Self::Undecided { error } => {
                let uri = request.uri.path_and_query().map_or("/", |uri| uri.as_str());
                let body = escaped(&format!("Internal Server Error: {}: {error}", quoted(uri)));
                unsniffed(plain(StatusCode::INTERNAL_SERVER_ERROR, body + "\n"))
            }
        };
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        response
    }
}

fn unsniffed(mut response: Response) -> Response {
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn forbidden(Attributes { user, verb, path }: &Attributes, reason: &str) -> String {
    let who = format!("User {} cannot {verb} path {}", quoted(&user.name), quoted(path));
    let colon = if reason.is_empty() { "" } else { ": " };
    format!("forbidden: {}{colon}{reason}", escaped(&who))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
