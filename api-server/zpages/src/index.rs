//! The index page: every endpoint with one line about it.

use axum::response::Response;
use http::StatusCode;
use http::request::Parts;
use serde::Serialize;

use crate::endpoint::Endpoint;
use crate::negotiate::{PageKind, PageVersion};
use crate::page::{self, Metadata, plain};
use crate::statusz;

/// The versions of the page's structure.
static VERSIONS: [PageVersion; 1] = [PageVersion { name: "v1alpha1", deprecated: false }];

/// The page of one component.
#[derive(Debug)]
pub(crate) struct Index {
    component: String,
    /// Where the program has an API group of its own; without one there is only text.
    kind: Option<PageKind>,
    endpoints: Vec<Endpoint>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Structure<'a> {
    kind: &'a str,
    api_version: String,
    metadata: Metadata<'a>,
    endpoints: &'a [Endpoint],
}

impl Index {
    /// A page that lists `endpoints`, with a structure if there is a group for it.
    pub(crate) fn new(component: String, group: Option<&'static str>, endpoints: Vec<Endpoint>) -> Self {
        let kind = group.map(|group| PageKind { group, kind: "Index", versions: &VERSIONS });
        Self { component, kind, endpoints }
    }

    /// The answer to a request, whatever its method.
    pub(crate) fn answer(&self, request: &Parts) -> Response {
        let Some(kind) = &self.kind else { return plain(StatusCode::OK, self.text()) };
        let structure = |api_version| Structure {
            kind: kind.kind,
            api_version,
            metadata: Metadata { name: &self.component },
            endpoints: &self.endpoints,
        };
        page::answer(request, kind, || self.text(), structure)
    }

    /// Paths in one column, in the order of their mounting.
    fn text(&self) -> String {
        let Self { component, endpoints, .. } = self;
        let width = endpoints.iter().map(|endpoint| endpoint.path.chars().count()).max().unwrap_or_default();
        let mut text = format!("{component}\n\n");
        text.extend(endpoints.iter().map(|Endpoint { path, about, .. }| format!("{path:width$}  {about}\n")));
        text
    }
}

/// The paths as `/statusz` lists them: as upstream, without `/statusz` itself, which is added last, and without `/debug`.
pub(crate) fn listed_on_statusz(endpoints: &[Endpoint]) -> Vec<String> {
    let paths = endpoints.iter().map(|endpoint| endpoint.path.as_str());
    statusz::root_paths(paths.filter(|path| *path != "/statusz" && !path.starts_with("/debug")))
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Index, listed_on_statusz};

    #[test]
    fn every_endpoint_has_its_line_and_statusz_does_not_list_itself() {
        let endpoints = vec![Endpoint::new("/statusz", "version"), Endpoint::new("/metrics/slis", "levels")];
        assert_eq!(listed_on_statusz(&endpoints), ["/metrics"]);
        let index = Index::new("a-server".to_owned(), None, endpoints);
        assert_eq!(index.text(), "a-server\n\n/statusz       version\n/metrics/slis  levels\n");
    }
}
