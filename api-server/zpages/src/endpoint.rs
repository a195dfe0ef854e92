//! What a listener serves, one line each: the only list, from which the index page and the paths of `/statusz` are made.

use serde::Serialize;

/// Something that is served, here or beside it on the same listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Endpoint {
    /// For example `/metrics/slis`; `/keyz/{keyId}` where a part is the client's to fill in.
    pub(crate) path: String,
    /// One line for people.
    pub(crate) about: String,
}

impl Endpoint {
    /// An endpoint.
    pub(crate) fn new(path: impl Into<String>, about: impl Into<String>) -> Self {
        Self { path: path.into(), about: about.into() }
    }
}
