//! Puts pages into a router and into the list of what is served, in one step, so that neither is without the other.

use std::future::ready;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{MethodRouter, any};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{Method, StatusCode};

use crate::endpoint::Endpoint;
use crate::page::plain;

/// What is mounted so far.
pub(crate) struct Mount {
    /// Its routes.
    pub(crate) router: Router,
    /// Its list, in the order of mounting.
    pub(crate) endpoints: Vec<Endpoint>,
}

impl Mount {
    /// A list of what the program serves itself, and no routes.
    pub(crate) fn new(endpoints: Vec<Endpoint>) -> Self {
        Self { router: Router::new(), endpoints }
    }

    /// A page that is listed.
    pub(crate) fn page(
        &mut self,
        endpoint: Endpoint,
        answer: impl Fn(&Parts) -> Response + Clone + Send + Sync + 'static,
    ) {
        self.route(endpoint, page(answer));
    }

    /// A route that is listed.
    pub(crate) fn route(&mut self, endpoint: Endpoint, route: MethodRouter) {
        self.unlisted(&endpoint.path, route);
        self.endpoints.push(endpoint);
    }

    /// A route that belongs to a listed one.
    pub(crate) fn unlisted(&mut self, path: &str, route: MethodRouter) {
        self.router = std::mem::take(&mut self.router).route(path, route);
    }
}

/// Any method, as in Kubernetes: who may use which is a matter of authorization.
pub(crate) fn page(answer: impl Fn(&Parts) -> Response + Clone + Send + Sync + 'static) -> MethodRouter {
    any(move |request: Request| ready(answer(&request.into_parts().0)))
}

/// Sends clients from a folder to its index.
pub(crate) fn redirect(to: &'static str) -> MethodRouter {
    page(move |request| {
        // A browser that does not follow shows the link; other methods get neither body nor type.
        let shown = matches!(request.method, Method::GET | Method::HEAD);
        let link = if shown { format!("<a href=\"{to}\">Found</a>.\n\n") } else { String::new() };
        let mut response = Response::new(Body::from(link));
        *response.status_mut() = StatusCode::FOUND;
        response.headers_mut().insert(LOCATION, HeaderValue::from_static(to));
        if shown {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        }
        response
    })
}

/// The answer of Kubernetes to a path that it does not know, for use as a router's fallback.
///
/// # Cancel safety
/// Does not wait.
pub async fn not_found() -> Response {
    uncached(unknown_path())
}

/// The same before caching is forbidden.
pub(crate) fn unknown_path() -> Response {
    let mut response = plain(StatusCode::NOT_FOUND, "404 page not found\n");
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Forbids caching, as every answer of a component does.
pub(crate) fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}
