//! Which of its representations a z-page answers with: a pure decision from the `Accept` header.
//!
//! ```text
//! Accept -> accept::parse -> (clause, format) pairs in order -> first allowed one -> Answer
//!                                                            \-> none             -> Refusal (406)
//! ```
//! Shared by every page that has a text form for people and a versioned structure for programs.

use crate::accept::{self, Clause};

/// What a page offers beside its text: one kind in one group, in some versions.
#[derive(Debug)]
pub struct PageKind {
    /// API group, the parameter `g`.
    pub group: &'static str,
    /// Kind, the parameter `as`; lower-cased it names the page to people.
    pub kind: &'static str,
    /// Versions, the parameter `v`.
    pub versions: &'static [PageVersion],
}

/// One served version of a page's structure.
#[derive(Debug, PartialEq, Eq)]
pub struct PageVersion {
    /// For example `v1beta1`.
    pub name: &'static str,
    /// Answers carry a `Warning` header.
    pub deprecated: bool,
}

/// How a structure is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `application/json`
    Json,
    /// `application/yaml`
    Yaml,
}

impl Format {
    /// The media type without parameters.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
        }
    }
}

/// The representation that was agreed on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The text for people.
    Text,
    /// The structure in a version; `pretty` when the clause itself asked for it.
    Structure {
        /// How it is written.
        format: Format,
        /// Which version of it.
        version: &'static PageVersion,
        /// The clause carried `pretty=1`.
        pretty: bool,
    },
}

/// Nothing that was asked for is offered. Holds how the error itself is to be written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The client would read an unversioned object in this format.
    In {
        /// How it is written.
        format: Format,
        /// The clause carried `pretty=1`.
        pretty: bool,
    },
    /// Not even that: indented JSON, whatever was asked for.
    Raw,
}

/// Every media type offered, in the order in which they are tried, as the 406 message lists them.
pub(crate) const OFFERED: &str = "application/json, application/yaml, text/plain";

#[derive(Debug, Clone, Copy)]
enum Candidate {
    Structure(Format),
    Text,
}

/// The order decides when a wildcard covers several.
const CANDIDATES: [(Candidate, &str, &str); 3] = [
    (Candidate::Structure(Format::Json), "application", "json"),
    (Candidate::Structure(Format::Yaml), "application", "yaml"),
    (Candidate::Text, "text", "plain"),
];

/// Decides how `page` answers a request with this `Accept` header (its first line; `None` when absent).
///
/// # Errors
/// [`Refusal`] when no clause names something the page offers.
pub(crate) fn negotiate(header: Option<&str>, page: &PageKind) -> Result<Answer, Refusal> {
    let header = header.unwrap_or_default();
    if header.trim().is_empty() {
        return Ok(Answer::Text);
    }
    let clauses = accept::parse(header);
    let answer = first_allowed(&clauses, |clause, candidate| allow_answer(clause, candidate, page));
    answer.ok_or_else(|| first_allowed(&clauses, allow_error).unwrap_or(Refusal::Raw))
}

/// Decides how an error is written to a client whose request was not negotiated: as JSON unless it says otherwise.
#[cfg(feature = "serve")]
pub(crate) fn negotiate_error(header: Option<&str>) -> Refusal {
    let header = header.unwrap_or_default();
    if header.trim().is_empty() {
        return Refusal::In { format: Format::Json, pretty: false };
    }
    first_allowed(&accept::parse(header), allow_error).unwrap_or(Refusal::Raw)
}

fn first_allowed<T>(clauses: &[Clause<'_>], allow: impl Fn(&Clause<'_>, Candidate) -> Option<T>) -> Option<T> {
    clauses.iter().find_map(|clause| {
        CANDIDATES
            .iter()
            .filter(|(_, media, subtype)| clause.covers(media, subtype))
            .find_map(|(candidate, ..)| allow(clause, *candidate))
    })
}

fn allow_answer(clause: &Clause<'_>, candidate: Candidate, page: &PageKind) -> Option<Answer> {
    if has_value(clause, "sv") || has_value(clause, "stream") {
        return None;
    }
    match candidate {
        Candidate::Text => (!names_a_kind(clause)).then_some(Answer::Text),
        Candidate::Structure(format) => {
            let exact = clause.parameter("g") == Some(page.group) && clause.parameter("as") == Some(page.kind);
            let asked = clause.parameter("v").filter(|_| exact)?;
            let version = page.versions.iter().find(|version| version.name == asked)?;
            Some(Answer::Structure { format, version, pretty: wants_pretty(clause) })
        }
    }
}

/// An error is an object without a version of ours, so here a clause that names a kind is refused. Text never gets
/// here: a clause that allows it would have had the page itself.
fn allow_error(clause: &Clause<'_>, candidate: Candidate) -> Option<Refusal> {
    let Candidate::Structure(format) = candidate else { return None };
    // Upstream's JSON can be streamed, its YAML cannot, and `watch` is the only stream there is.
    let stream_allowed = match clause.parameter("stream") {
        None | Some("") => true,
        Some(stream) => stream == "watch" && format == Format::Json,
    };
    (stream_allowed && !has_value(clause, "sv") && !names_a_kind(clause))
        .then(|| Refusal::In { format, pretty: wants_pretty(clause) })
}

fn has_value(clause: &Clause<'_>, name: &str) -> bool {
    clause.parameter(name).is_some_and(|value| !value.is_empty())
}

fn names_a_kind(clause: &Clause<'_>) -> bool {
    ["g", "v", "as"].iter().any(|name| clause.parameter(name).is_some())
}

fn wants_pretty(clause: &Clause<'_>) -> bool {
    clause.parameter("pretty") == Some("1")
}

