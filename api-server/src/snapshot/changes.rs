//! What changed, ready to be written.

use super::{format, lean};
use crate::registry::{Object, ObjectKey};

/// Rows to put or to remove, in the order of what happened.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    rows: Vec<(String, Option<Vec<u8>>)>,
    bytes: usize,
}

impl Changes {
    /// The object is there, new or changed; what verification doesn't read is taken out of it. **Cost**: its JSON is written, some 2 us.
    pub(crate) fn put(&mut self, object: &mut Object) {
        lean::strip(object);
        let path = format::path(&object.key());
        // Our kinds have string keys and finite numbers only, so this can't fail; if it did, the row would be missing, not wrong.
        let sealed = object.to_json().ok().map(|json| format::seal(&path, &json));
        self.push(path, sealed);
    }

    /// The object is gone, or can't be read.
    pub(crate) fn remove(&mut self, key: &ObjectKey) {
        self.push(format::path(key), None);
    }

    fn push(&mut self, path: String, sealed: Option<Vec<u8>>) {
        self.bytes += path.len() + sealed.as_ref().map_or(0, Vec::len);
        self.rows.push((path, sealed));
    }

    /// Whether nothing changed.
    pub(crate) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of the texts.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.rows.iter().map(|(path, sealed)| (path.as_str(), sealed.as_deref()))
    }
}
