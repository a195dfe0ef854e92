//! `ratelimit.limit`: a limit on an identifier that the caller chooses, with or without a `RateLimit` object of that name.

use keyplane_api::limit_record::rate_limit_id;
use keyplane_core::counter_id::{CounterId, Subject};
use keyplane_core::limit::{Algorithm, Decision, Item, Limit, LimitError, Rule};
use keyplane_core::permission::Action;
use keyplane_core::time::Millis;

use super::Engine;
use crate::counters::{Account, NeedsLease};
use crate::index::{CallerEntry, NamedLimits};

/// One thing to limit.
#[derive(Clone, Copy, Debug)]
pub struct LimitRequest<'a> {
    /// The name or the id of the limit, which Unkey calls a namespace. It needs no object.
    pub name: &'a str,
    /// Whom to limit.
    pub identifier: &'a str,
    /// How much one window admits, unless an override says otherwise.
    pub limit: i64,
    /// The window in milliseconds, likewise.
    pub window_ms: i64,
    /// How much; 0 asks without counting.
    pub cost: u64,
}

/// The answer to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limited {
    /// The limit that counted.
    pub limit: u64,
    /// Within it or not, how much is left and until when.
    pub decision: Decision,
    /// The override that counted.
    pub override_id: Option<String>,
}

/// Why limits can't be evaluated. Nothing was counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateLimitError {
    /// The caller may not.
    #[error("Missing one of these permissions: ratelimit.*.limit or ratelimit.{0}.limit")]
    Forbidden(String),
    /// The numbers are no limit.
    #[error("{0}")]
    Limit(#[from] LimitError),
    /// A counter needs a lease first.
    #[error("a shared counter must be asked first")]
    Lease(NeedsLease),
}

struct Resolved {
    item: Item,
    override_id: Option<String>,
}

impl Engine {
    /// Evaluates limits for a caller, all or nothing: returns whether everything was within its limit, and each answer in order.
    ///
    /// # Errors
    /// See [`RateLimitError`].
    pub fn rate_limit(
        &self,
        caller: &CallerEntry,
        requests: &[LimitRequest<'_>],
        now: Millis,
    ) -> Result<(bool, Vec<Limited>), RateLimitError> {
        let named = self.index.limits(caller.namespace).unwrap_or_default();
        let resolved: Vec<Resolved> =
            requests.iter().map(|request| resolve(caller, &named, request)).collect::<Result<_, _>>()?;
        let items: Vec<Item> = resolved.iter().map(|resolved| resolved.item).collect();
        let account = Account::of_namespace(caller.namespace);
        let batch = self.counters.evaluate(account, &items, now).map_err(RateLimitError::Lease)?;
        let answers = resolved.into_iter().zip(batch.items).map(|(resolved, decision)| Limited {
            limit: resolved.item.rule.limit.count(),
            decision,
            override_id: resolved.override_id,
        });
        Ok((batch.passed, answers.collect()))
    }
}

fn resolve(caller: &CallerEntry, named: &NamedLimits, request: &LimitRequest<'_>) -> Result<Resolved, RateLimitError> {
    let namespace = &*caller.record.namespace;
    let known = named.get(request.name);
    let name = known.map_or(request.name, |known| &known.name);
    let id = known.map_or_else(|| rate_limit_id(namespace, request.name), |known| known.id.to_string());
    let wanted = Action { resource: "ratelimit", id: Some(&id), collection: "ratelimits", action: "limit" };
    if !caller.record.grants.allow(&wanted) {
        return Err(RateLimitError::Forbidden(id));
    }
    let exception = known.and_then(|known| known.overrides.lookup(request.identifier)).map(|(_, exception)| exception);
    let limit = match exception {
        Some(exception) => exception.limit,
        None => Limit::new(request.limit, request.window_ms)?,
    };
    let rule = Rule { limit, algorithm: known.map_or(Algorithm::SlidingWindow, |known| known.algorithm) };
    let counter = CounterId::limit(namespace, name, Subject::Identifier(request.identifier), limit.window_ms());
    let item = Item { counter, rule, cost: request.cost };
    Ok(Resolved { item, override_id: exception.map(|exception| exception.id.to_string()) })
}
