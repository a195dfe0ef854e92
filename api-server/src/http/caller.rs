//! Who calls: the root key in the `Authorization` header, and from where.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use keyplane_core::address::forwarded_for;
use keyplane_core::hash::KeyHash;
use keyplane_core::key;
use keyplane_core::time::Millis;

use super::error::{ApiError, FieldError};
use super::known_caller::KnownCaller;
use crate::engine::Engine;
use crate::index::CallerEntry;

/// One connection, as operations see it; its requests share it.
#[derive(Debug, Default)]
pub struct Connection {
    peer: Option<Peer>,
    caller: KnownCaller,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub(crate) IpAddr);

impl Connection {
    /// From this address, if it is known.
    pub fn from_peer(peer: Option<Peer>) -> Self {
        Self { peer, caller: KnownCaller::default() }
    }
}

/// What an operation reads of a request besides its body. Of a header that comes twice the first counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) authorization: Option<&'a HeaderValue>,
    pub(crate) content_type: Option<&'a HeaderValue>,
    forwarded_for: Option<&'a HeaderValue>,
    connection: Option<&'a Connection>,
}

impl<'a> Head<'a> {
    /// Cost: one walk over the headers, of which requests have a handful.
    pub(crate) fn new(headers: &'a HeaderMap, connection: Option<&'a Connection>) -> Self {
        let mut head = Self { headers, authorization: None, content_type: None, forwarded_for: None, connection };
        for (name, value) in headers {
            let place = if name == AUTHORIZATION {
                &mut head.authorization
            } else if name == CONTENT_TYPE {
                &mut head.content_type
            } else if name == FORWARDED_FOR {
                &mut head.forwarded_for
            } else {
                continue;
            };
            place.get_or_insert(value);
        }
        head
    }

    /// Of a request that came by the router.
    pub(crate) fn of(parts: &'a Parts) -> Self {
        Self::new(&parts.headers, parts.extensions.get::<Arc<Connection>>().map(|connection| &**connection))
    }
}

/// A missing header is a failure of the request's form, found together with a malformed body and before any authentication.
pub(crate) fn check_present(head: Head<'_>) -> Result<(), FieldError> {
    if head.authorization.is_some() {
        return Ok(());
    }
    Err(FieldError {
        location: "header.Authorization".to_owned(),
        message: "the Authorization header is missing".to_owned(),
        fix: Some("send `Authorization: Bearer <root key>`".to_owned()),
    })
}

/// Does something for the caller, once the body has been found in order. The caller's record is looked up each time.
pub(crate) fn authenticated<R>(
    engine: &Engine,
    head: Head<'_>,
    now: Millis,
    act: impl FnOnce(&CallerEntry) -> R,
) -> Result<R, ApiError> {
    let Some(value) = head.authorization else { return Err(ApiError::Malformed("it is missing")) };
    let hash = match head.connection {
        Some(connection) => connection.caller.hash(value.as_bytes(), || presented(value))?,
        None => presented(value)?,
    };
    Ok(engine.as_caller_with(hash, now, act)?)
}

/// The SHA-256 of the root key in the header; `None` for a text that can't be one.
fn presented(value: &HeaderValue) -> Result<Option<KeyHash>, ApiError> {
    let Ok(value) = value.to_str() else { return Err(ApiError::Malformed("it is not ASCII")) };
    // The scheme is matched as written: `bearer` in lower case is malformed, as clients of this API know it.
    let Some(token) = value.strip_prefix("Bearer ").map(str::trim) else {
        return Err(ApiError::Malformed("it must be `Bearer <root key>`"));
    };
    if token.is_empty() {
        return Err(ApiError::Malformed("the token is empty"));
    }
    Ok(key::presented(token))
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the key's user: the first element of `X-Forwarded-For`, or, without one, whoever calls us. A header that is no address
/// is no address: falling back to the peer would let anyone in who can write a header.
pub(crate) fn client(head: Head<'_>) -> Option<IpAddr> {
    let peer = || head.connection.and_then(|connection| connection.peer).map(|Peer(address)| address);
    let Some(header) = head.forwarded_for else { return peer() };
    match header.to_str().map(forwarded_for) {
        Ok(Ok(None)) => peer(),
        Ok(Ok(address)) => address,
        Ok(Err(_)) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use keyplane_core::permission::Grants;
    use keyplane_core::record::RootRecord;

    use super::*;
    use crate::counters::Local;
    use crate::engine::CallerError;
    use crate::index::{Change, Index, NamespaceId, Namespaces};

    const TOKEN: &str = "a-root-key";

    fn put(namespace: NamespaceId, enabled: bool, expires: Option<Millis>) -> Change {
        let record =
            RootRecord { id: "rk_1".into(), namespace: "n".into(), enabled, expires, grants: Grants::default() };
        let entry = CallerEntry { namespace, valid_until: None, record: Arc::new(record) };
        Change::PutCaller(KeyHash::of(TOKEN), entry)
    }

    #[test]
    fn a_caller_that_is_revoked_is_turned_away_on_the_connection_that_knows_it() {
        let (index, connection, now) = (Arc::new(Index::default()), Connection::default(), Millis(7));
        let engine = Engine::new(index.clone(), Arc::new(Local::default()));
        let (namespace, _) = Namespaces::default().number("n");
        let ask = |token: &str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {token}").parse().unwrap())]);
            authenticated(&engine, Head::new(&headers, Some(&connection)), now, |caller| caller.record.id.clone())
        };
        assert_eq!(ask(TOKEN), Err(ApiError::Caller(CallerError::Unknown)));
        for _ in 0..2 {
            index.apply(vec![put(namespace, true, None)]);
            assert_eq!((ask(TOKEN), ask(TOKEN)), (Ok("rk_1".into()), Ok("rk_1".into())));
            assert_eq!(ask("another"), Err(ApiError::Caller(CallerError::Unknown)));
            assert_eq!(ask(TOKEN), Ok("rk_1".into()));
            index.apply(vec![put(namespace, false, None)]);
            assert_eq!(ask(TOKEN), Err(ApiError::Caller(CallerError::Disabled)));
            index.apply(vec![put(namespace, true, Some(now.plus(-1)))]);
            assert_eq!(ask(TOKEN), Err(ApiError::Caller(CallerError::Expired)));
            index.apply(vec![Change::RemoveCaller(KeyHash::of(TOKEN))]);
            assert_eq!(ask(TOKEN), Err(ApiError::Caller(CallerError::Unknown)));
        }
    }

    #[test]
    fn of_a_header_that_comes_twice_the_first_counts() {
        let value = |text: &'static str| HeaderValue::from_static(text);
        let headers = HeaderMap::from_iter([
            (FORWARDED_FOR, value("10.0.0.1")),
            (AUTHORIZATION, value("one")),
            (HeaderName::from_static("x-other"), value("x")),
        ]);
        let mut twice = headers.clone();
        for (name, of) in &headers {
            twice.append(name, of.clone());
            twice.append(name, value("two"));
        }
        for headers in [&headers, &twice] {
            let head = Head::new(headers, None);
            assert_eq!((head.authorization, head.content_type), (headers.get(AUTHORIZATION), None));
            assert_eq!(client(head), Some([10, 0, 0, 1].into()));
        }
    }
}
