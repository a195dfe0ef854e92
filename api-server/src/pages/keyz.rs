//! `/keyz/{keyId}`: what this pod believes about one key, and why it would be refused now. Never the key, and never its hash.
//!
//! **Cost**: the index is found by hash, so a key is found by its id by looking at every record: some tens of milliseconds for a million.

use keyplane_core::limit::Item;
use keyplane_core::record::{KeyRecord, ServedHash};
use keyplane_core::time::Millis;
use keyplane_core::verify::{Code, verify};
use serde::Serialize;
use zpages::{Lines, NotFound, Page, PageKind};

use super::{GROUP, VERSIONS, or_dash, time};
use crate::counters::{Account, Counters};
use crate::credits::Balances;
use crate::index::Index;

/// The page.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Keyz {
    key_id: String,
    namespace: String,
    /// The `ApiKey` object.
    object_name: String,
    keyspace: String,
    keyspace_id: String,
    enabled: bool,
    expires: Option<String>,
    /// One for each hash under which the key is found.
    served: Vec<Served>,
    identity: Option<Identity>,
    permissions: Vec<String>,
    roles: Vec<String>,
    /// It may be used from some addresses only.
    addresses_restricted: bool,
    meta_bytes: usize,
    limits: Vec<Applied>,
    /// What is left; `null` for a key that may be used without end.
    credits: Option<u64>,
    verdict: Verdict,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Served {
    /// The end of a rotated-out key; `null` for the current one.
    valid_until: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    id: String,
    external_id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Applied {
    id: String,
    name: String,
    limit: u64,
    window_ms: i64,
    auto_apply: bool,
    remaining: u64,
    reset: String,
}

/// What a verification of the current key, without a permission query, would say now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    code: &'static str,
    why: String,
}

impl Keyz {
    pub(super) fn read(
        key_id: &str,
        index: &Index,
        counters: &dyn Counters,
        balances: Option<&Balances>,
        now: Millis,
    ) -> Result<Self, NotFound> {
        let found = index.find_key(|record| record.id() == key_id);
        let (namespace, record) = found.ok_or_else(|| {
            NotFound(format!("this pod knows no key {key_id:?}; /cachez says what it holds, /feedz how old that is"))
        })?;
        // A peek: items without a cost count nothing and are held by no account.
        let limits: Vec<_> = record.limits().unshadowed().collect();
        let item =
            |limit: &&keyplane_core::plan::Configured| Item { counter: limit.counter, rule: limit.rule, cost: 0 };
        let items: Vec<Item> = limits.iter().map(item).collect();
        let peeked = counters.evaluate(Account::of_namespace(namespace), &items, now);
        let decisions = peeked.map(|batch| batch.items).unwrap_or_default();
        let limits = limits.iter().zip(decisions).map(|(limit, decision)| Applied {
            id: limit.id.to_string(),
            name: limit.name.to_string(),
            limit: limit.rule.limit.count(),
            window_ms: limit.rule.limit.window_ms(),
            auto_apply: limit.auto_apply,
            remaining: decision.remaining,
            reset: time(decision.reset),
        });
        let credits = record.credits.as_ref().and_then(|credits| Some(balances?.peek(credits, now)));
        Ok(Self::of(&record, limits.collect(), credits, now))
    }

    fn of(record: &KeyRecord, limits: Vec<Applied>, credits: Option<u64>, now: Millis) -> Self {
        let served = |served: ServedHash| Served { valid_until: served.valid_until.map(time) };
        Self {
            key_id: record.id().to_owned(),
            namespace: record.namespace.to_string(),
            object_name: record.object_name().to_owned(),
            keyspace: record.place.keyspace.to_string(),
            keyspace_id: record.keyspace_id.to_string(),
            enabled: record.enabled,
            expires: record.expires.map(time),
            served: record.hashes().map(served).collect(),
            identity: record.identity.as_ref().map(|identity| Identity {
                id: identity.id.to_string(),
                external_id: identity.external_id.to_string(),
            }),
            permissions: record.permissions().iter().map(ToString::to_string).collect(),
            roles: record.roles().iter().map(ToString::to_string).collect(),
            addresses_restricted: record.allowed.is_some(),
            meta_bytes: record.meta_json().map_or(0, str::len),
            verdict: Verdict::of(record, &limits, credits, now),
            limits,
            credits,
        }
    }
}

