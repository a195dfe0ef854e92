//! Free-form metadata of keys and identities.

use schemars::{Schema, SchemaGenerator, json_schema};

/// Any JSON object; returned on verification as it is.
pub type Meta = serde_json::Map<String, serde_json::Value>;

/// The largest [`Meta`] in bytes of compact JSON.
///
/// A schema cannot bound an object whose fields it does not know, so the readers of the object check this.
pub const META_MAX_BYTES: usize = 64 * 1024;

pub(crate) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}
