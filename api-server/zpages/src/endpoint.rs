//! What a listener serves, one line each: the only list, from which the index page, the paths of `/statusz` and the paths
//! that anyone may read are made.

use serde::Serialize;

/// Who may read an endpoint where readers are authorized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Anyone, known or not: the health of the process, as upstream.
    Anyone,
    /// Whom the cluster allows.
    Authorized,
}

/// Something that is served, here or beside it on the same listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Endpoint {
    /// For example `/metrics/slis`; `/keyz/{keyId}` where a part is the client's to fill in.
    pub(crate) path: String,
    /// One line for people.
    pub(crate) about: String,
    /// Who may read it.
    #[serde(skip)]
    pub(crate) reader: Reader,
}

impl Endpoint {
    /// An endpoint for those whom the cluster allows.
    pub(crate) fn new(path: impl Into<String>, about: impl Into<String>) -> Self {
        Self { path: path.into(), about: about.into(), reader: Reader::Authorized }
    }

    /// An endpoint for anyone.
    pub(crate) fn open(path: impl Into<String>, about: impl Into<String>) -> Self {
        Self { reader: Reader::Anyone, ..Self::new(path, about) }
    }
}