impl Verdict {
    /// In the order of a verification: the key, its addresses, its limits, its credits.
    fn of(record: &KeyRecord, limits: &[Applied], credits: Option<u64>, now: Millis) -> Self {
        let refused = |code: Code, why: String| Self { code: code.as_str(), why };
        let spent = limits.iter().find(|limit| limit.auto_apply && limit.remaining == 0);
        match verify(record, None, None, None, now) {
            Code::Disabled => refused(Code::Disabled, "spec.enabled is false".to_owned()),
            Code::Expired => refused(Code::Expired, format!("it expired at {}", or_dash(record.expires.map(time)))),
            _ if record.allowed.is_some() => {
                let why = "it may be used from the keyspace's allowed addresses only; from those it would be ";
                let rest = Self::of_counts(spent, credits);
                refused(Code::Forbidden, format!("{why}{}: {}", rest.code, rest.why))
            }
            _ => Self::of_counts(spent, credits),
        }
    }

    fn of_counts(spent: Option<&Applied>, credits: Option<u64>) -> Self {
        let (code, why) = match (spent, credits) {
            (Some(limit), _) => {
                (Code::RateLimited, format!("its limit {:?} has nothing left until {}", limit.name, limit.reset))
            }
            (None, Some(0)) => (Code::UsageExceeded, "its credits are spent".to_owned()),
            (None, _) => (Code::Valid, "nothing that this pod knows refuses it".to_owned()),
        };
        Self { code: code.as_str(), why }
    }
}

impl Page for Keyz {
    const KIND: &'static PageKind = &PageKind { group: GROUP, kind: "Keyz", versions: &VERSIONS };

    fn text(&self) -> String {
        let mut lines = Lines::new();
        lines.fact("Key", &self.key_id);
        lines.fact("Object", format!("{}/{}", self.namespace, self.object_name));
        lines.fact("Keyspace", format!("{} ({})", self.keyspace, self.keyspace_id));
        lines.fact("Now", format!("{}: {}", self.verdict.code, self.verdict.why));
        lines.fact("Enabled", self.enabled);
        lines.fact("Expires", or_dash(self.expires.as_ref()));
        let ends = self.served.iter().map(|it| it.valid_until.as_ref().map_or("current", |end| end.as_str()));
        lines
            .fact("Served", if self.served.is_empty() { "no".to_owned() } else { ends.collect::<Vec<_>>().join(", ") });
        let identity = self.identity.as_ref().map(|it| format!("{} ({})", it.external_id, it.id));
        lines.fact("Identity", or_dash(identity));
        lines.fact("Permissions", self.permissions.join(" "));
        lines.fact("Roles", self.roles.join(" "));
        lines.fact("Addresses", if self.addresses_restricted { "restricted" } else { "any" });
        lines.fact("Meta", format!("{} bytes", self.meta_bytes));
        lines.fact("Credits", self.credits.map_or_else(|| "unlimited".to_owned(), |left| format!("{left} left")));
        let row = |it: &Applied| {
            let (limit, applies) = (format!("{} per {} ms", it.limit, it.window_ms), it.auto_apply.to_string());
            [it.name.clone(), it.id.clone(), limit, applies, it.remaining.to_string(), it.reset.clone()]
        };
        if !self.limits.is_empty() {
            let header = ["LIMIT", "ID", "ADMITS", "APPLIES BY ITSELF", "REMAINING", "RESET"];
            lines.table(header, self.limits.iter().map(row));
        }
        lines.into_text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_795_262_400_000);

    fn limit(auto_apply: bool, remaining: u64) -> Applied {
        let (id, name, reset) = ("rl_1".to_owned(), "requests".to_owned(), time(NOW.plus(5_000)));
        Applied { id, name, limit: 10, window_ms: 60_000, auto_apply, remaining, reset }
    }

    #[test]
    fn the_verdict_is_that_of_a_verification() {
        let key = || KeyRecord::bare("key_1", "team-a".into(), "one", "api_1");
        let of = |record: &KeyRecord, limits: &[Applied], credits| Verdict::of(record, limits, credits, NOW).code;
        assert_eq!(of(&key(), &[], None), "VALID");
        assert_eq!(of(&key(), &[limit(true, 1)], Some(1)), "VALID");
        assert_eq!(of(&key(), &[limit(false, 0)], None), "VALID", "a limit that must be asked for");
        assert_eq!(of(&key(), &[limit(true, 0)], Some(0)), "RATE_LIMITED");
        assert_eq!(of(&key(), &[], Some(0)), "USAGE_EXCEEDED");
        let mut expired = key();
        expired.expires = Some(NOW.plus(-1));
        assert_eq!(of(&expired, &[limit(true, 0)], None), "EXPIRED");
        expired.enabled = false;
        assert_eq!(of(&expired, &[], None), "DISABLED");
    }
}