#[cfg(test)]
mod tests {
    use super::{Answer, Format, PageKind, PageVersion, Refusal, negotiate};

    static PAGE: PageKind = PageKind {
        group: "config.k8s.io",
        kind: "Statusz",
        versions: &[
            PageVersion { name: "v1beta1", deprecated: false },
            PageVersion { name: "v1alpha1", deprecated: true },
        ],
    };

    /// Short form of the decision, so that the tables below read like the reference's.
    fn decided(header: &str) -> String {
        match negotiate(Some(header), &PAGE) {
            Ok(Answer::Text) => "text".to_owned(),
            Ok(Answer::Structure { format, version, pretty }) => {
                format!("{format:?} {}{}", version.name, if pretty { " pretty" } else { "" })
            }
            Err(Refusal::In { format, pretty }) => format!("406 {format:?}{}", if pretty { " pretty" } else { "" }),
            Err(Refusal::Raw) => "406 raw".to_owned(),
        }
    }

    fn check(table: &[(&str, &str)]) {
        for (header, wanted) in table {
            assert_eq!(&decided(header), wanted, "Accept: {header}");
        }
    }

    #[test]
    fn without_an_accept_header_a_person_is_asking() {
        assert_eq!(negotiate(None, &PAGE), Ok(Answer::Text));
        check(&[("", "text"), (" \t ", "text")]);
    }

    #[test]
    fn text_is_for_whoever_accepts_it_plainly() {
        check(&[
            ("text/plain", "text"),
            ("text/plain;charset=utf-8", "text"),
            ("text/*", "text"),
            ("*/*", "text"),
            ("*", "text"),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text"),
            ("application/json,*/*", "text"),
            ("application/json;v=foo;g=config.k8s.io;as=Statusz,*/*", "text"),
            ("text/plain;as=Statusz", "406 raw"),
            ("text/plain;v=v1beta1;g=config.k8s.io;as=Statusz", "406 raw"),
        ]);
    }

    #[test]
    fn a_structure_needs_group_version_and_kind() {
        check(&[
            ("application/json;v=v1beta1;g=config.k8s.io;as=Statusz", "Json v1beta1"),
            ("application/json; as=Statusz; g=config.k8s.io; v=v1beta1", "Json v1beta1"),
            ("application/yaml;v=v1beta1;g=config.k8s.io;as=Statusz", "Yaml v1beta1"),
            ("application/json;v=v1alpha1;g=config.k8s.io;as=Statusz", "Json v1alpha1"),
            ("application/json;v=v1beta1;g=config.k8s.io;as=Statusz;pretty=1;profile=x;foo=y", "Json v1beta1 pretty"),
            ("*/*;g=config.k8s.io;v=v1beta1;as=Statusz", "Json v1beta1"),
            ("application/*;g=config.k8s.io;v=v1beta1;as=Statusz", "Json v1beta1"),
            ("application/json;v=v1beta1;g=config.k8s.io", "406 raw"),
            ("application/json;v=v1beta1;as=Statusz", "406 raw"),
            ("application/json;g=config.k8s.io;as=Statusz", "406 raw"),
            ("application/json;v=v1beta1;g=config.k8s.io;as=statusz", "406 raw"),
            ("application/json;v=v1beta1;g=config.k8s.io;as=Flagz", "406 raw"),
            ("application/json;v=v1beta1;g=config.k8s.io;as=\"Statusz\"", "406 raw"),
            ("application/json;v=v1;g=config.k8s.io;as=Statusz", "406 raw"),
            ("application/cbor;v=v1beta1;g=config.k8s.io;as=Statusz", "406 raw"),
            ("Application/JSON;v=v1beta1;g=config.k8s.io;as=Statusz", "406 raw"),
        ]);
    }

    #[test]
    fn the_first_usable_version_wins() {
        let (alpha, beta) = ("v=v1alpha1;g=config.k8s.io;as=Statusz", "v=v1beta1;g=config.k8s.io;as=Statusz");
        check(&[
            (&format!("application/json;{alpha},application/json;{beta}"), "Json v1alpha1"),
            (&format!("application/json;{beta},application/json;{alpha}"), "Json v1beta1"),
            (&format!("application/json;{alpha};q=0.5,application/json;{beta}"), "Json v1beta1"),
            (&format!("application/json;v=v9;g=config.k8s.io;as=Statusz,application/json;{beta}"), "Json v1beta1"),
        ]);
    }

    #[test]
    fn streams_and_server_versions_are_refused() {
        let full = "application/json;v=v1beta1;g=config.k8s.io;as=Statusz";
        check(&[
            (&format!("{full};stream=watch"), "406 raw"),
            (&format!("{full};sv=1"), "406 raw"),
            (&format!("{full};stream= "), "Json v1beta1"),
            ("text/plain;stream=watch", "406 raw"),
        ]);
    }

    #[test]
    fn a_refusal_is_written_as_the_client_would_read_it() {
        check(&[
            ("application/json", "406 Json"),
            ("application/json;pretty=1", "406 Json pretty"),
            ("application/yaml", "406 Yaml"),
            ("application/*", "406 Json"),
            ("application/json;stream=watch", "406 Json"),
            ("application/yaml;stream=watch", "406 raw"),
            ("application/json;sv=2", "406 raw"),
            ("application/xml", "406 raw"),
            ("application/vnd.kubernetes.protobuf", "406 raw"),
            ("text/html", "406 raw"),
            ("json", "406 raw"),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "406 Json"),
        ]);
        assert_eq!(Format::Yaml.media_type(), "application/yaml");
    }
}
