//! `/statusz`: what runs here, which version, since when, and what else it serves.

use std::time::SystemTime;

use axum::response::Response;
use http::request::Parts;
use serde::Serialize;

use crate::clock;
use crate::delimiter::Delimiter;
use crate::negotiate::{PageKind, PageVersion};
use crate::page::{self, Metadata};

/// Versions as Kubernetes 1.36 serves them.
static PAGE: PageKind = PageKind {
    group: "config.k8s.io",
    kind: "Statusz",
    versions: &[PageVersion { name: "v1beta1", deprecated: false }, PageVersion { name: "v1alpha1", deprecated: true }],
};

/// Paths that are the product, not its explanation.
const NOT_FOR_DEBUGGING: [&str; 5] = ["/apis", "/api", "/openid", "/openapi", "/.well-known"];

/// Everything the page says except how long the process has been up.
#[derive(Debug)]
pub(crate) struct Statusz {
    /// For example `kube-scheduler`.
    pub(crate) component: String,
    /// When the process started.
    pub(crate) start_time: SystemTime,
    /// Upstream: the version of the Go runtime. Here: of the Rust compiler.
    pub(crate) runtime_version: String,
    /// Version of the program.
    pub(crate) binary_version: String,
    /// Version the program behaves like, when it can behave like another.
    pub(crate) emulation_version: Option<String>,
    /// Result of [`root_paths`].
    pub(crate) paths: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Structure<'a> {
    kind: &'a str,
    api_version: String,
    metadata: Metadata<'a>,
    start_time: String,
    uptime_seconds: u64,
    go_version: &'a str,
    binary_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    emulation_version: Option<&'a str>,
    /// `null` when there are none, as upstream.
    paths: Option<&'a [String]>,
}

impl Statusz {
    /// The answer to a request, whatever its method.
    pub(crate) fn answer(&self, request: &Parts, now: SystemTime) -> Response {
        page::answer(request, &PAGE, || self.text(now, Delimiter::draw()), |version| self.structure(version, now))
    }

    fn structure(&self, api_version: String, now: SystemTime) -> Structure<'_> {
        Structure {
            kind: PAGE.kind,
            api_version,
            metadata: Metadata { name: &self.component },
            start_time: clock::rfc3339(self.start_time),
            uptime_seconds: self.up(now).as_secs(),
            go_version: &self.runtime_version,
            binary_version: &self.binary_version,
            emulation_version: self.emulation_version.as_deref(),
            paths: (!self.paths.is_empty()).then_some(self.paths.as_slice()),
        }
    }

    fn text(&self, now: SystemTime, delimiter: Delimiter) -> String {
        let line = |name: &str, value: &str| format!("{name}{delimiter} {}\n", escape_html(value));
        let mut text = page_title(&self.component, "statusz");
        text.push('\n');
        text += &line("Started", &clock::unix_date(self.start_time));
        text += &line("Up", &clock::uptime(self.up(now)));
        text += &line("Go version", &self.runtime_version);
        text += &line("Binary version", &self.binary_version);
        // A fact that is missing leaves its line empty.
        text += &self.emulation_version.as_deref().map_or("\n".to_owned(), |it| line("Emulation version", it));
        text += &if self.paths.is_empty() { "\n".to_owned() } else { line("Paths", &self.paths.join(" ")) };
        text
    }

    fn up(&self, now: SystemTime) -> std::time::Duration {
        now.duration_since(self.start_time).unwrap_or_default()
    }
}

/// The first lines of both pages. The name is not escaped, as upstream.
pub(crate) fn page_title(component: &str, page: &str) -> String {
    format!(
        "\n{component} {page}\nWarning: This endpoint is not meant to be machine parseable, has no formatting \
         compatibility guarantees and is for debugging purposes only.\n"
    )
}

/// The first segments of `listed`, sorted and each once, without the paths that are the product itself.
pub(crate) fn root_paths<'a>(listed: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let roots: std::collections::BTreeSet<String> = listed
        .into_iter()
        .filter_map(|path| path.strip_prefix('/')?.split('/').next())
        .filter(|segment| !segment.is_empty())
        .map(|segment| format!("/{segment}"))
        .filter(|root| !NOT_FOR_DEBUGGING.contains(&root.as_str()))
        .collect();
    roots.into_iter().collect()
}

fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for found in text.chars() {
        match found {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\'' => escaped.push_str("&#39;"),
            '"' => escaped.push_str("&#34;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
