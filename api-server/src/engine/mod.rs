//! The one synchronous call behind every wire: index, and later counters and events.
//!
//! The engine knows no HTTP and does no I/O; a wire (v2, v1, gateways) only translates to [`Request`] and from [`Verdict`].

mod queries;
mod rate_limit;

use std::net::IpAddr;
use std::sync::Arc;

use keyplane_core::hash::KeyHash;
use keyplane_core::limit::{Decision, Item};
use keyplane_core::permission::{Action, QueryError};
use keyplane_core::plan::{PlanError, Planned, Requested, plan};
use keyplane_core::record::KeyRecord;
use keyplane_core::time::Millis;
use keyplane_core::verify::{Code, verify};

use self::queries::Queries;
pub use self::rate_limit::{LimitRequest, Limited, RateLimitError};
use crate::counters::{Counters, NeedsLease};
use crate::index::{CallerEntry, Index, KeyEntry};

/// See the module. Shared by all workers; nothing in it is locked on the way of a verification.
pub struct Engine {
    index: Arc<Index>,
    counters: Arc<dyn Counters>,
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
    /// The address of the key's user; `None` when it is not known.
    pub client: Option<IpAddr>,
    /// Limits to evaluate besides those that apply automatically, or instead of their defaults.
    pub limits: &'a [Requested<'a>],
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The outcome.
    pub code: Code,
    /// The key; `None` exactly when the outcome is [`Code::NotFound`].
    pub record: Option<Arc<KeyRecord>>,
    /// The limits that were evaluated: none when something earlier decided.
    pub limits: Vec<EvaluatedLimit>,
}

/// One limit of a verification, as it stands after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluatedLimit {
    /// The configured limit's id; empty for one of the request's own.
    pub id: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// How much one window admits.
    pub limit: u64,
    /// The window in milliseconds.
    pub window_ms: i64,
    /// Whether every verification counts.
    pub auto_apply: bool,
    /// Within the limit or not, how much is left and until when.
    pub decision: Decision,
}

/// A verification that has no verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The permission query can't be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A requested limit doesn't exist or is none.
    #[error(transparent)]
    Limit(#[from] PlanError),
    /// A counter needs a lease first; ask again when it is there.
    #[error("a shared counter must be asked first")]
    Lease(NeedsLease),
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
    /// An engine over this index and these counters.
    pub fn new(index: Arc<Index>, counters: Arc<dyn Counters>) -> Self {
        Self { index, counters, queries: Queries::default() }
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
    /// Limits come last and only for a key that is valid so far; all of them are counted, or none is.
    pub fn verify(&self, caller: &CallerEntry, request: &Request<'_>, now: Millis) -> Result<Verdict, VerifyError> {
        let found = self.index.key(caller.namespace, &request.hash, |entry| {
            Self::visible(caller, request, entry).then(|| (entry.record.clone(), entry.valid_until))
        });
        let Some((record, valid_until)) = found.flatten() else {
            return Ok(Verdict { code: Code::NotFound, record: None, limits: Vec::new() });
        };
        let query = request.permissions.map(|text| self.queries.parsed(text)).transpose()?;
        let mut code = verify(&record, valid_until, request.client, query.as_deref(), now);
        let mut limits = Vec::new();
        if code == Code::Valid {
            let planned = plan(record.owner(), record.limits(), request.limits)?;
            let within;
            (within, limits) = self.evaluate(&planned, now)?;
            code = if within { Code::Valid } else { Code::RateLimited };
        }
        Ok(Verdict { code, record: Some(record), limits })
    }

    fn evaluate(&self, planned: &[Planned<'_>], now: Millis) -> Result<(bool, Vec<EvaluatedLimit>), VerifyError> {
        if planned.is_empty() {
            return Ok((true, Vec::new()));
        }
        let items: Vec<Item> =
            planned.iter().map(|p| Item { counter: p.counter, rule: p.rule, cost: p.cost }).collect();
        let batch = self.counters.evaluate(&items, now).map_err(VerifyError::Lease)?;
        let evaluated = planned.iter().zip(batch.items).map(|(planned, decision)| EvaluatedLimit {
            id: planned.id.into(),
            name: planned.name.into(),
            limit: planned.rule.limit.count(),
            window_ms: planned.rule.limit.window_ms(),
            auto_apply: planned.auto_apply,
            decision,
        });
        Ok((batch.passed, evaluated.collect()))
    }

    fn visible(caller: &CallerEntry, request: &Request<'_>, entry: &KeyEntry) -> bool {
        let keyspace = &*entry.record.keyspace_id;
        let wanted = Action { resource: "api", id: Some(keyspace), collection: "keyspaces", action: "verify_key" };
        (request.keyspaces.is_empty() || request.keyspaces.contains(&keyspace)) && caller.record.grants.allow(&wanted)
    }
}

#[cfg(test)]
mod tests;
