//! The one synchronous call behind every wire: index, and later counters and events.
//!
//! The engine knows no HTTP and does no I/O; a wire (v2, v1, gateways) only translates to [`Request`] and from [`Verdict`].

mod asker;
mod pay;
mod queries;
mod rate_limit;

use std::net::IpAddr;
use std::sync::Arc;

use keyplane_core::hash::KeyHash;
use keyplane_core::limit::{Decision, Item};
use keyplane_core::permission::{Query, QueryError};
use keyplane_core::plan::{PlanError, Planned, Requested, plan};
use keyplane_core::record::KeyRecord;
use keyplane_core::time::Millis;
use keyplane_core::verify::{Code, verify};

use self::asker::Asker;
use self::queries::Queries;
pub use self::rate_limit::{LimitRequest, Limited, RateLimitError};
use crate::counters::{Counters, NeedsLease};
use crate::credits::{Balances, Wait};
use crate::index::{CallerEntry, Index};

/// See the module. Shared by all workers; nothing in it is locked on the way of a verification.
pub struct Engine {
    index: Arc<Index>,
    counters: Arc<dyn Counters>,
    balances: Arc<Balances>,
    queries: Queries,
}

/// What a caller asks about one key.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// SHA-256 of the plain key. The plain key itself never reaches the engine.
    pub hash: KeyHash,
    /// Permission query.
    pub permissions: Option<Permissions<'a>>,
    /// Ids of the keyspaces to which the key must belong; empty for any.
    pub keyspaces: &'a [&'a str],
    /// The address of the key's user; `None` when it is not known.
    pub client: Option<IpAddr>,
    /// Limits to evaluate besides those that apply automatically, or instead of their defaults.
    pub limits: &'a [Requested<'a>],
    /// How many credits a valid key pays, if it has a balance.
    pub cost: u64,
}

impl Request<'_> {
    /// Asks for the key alone.
    pub const fn new(hash: KeyHash) -> Self {
        Self { hash, permissions: None, keyspaces: &[], client: None, limits: &[], cost: 1 }
    }
}

/// A permission query in the form in which its wire has it.
#[derive(Clone, Copy, Debug)]
pub enum Permissions<'a> {
    /// To be parsed, or found parsed.
    Text(&'a str),
    /// Built from another form.
    Query(&'a Query),
}

impl Request<'_> {
    /// Whether the key is of one of the wanted keyspaces.
    fn wants(&self, key: &KeyRecord) -> bool {
        self.keyspaces.is_empty() || self.keyspaces.contains(&&*key.keyspace_id)
    }
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
    /// The balance after it; `None` for a key that may be used without end.
    pub credits: Option<u64>,
    /// Set when the key passed everything but could not pay yet: the disk must give up more of its balance. Wait, and then call
    /// [`Engine::pay`]; until that is done the outcome is [`Code::UsageExceeded`].
    pub unpaid: Option<Wait>,
}

impl Verdict {
    const NOT_FOUND: Self =
        Self { code: Code::NotFound, record: None, limits: Vec::new(), credits: None, unpaid: None };
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
    /// An engine over this index and these counters, with balances in memory.
    pub fn new(index: Arc<Index>, counters: Arc<dyn Counters>) -> Self {
        Self { index, counters, balances: Arc::new(Balances::in_memory()), queries: Queries::default() }
    }

    /// With these balances.
    #[must_use]
    pub fn with_balances(self, balances: Arc<Balances>) -> Self {
        Self { balances, ..self }
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
    /// Limits come then, and only for a key that is valid so far; all of them are counted, or none is. Credits come last: a key without
    /// enough of them has been counted by its limits all the same. A verdict with `unpaid` is not the last word.
    ///
    /// # Errors
    /// See [`VerifyError`]. Nothing was counted.
    pub fn verify(&self, caller: &CallerEntry, request: &Request<'_>, now: Millis) -> Result<Verdict, VerifyError> {
        self.verify_for(Asker::Caller(caller), request, now)
    }

    /// Verifies a key of this namespace for anyone who holds it, as the v1 API does.
    ///
    /// A key outside the wanted keyspaces is `FORBIDDEN` here, unless it is disabled, and a limit that would count for the key alone counts
    /// for its identity if it has one. Everything else is as for a caller.
    ///
    /// # Errors
    /// See [`VerifyError`]. Nothing was counted.
    pub fn verify_for_anyone(
        &self,
        namespace: &str,
        request: &Request<'_>,
        now: Millis,
    ) -> Result<Verdict, VerifyError> {
        match self.index.namespace(namespace) {
            Some(namespace) => self.verify_for(Asker::Anyone(namespace), request, now),
            None => Ok(Verdict::NOT_FOUND),
        }
    }

    fn verify_for(&self, asker: Asker<'_>, request: &Request<'_>, now: Millis) -> Result<Verdict, VerifyError> {
        let found = self.index.key(asker.namespace(), &request.hash, |entry| {
            asker.sees(request, &entry.record).then(|| (entry.record.clone(), entry.valid_until))
        });
        let Some((record, valid_until)) = found.flatten() else {
            return Ok(Verdict::NOT_FOUND);
        };
        let parsed = match request.permissions {
            Some(Permissions::Text(text)) => Some(self.queries.parsed(text)?),
            Some(Permissions::Query(_)) | None => None,
        };
        let query = match request.permissions {
            Some(Permissions::Query(query)) => Some(query),
            Some(Permissions::Text(_)) | None => parsed.as_deref(),
        };
        let mut code = if asker.refuses(request, &record) {
            Code::Forbidden
        } else {
            verify(&record, valid_until, request.client, query, now)
        };
        let mut limits = Vec::new();
        if code == Code::Valid {
            let owner = record.owner();
            let planned = asker.counted(owner, plan(owner, record.limits(), request.limits)?);
            let within;
            (within, limits) = self.evaluate(&planned, now)?;
            code = if within { Code::Valid } else { Code::RateLimited };
        }
        let mut verdict = Verdict { code, record: Some(record), limits, credits: None, unpaid: None };
        if verdict.code == Code::Valid {
            self.pay(&mut verdict, request.cost, now);
        } else {
            self.show_balance(&mut verdict, now);
        }
        Ok(verdict)
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
}

#[cfg(test)]
mod tests;
