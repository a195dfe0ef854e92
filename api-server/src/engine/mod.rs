//! The one synchronous call behind every wire: index, and later counters and events.
//!
//! The engine knows no HTTP and does no I/O; a wire (v2, v1, gateways) only translates to [`Request`] and from [`Verdict`].

mod asker;
mod conclude;
mod find;
mod kept;
mod pay;
mod queries;
mod rate_limit;

use std::net::IpAddr;
use std::sync::Arc;

use keyplane_core::hash::KeyHash;
use keyplane_core::key;
use keyplane_core::limit::{Decision, Item};
use keyplane_core::permission::{Query, QueryError};
use keyplane_core::plan::{PlanError, Planned, Requested, plan};
use keyplane_core::prefixed::{NotPrefixed, Prefixed};
use keyplane_core::record::KeyRecord;
use keyplane_core::time::Millis;
use keyplane_core::verify::{Code, verify};
use smallvec::SmallVec;

use self::asker::Asker;
pub use self::kept::Kept;
use self::queries::Queries;
pub use self::rate_limit::{LimitRequest, Limited, RateLimitError};
use crate::counters::{Account, Counters, NeedsLease};
use crate::credits::{Balances, Wait};
use crate::events::Events;
use crate::index::{CallerEntry, Index};
use crate::migration::Migrations;

/// See the module. Shared by all workers; nothing in it is locked on the way of a verification.
pub struct Engine {
    index: Arc<Index>,
    counters: Arc<dyn Counters>,
    balances: Arc<Balances>,
    migrations: Arc<Migrations>,
    events: Arc<Events>,
    queries: Queries,
}

/// What a caller asks about one key.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// SHA-256 of the plain key; `None` for a text that can't be a key, which is not found. The plain key itself never reaches the engine.
    pub hash: Option<KeyHash>,
    /// The key taken apart, when the request names a migration: it is found by that where it is not found by its hash.
    pub prefixed: Option<Result<Prefixed, NotPrefixed>>,
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
        Self::presented(Some(hash))
    }

    /// The same for a text of which it is not certain that it can be a key, see [`keyplane_core::key::presented`].
    pub const fn presented(hash: Option<KeyHash>) -> Self {
        Self { hash, prefixed: None, permissions: None, keyspaces: &[], client: None, limits: &[], cost: 1 }
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

/// Holds the key that a verification found, so that the verdict can borrow from it: nothing of a key is copied to answer about it.
#[derive(Clone, Debug, Default)]
pub struct Found(Option<Arc<KeyRecord>>);

/// The answer. It borrows from the [`Found`] and from the request.
#[derive(Clone, Debug)]
pub struct Verdict<'v> {
    /// The outcome.
    pub code: Code,
    /// The key; `None` exactly when the outcome is [`Code::NotFound`].
    pub key: Option<&'v KeyRecord>,
    /// The limits that were evaluated: none when something earlier decided.
    pub limits: Vec<EvaluatedLimit<'v>>,
    /// The balance after it; `None` for a key that may be used without end.
    pub credits: Option<u64>,
    /// Set when the key passed everything but could not pay yet: the disk must give up more of its balance. Wait, and then call
    /// [`Engine::pay`]; until that is done the outcome is [`Code::UsageExceeded`].
    pub unpaid: Option<Wait>,
}

impl Verdict<'_> {
    const NOT_FOUND: Self = Self { code: Code::NotFound, key: None, limits: Vec::new(), credits: None, unpaid: None };
}

