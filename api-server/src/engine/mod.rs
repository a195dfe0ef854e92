//! The one synchronous call behind every wire: index, and later counters and events.
//!
//! The engine knows no HTTP and does no I/O; a wire (v2, v1, gateways) only translates to [`Request`] and from [`Verdict`].

mod queries;

use std::sync::Arc;

use keyplane_core::hash::KeyHash;
use keyplane_core::permission::{Action, QueryError};
use keyplane_core::record::KeyRecord;
use keyplane_core::time::Millis;
use keyplane_core::verify::{Code, verify};

use self::queries::Queries;
use crate::index::{CallerEntry, Index, KeyEntry};

/// See the module. Shared by all workers; nothing in it is locked on the way of a verification.
pub struct Engine {
    index: Arc<Index>,
    queries: Queries,
}

/// What a caller asks about one key.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// SHA-256 of the plain key. The plain key itself never reaches the engine.
    pub hash: KeyHash,
    /// Permission query.
    pub permissions: Option<&'a str>,
    /// Ids of the keyspaces to which the key must belong; empty for any.
    pub keyspaces: &'a [&'a str],
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The outcome.
    pub code: Code,
    /// The key; `None` exactly when the outcome is [`Code::NotFound`].
    pub record: Option<Arc<KeyRecord>>,
}

/// Why a caller is turned away. What it shows is the same for a key that exists and one that doesn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallerError {
    /// No such root key; also an ordinary key used as one.
    #[error("root key not found")]
    Unknown,
    /// Switched off.
    #[error("root key is disabled")]
    Disabled,
    /// Past its end.
    #[error("root key has expired")]
    Expired,
}

impl Engine {
    /// An engine over this index.
    pub fn new(index: Arc<Index>) -> Self {
        Self { index, queries: Queries::default() }
    }

    /// Who calls. Cost: one SHA-256 and one search.
    pub fn caller(&self, token: &str, now: Millis) -> Result<CallerEntry, CallerError> {
        let entry = self.index.caller(&KeyHash::of(token)).ok_or(CallerError::Unknown)?;
        let over = |end: Option<Millis>| end.is_some_and(|end| now > end);
        if !entry.record.enabled {
            Err(CallerError::Disabled)
        } else if over(entry.record.expires) || over(entry.valid_until) {
            Err(CallerError::Expired)
        } else {
            Ok(entry)
        }
    }

    /// Verifies a key for a caller.
    ///
    /// A key of another namespace, one outside the wanted keyspaces and one that the caller may not verify are all `NOT_FOUND`: the
    /// answer is no oracle for what exists. The permission query is read only for a key that was found, before its state is looked at.
    ///
    /// # Errors
    /// The permission query can't be parsed.
    pub fn verify(&self, caller: &CallerEntry, request: &Request<'_>, now: Millis) -> Result<Verdict, QueryError> {
        let found = self.index.key(caller.namespace, &request.hash, |entry| {
            Self::visible(caller, request, entry).then(|| (entry.record.clone(), entry.valid_until))
        });
        let Some((record, valid_until)) = found.flatten() else {
            return Ok(Verdict { code: Code::NotFound, record: None });
        };
        let query = request.permissions.map(|text| self.queries.parsed(text)).transpose()?;
        let code = verify(&record, valid_until, query.as_deref(), now);
        Ok(Verdict { code, record: Some(record) })
    }

    fn visible(caller: &CallerEntry, request: &Request<'_>, entry: &KeyEntry) -> bool {
        let keyspace = &*entry.record.keyspace_id;
        let wanted = Action { resource: "api", id: Some(keyspace), collection: "keyspaces", action: "verify_key" };
        (request.keyspaces.is_empty() || request.keyspaces.contains(&keyspace)) && caller.record.grants.allow(&wanted)
    }
}

#[cfg(test)]
mod tests;
