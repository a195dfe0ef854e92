//! Writes answers from what was rendered when a key was indexed.
//!
//! ```text
//! request id, code | key, keyspace, name, meta, expires | credits | enabled, permissions, roles, identity | evaluated limits
//!     per request  |       pieces of the record         |per request|       pieces of the record          |   per request
//! ```
//! A record holds its texts as JSON ([`pieces`] appends them), so an answer is some twenty appends to one buffer, without escaping or
//! serializing. **Rule**: the order of fields and what is left out are those of the serde models in the tests here; property tests hold the
//! written bytes against them, on random records.

pub(crate) mod buffer;
mod pieces;
pub(crate) mod v1;
pub(crate) mod v2;

#[cfg(test)]
mod tests;
