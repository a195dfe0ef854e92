//! `/flagz`: every flag of the program with the value in force.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use axum::response::Response;
use http::request::Parts;
use serde::Serialize;

use crate::delimiter::Delimiter;
use crate::flags::Flags;
use crate::negotiate::{PageKind, PageVersion};
use crate::page::{self, Metadata};
use crate::statusz::page_title;

/// Versions as Kubernetes 1.36 serves them.
static PAGE: PageKind = PageKind {
    group: "config.k8s.io",
    kind: "Flagz",
    versions: &[PageVersion { name: "v1beta1", deprecated: false }, PageVersion { name: "v1alpha1", deprecated: true }],
};

/// Gives the flags in force now.
pub(crate) type FlagSource = Box<dyn Fn() -> Flags + Send + Sync>;

/// The page of one component.
pub(crate) struct Flagz {
    component: String,
    source: FlagSource,
    /// The text is made once per process, delimiter and values included; the structure is made anew each time.
    text: OnceLock<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Structure<'a> {
    kind: &'a str,
    api_version: String,
    metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    flags: BTreeMap<String, String>,
}

impl Flagz {
    /// A page for the flags that `source` gives.
    pub(crate) fn new(component: String, source: FlagSource) -> Self {
        Self { component, source, text: OnceLock::new() }
    }

    /// The answer to a request, whatever its method.
    pub(crate) fn answer(&self, request: &Parts) -> Response {
        page::answer(request, &PAGE, || self.cached_text().to_owned(), |version| self.structure(version))
    }

    fn structure(&self, api_version: String) -> Structure<'_> {
        let metadata = Metadata { name: &self.component };
        Structure { kind: PAGE.kind, api_version, metadata, flags: (self.source)().into_values() }
    }

    fn cached_text(&self) -> &str {
        self.text.get_or_init(|| self.text(Delimiter::draw()))
    }

    fn text(&self, delimiter: Delimiter) -> String {
        let mut text = page_title(&self.component, "flagz");
        let flags = (self.source)().into_values();
        text.extend(flags.iter().map(|(name, value)| format!("{name}{delimiter}{value}\n")));
        text
    }
}

#[cfg(test)]
mod tests;
