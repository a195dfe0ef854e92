//! The index page: every endpoint with one line about it.

use crate::statusz;

/// Something that is served, here or beside it on the same listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// For example `/metrics/slis`.
    pub(crate) path: String,
    /// One line for people.
    pub(crate) about: String,
}

/// The page as text: paths in one column, in the order of their mounting.
pub(crate) fn text(component: &str, endpoints: &[Endpoint]) -> String {
    let width = endpoints.iter().map(|endpoint| endpoint.path.chars().count()).max().unwrap_or_default();
    let mut text = format!("{component}\n\n");
    text.extend(endpoints.iter().map(|Endpoint { path, about }| format!("{path:width$}  {about}\n")));
    text
}

/// The paths as `/statusz` lists them: as upstream, without `/statusz` itself, which is added last.
pub(crate) fn listed_on_statusz(endpoints: &[Endpoint]) -> Vec<String> {
    statusz::root_paths(endpoints.iter().map(|endpoint| endpoint.path.as_str()).filter(|path| *path != "/statusz"))
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, listed_on_statusz, text};

    #[test]
    fn every_endpoint_has_its_line_and_statusz_does_not_list_itself() {
        let endpoint = |path: &str, about: &str| Endpoint { path: path.to_owned(), about: about.to_owned() };
        let endpoints = [endpoint("/statusz", "version"), endpoint("/metrics/slis", "levels")];
        assert_eq!(text("a-server", &endpoints), "a-server\n\n/statusz       version\n/metrics/slis  levels\n");
        assert_eq!(listed_on_statusz(&endpoints), ["/metrics"]);
    }
}
