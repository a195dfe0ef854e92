//! The verdict about one key that was found, for a caller that may ask.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::permission::Query;
use crate::record::KeyRecord;
use crate::time::Millis;

/// The outcome of a verification, spelled as Unkey's API spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// The key may be used.
    Valid,
    /// No such key, or the caller may not know of it.
    NotFound,
    /// The address of the key's user is not allowed.
    Forbidden,
    /// The permission query doesn't hold.
    InsufficientPermissions,
    /// No credits left.
    UsageExceeded,
    /// Over a rate limit.
    RateLimited,
    /// Switched off.
    Disabled,
    /// Past its end.
    Expired,
}

impl Code {
    /// Every code, for metrics and tables.
    pub const ALL: [Self; 8] = [
        Self::Valid,
        Self::NotFound,
        Self::Forbidden,
        Self::InsufficientPermissions,
        Self::UsageExceeded,
        Self::RateLimited,
        Self::Disabled,
        Self::Expired,
    ];

    /// The spelling on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "VALID",
            Self::NotFound => "NOT_FOUND",
            Self::Forbidden => "FORBIDDEN",
            Self::InsufficientPermissions => "INSUFFICIENT_PERMISSIONS",
            Self::UsageExceeded => "USAGE_EXCEEDED",
            Self::RateLimited => "RATE_LIMITED",
            Self::Disabled => "DISABLED",
            Self::Expired => "EXPIRED",
        }
    }
}

/// Decides about a key that was found under one of its hashes.
///
/// The order is that of the API: disabled before expired before the address before permissions; the first that fails is the answer.
/// `client` is the address of the key's user, `None` when it is not known: a key that may be used from some addresses only is then refused. `valid_until` is the
/// end of that hash (a rotated-out key), `record.expires` the end of the key; both count until their very millisecond is over.
/// Cost: no allocation; a walk over the query.
pub fn verify(
    record: &KeyRecord,
    valid_until: Option<Millis>,
    client: Option<IpAddr>,
    query: Option<&Query>,
    now: Millis,
) -> Code {
    let over = |end: Option<Millis>| end.is_some_and(|end| now > end);
    if !record.enabled {
        Code::Disabled
    } else if over(record.expires) || over(valid_until) {
        Code::Expired
    } else if record.allowed.as_ref().is_some_and(|allowed| !allowed.allows(client)) {
        Code::Forbidden
    } else if query.is_some_and(|query| !query.holds(&|permission| record.has_permission(permission))) {
        Code::InsufficientPermissions
    } else {
        Code::Valid
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::address::AllowList;
    use crate::record::{PermissionList, Place};

    const NOW: Millis = Millis(1_000);

    fn record() -> KeyRecord {
        let list = PermissionList { permissions: ["invoices.read".into()].into(), own: 1, ..PermissionList::default() };
        let mut record = KeyRecord::bare("key_1", "team-a".into(), "acme", "api_1");
        record.permission_set = Arc::new(list.into());
        record
    }

    fn code(change: impl FnOnce(&mut KeyRecord), valid_until: Option<Millis>, query: Option<&str>) -> Code {
        let mut record = record();
        change(&mut record);
        let query = query.map(|text| Query::parse(text).unwrap());
        verify(&record, valid_until, None, query.as_ref(), NOW)
    }

    #[test]
    fn a_plain_key_is_valid() {
        assert_eq!(code(|_| (), None, None), Code::Valid);
        assert_eq!(code(|_| (), None, Some("invoices.read")), Code::Valid);
    }

    #[test]
    fn a_key_lives_until_its_last_millisecond_is_over() {
        assert_eq!(code(|r| r.expires = Some(NOW), None, None), Code::Valid);
        assert_eq!(code(|r| r.expires = Some(NOW.plus(-1)), None, None), Code::Expired);
        assert_eq!(code(|_| (), Some(NOW), None), Code::Valid);
        assert_eq!(code(|_| (), Some(NOW.plus(-1)), None), Code::Expired);
    }

    #[test]
    fn disabled_comes_before_expired_before_permissions() {
        let missing = Some("invoices.write");
        assert_eq!(code(|_| (), None, missing), Code::InsufficientPermissions);
        assert_eq!(code(|r| r.expires = Some(Millis(0)), None, missing), Code::Expired);
        let disabled = |r: &mut KeyRecord| (r.enabled, r.expires) = (false, Some(Millis(0)));
        assert_eq!(code(disabled, None, missing), Code::Disabled);
    }

    #[test]
    fn an_address_counts_where_the_keyspace_lists_some() {
        let allowed = Some(Arc::new(AllowList::parse(["10.0.0.0/8"]).unwrap()));
        let mut record = record();
        record.place = Arc::new(Place { allowed, ..Place::clone(&record.place) });
        let from = |client: Option<&str>, query: Option<&Query>| {
            verify(&record, None, client.map(|client| client.parse().unwrap()), query, NOW)
        };
        assert_eq!(from(Some("10.1.2.3"), None), Code::Valid);
        assert_eq!(from(Some("11.1.2.3"), None), Code::Forbidden);
        assert_eq!(from(None, None), Code::Forbidden, "an unknown address is none of them");
        let missing = Query::parse("invoices.write").unwrap();
        assert_eq!(from(None, Some(&missing)), Code::Forbidden, "before permissions");
    }

    #[test]
    fn codes_are_spelled_as_they_serialize() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
