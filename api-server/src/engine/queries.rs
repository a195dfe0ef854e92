//! Parsed permission queries, kept because callers send the same few texts again and again.

use std::sync::Arc;

use keyplane_core::permission::{Query, QueryError};
use moka::sync::Cache;

/// Bytes of queries kept, each with its text and its tree: 16 MiB, which is 30,000 of the usual ones (30 bytes) or 2,000 of the longest
/// (1,000 bytes). A query that was forgotten is parsed again in about a microsecond.
const CAPACITY: u64 = 16 * 1024 * 1024;
/// What a query takes beside its text, in bytes: entry and bookkeeping of the cache.
const ENTRY: usize = 300;
/// Bytes of tree for one byte of text at the most: `a or b` has a node of 24 bytes and a text of its own (16 with the allocator's part) for
/// five bytes, and a growing list is up to half empty.
const TREE: usize = 13;

pub(super) struct Queries(Cache<Box<str>, Arc<Query>>);

impl Default for Queries {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl Queries {
    fn with_capacity(bytes: u64) -> Self {
        let cache = Cache::<Box<str>, Arc<Query>>::builder().max_capacity(bytes);
        Self(cache.weigher(|text, _| u32::try_from(weight(text)).unwrap_or(u32::MAX)).build())
    }

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

/// In bytes, rather too much than too little.
const fn weight(text: &str) -> usize {
    ENTRY + text.len() * (1 + TREE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_kept_up_to_a_weight() {
        let queries = Queries::with_capacity(100_000);
        for n in 0..10_000 {
            queries.parsed(&format!("p.{n} AND {}", "q".repeat(1 + n % 900))).unwrap();
        }
        assert!(queries.parsed("not a query").is_err());
        queries.0.run_pending_tasks();
        let (held, kept) = (queries.0.weighted_size(), queries.0.entry_count());
        assert!(held <= 100_000 && kept > 0, "{held} bytes in {kept}");
        let text: usize = queries.0.iter().map(|(text, _)| weight(&text)).sum();
        assert_eq!(u64::try_from(text).unwrap(), held, "what is held is what was weighed");
    }
}
