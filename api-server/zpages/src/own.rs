//! Pages of a program's own, in the manner of `/statusz`: text for people, versioned JSON and YAML for programs, from one
//! structure.

use std::sync::Arc;

use axum::extract::{Path, Request};
use axum::response::Response;
use axum::routing::{MethodRouter, any};
use http::StatusCode;
use http::request::Parts;
use serde::Serialize;
use tokio::sync::Mutex;

use crate::negotiate::PageKind;
use crate::page::{self, Metadata, plain};
use crate::statusz::page_title;

/// What a page says, at one moment.
///
/// Serialized it gives the fields behind `kind`, `apiVersion` and `metadata` (which are written for it), in the order of
/// their declaration: programs see that order, so it is a part of the version. Fields are named in camel case.
///
/// Neither form may hold a secret.
pub trait Page: Serialize + Send + 'static {
    /// Group, kind and versions. There is one structure for all versions.
    const KIND: &'static PageKind;

    /// The page for people, below its title; whole lines. [`crate::Lines`] writes them.
    fn text(&self) -> String;
}

/// There is nothing of the name that a page was asked about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotFound(pub String);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Structure<'a, P> {
    kind: &'a str,
    api_version: String,
    metadata: Metadata<'a>,
    #[serde(flatten)]
    page: &'a P,
}

/// A route of a page without a parameter. See [`route_about`].
pub(crate) fn route<P: Page>(component: String, read: impl Fn() -> P + Send + Sync + 'static) -> MethodRouter {
    let source = Source::new(component, move |_: &str| Ok(read()));
    any(move |request: Request| Arc::clone(&source).answer(request.into_parts().0, String::new()))
}

/// A route of a page about one thing, which the last part of the path names.
pub(crate) fn route_about<P: Page>(
    component: String,
    read: impl Fn(&str) -> Result<P, NotFound> + Send + Sync + 'static,
) -> MethodRouter {
    let source = Source::new(component, read);
    any(move |Path(name): Path<String>, request: Request| Arc::clone(&source).answer(request.into_parts().0, name))
}

/// Reads a page: on a thread for work that takes long, and one request at a time, so that someone who asks for a page again
/// and again takes one processor at most from what the program is there for.
struct Source<R> {
    component: String,
    read: R,
    turn: Mutex<()>,
}

impl<P: Page, R: Fn(&str) -> Result<P, NotFound> + Send + Sync + 'static> Source<R> {
    fn new(component: String, read: R) -> Arc<Self> {
        Arc::new(Self { component, read, turn: Mutex::new(()) })
    }

    /// # Cancel safety
    /// A read that has begun goes on; nobody sees its result.
    async fn answer(self: Arc<Self>, request: Parts, name: String) -> Response {
        let _turn = self.turn.lock().await;
        let source = Arc::clone(&self);
        let read = tokio::task::spawn_blocking(move || {
            let found = (source.read)(&name);
            source.write(&request, found)
        });
        read.await.unwrap_or_else(|error| {
            tracing::error!(%error, kind = P::KIND.kind, "failed to read a z-page");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "failed to read the page; the log says why\n")
        })
    }

    fn write(&self, request: &Parts, found: Result<P, NotFound>) -> Response {
        let kind = P::KIND;
        let page = match found {
            Ok(page) => page,
            Err(NotFound(message)) => {
                return page::failure(request, kind, StatusCode::NOT_FOUND, "NotFound", &message);
            }
        };
        let text = || {
            let title = page_title(&self.component, &kind.kind.to_ascii_lowercase());
            format!("{title}\n{}", page.text())
        };
        let metadata = Metadata { name: &self.component };
        page::answer(request, kind, text, |api_version| Structure {
            kind: kind.kind,
            api_version,
            metadata,
            page: &page,
        })
    }
}

#[cfg(test)]
mod tests;
