//! Parsed permission queries, kept because callers send the same few texts again and again.

use std::sync::Arc;

use keyplane_core::permission::{Query, QueryError};
use moka::sync::Cache;

/// Queries kept. A query has at most 1,000 bytes and its tree about six times that: 10,000 of the longest are 70 MB, and of the usual
/// ones (30 bytes) 3 MB. A query that was forgotten is parsed again in about a microsecond.
const CAPACITY: u64 = 10_000;

pub(super) struct Queries(Cache<Box<str>, Arc<Query>>);

impl Default for Queries {
    fn default() -> Self {
        Self(Cache::new(CAPACITY))
    }
}

impl Queries {
    /// The parsed query. One that can't be parsed is not kept: it would push out good ones.
    pub(super) fn parsed(&self, text: &str) -> Result<Arc<Query>, QueryError> {
        if let Some(query) = self.0.get(text) {
            return Ok(query);
        }
        let query = Arc::new(Query::parse(text)?);
        self.0.insert(text.into(), query.clone());
        Ok(query)
    }
}