/// One limit of a verification, as it stands after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluatedLimit<'v> {
    /// The configured limit's id; empty for one of the request's own.
    pub id: &'v str,
    /// Its name.
    pub name: &'v str,
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
    /// The request names a migration and the key, which is not found by its hash, can't be taken apart.
    #[error(transparent)]
    NotPrefixed(#[from] NotPrefixed),
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
        Self {
            index,
            counters,
            balances: Arc::new(Balances::in_memory()),
            migrations: Arc::default(),
            events: Arc::default(),
            queries: Queries::default(),
        }
    }

    /// With these balances.
    #[must_use]
    pub fn with_balances(self, balances: Arc<Balances>) -> Self {
        Self { balances, ..self }
    }

    /// With these keys learnt.
    #[must_use]
    pub fn with_migrations(self, migrations: Arc<Migrations>) -> Self {
        Self { migrations, ..self }
    }

    /// With these events.
    #[must_use]
    pub fn with_events(self, events: Arc<Events>) -> Self {
        Self { events, ..self }
    }

    /// Does something for whoever calls. Cost: one SHA-256 and one search. The caller is borrowed and not counted on: all threads would
    /// meet at the count of a busy one.
    ///
    /// # Errors
    /// The caller is turned away; nothing was done.
    pub fn as_caller<R>(
        &self,
        token: &str,
        now: Millis,
        act: impl FnOnce(&CallerEntry) -> R,
    ) -> Result<R, CallerError> {
        self.as_caller_with(key::presented(token), now, act)
    }

    /// The same for a root key of which the SHA-256 is known; `None` for a text that can't be one. Cost: one search.
    ///
    /// # Errors
    /// The caller is turned away; nothing was done.
    pub fn as_caller_with<R>(
        &self,
        hash: Option<KeyHash>,
        now: Millis,
        act: impl FnOnce(&CallerEntry) -> R,
    ) -> Result<R, CallerError> {
        let over = |end: Option<Millis>| end.is_some_and(|end| now > end);
        let hash = hash.ok_or(CallerError::Unknown)?;
        let admitted = self.index.read_caller(&hash, |entry| {
            if !entry.record.enabled {
                Err(CallerError::Disabled)
            } else if over(entry.record.expires) || over(entry.valid_until) {
                Err(CallerError::Expired)
            } else {
                Ok(act(entry))
            }
        });
        admitted.unwrap_or(Err(CallerError::Unknown))
    }

    /// Who calls, to be kept.
    ///
    /// # Errors
    /// As for [`Self::as_caller`].
    pub fn caller(&self, token: &str, now: Millis) -> Result<CallerEntry, CallerError> {
        self.as_caller(token, now, CallerEntry::clone)
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
    pub fn verify<'v>(
        &self,
        caller: &CallerEntry,
        request: &Request<'v>,
        found: &'v mut Found,
        now: Millis,
    ) -> Result<Verdict<'v>, VerifyError> {
        self.verify_for(Asker::Caller(caller), request, found, now)
    }

    /// Verifies a key of this namespace for anyone who holds it, as the v1 API does.
    ///
    /// A key outside the wanted keyspaces is `FORBIDDEN` here, unless it is disabled, and a limit that would count for the key alone counts
    /// for its identity if it has one. Everything else is as for a caller.
    ///
    /// # Errors
    /// See [`VerifyError`]. Nothing was counted.
    pub fn verify_for_anyone<'v>(
        &self,
        namespace: &str,
        request: &Request<'v>,
        found: &'v mut Found,
        now: Millis,
    ) -> Result<Verdict<'v>, VerifyError> {
        match self.index.namespace(namespace) {
            Some(namespace) => self.verify_for(Asker::Anyone(namespace), request, found, now),
            None => Ok(Verdict::NOT_FOUND),
        }
    }

    fn verify_for<'v>(
        &self,
        asker: Asker<'_>,
        request: &Request<'v>,
        found: &'v mut Found,
        now: Millis,
    ) -> Result<Verdict<'v>, VerifyError> {
        let Some(hash) = request.hash else { return Ok(Verdict::NOT_FOUND) };
        let Some((record, valid_until)) = self.find(asker, request, hash, now)? else {
            return Ok(Verdict::NOT_FOUND);
        };
        let record: &KeyRecord = found.0.insert(record);
        let parsed = match request.permissions {
            Some(Permissions::Text(text)) => Some(self.queries.parsed(text)?),
            Some(Permissions::Query(_)) | None => None,
        };
        let query = match request.permissions {
            Some(Permissions::Query(query)) => Some(query),
            Some(Permissions::Text(_)) | None => parsed.as_deref(),
        };
        let mut code = if asker.refuses(request, record) {
            Code::Forbidden
        } else {
            verify(record, valid_until, request.client, query, now)
        };
        let mut limits = Vec::new();
        if code == Code::Valid {
            let owner = record.owner();
            let planned = asker.counted(owner, plan(owner, record.limits(), request.limits)?);
            let within;
            let account = Account::of_key(asker.namespace(), hash.prefix());
            (within, limits) = self.evaluate(account, &planned, now)?;
            code = if within { Code::Valid } else { Code::RateLimited };
        }
        let mut verdict = Verdict { code, key: Some(record), limits, credits: None, unpaid: None };
        if verdict.code == Code::Valid {
            self.pay(&mut verdict, request.cost, now);
        } else {
            self.show_balance(&mut verdict, now);
        }
        Ok(verdict)
    }

    fn evaluate<'v>(
        &self,
        account: Account,
        planned: &[Planned<'v>],
        now: Millis,
    ) -> Result<(bool, Vec<EvaluatedLimit<'v>>), VerifyError> {
        if planned.is_empty() {
            return Ok((true, Vec::new()));
        }
        let items: SmallVec<[Item; 4]> =
            planned.iter().map(|p| Item { counter: p.counter, rule: p.rule, cost: p.cost }).collect();
        let batch = self.counters.evaluate(account, &items, now).map_err(VerifyError::Lease)?;
        let evaluated = planned.iter().zip(batch.items).map(|(planned, decision)| EvaluatedLimit {
            id: planned.id,
            name: planned.name,
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
