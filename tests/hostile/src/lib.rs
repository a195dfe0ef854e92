//! What must hold of every text that a stranger sends, as functions that panic where it doesn't.
//!
//! The fuzz targets in `tests/fuzz` call them with what a fuzzer invents; `tests/corpus.rs` here calls them with every file of the corpus,
//! so that a case that was found once is looked at on every run, with the ordinary toolchain.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "to panic is how a case says that something is wrong"
)]

mod address;
mod body;
mod duration;
mod key;
mod manifest;
mod permission_query;
mod schema;
pub mod world;

pub use self::address::address;
pub use self::body::body;
pub use self::duration::duration;
pub use self::key::key;
pub use self::manifest::manifest;
pub use self::permission_query::permission_query;

/// A case: it panics when something that must hold of these bytes doesn't.
pub type Case = fn(&[u8]);

/// Every case, under the name of its fuzz target and of its folder in the corpus.
pub const CASES: [(&str, Case); 6] = [
    ("address", address),
    ("body", body),
    ("duration", duration),
    ("key", key),
    ("manifest", manifest),
    ("permission_query", permission_query),
];

/// Fuzzers send bytes; most parsers take text.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
