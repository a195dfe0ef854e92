//! Who calls: the root key in the `Authorization` header, and from where.

use std::net::IpAddr;

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use keyplane_core::address::forwarded_for;
use keyplane_core::time::Millis;

use super::error::{ApiError, FieldError};
use crate::engine::Engine;
use crate::index::CallerEntry;

/// A missing header is a failure of the request's form, found together with a malformed body and before any authentication.
pub(crate) fn check_present(headers: &HeaderMap) -> Result<(), FieldError> {
    if headers.contains_key(AUTHORIZATION) {
        return Ok(());
    }
    Err(FieldError {
        location: "header.Authorization".to_owned(),
        message: "the Authorization header is missing".to_owned(),
        fix: Some("send `Authorization: Bearer <root key>`".to_owned()),
    })
}

/// Does something for the caller, once the body has been found in order.
pub(crate) fn authenticated<R>(
    engine: &Engine,
    headers: &HeaderMap,
    now: Millis,
    act: impl FnOnce(&CallerEntry) -> R,
) -> Result<R, ApiError> {
    let value = headers.get(AUTHORIZATION).ok_or(ApiError::Malformed("it is missing"))?;
    let value = value.to_str().map_err(|_| ApiError::Malformed("it is not ASCII"))?;
    // The scheme is matched as written: `bearer` in lower case is malformed, as clients of this API know it.
    let token = value.strip_prefix("Bearer ").ok_or(ApiError::Malformed("it must be `Bearer <root key>`"))?.trim();
    if token.is_empty() {
        return Err(ApiError::Malformed("the token is empty"));
    }
    Ok(engine.as_caller(token, now, act)?)
}

/// The other end of the connection, which the listener adds to each request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub(crate) IpAddr);

/// What an operation reads of a request besides its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) peer: Option<Peer>,
}

impl<'a> Head<'a> {
    /// Of a request that came by the router.
    pub(crate) fn of(parts: &'a Parts) -> Self {
        Self { headers: &parts.headers, peer: parts.extensions.get::<Peer>().copied() }
    }
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the key's user: the first element of `X-Forwarded-For`, or, without one, whoever calls us. A header that is no address
/// is no address: falling back to the peer would let anyone in who can write a header.
pub(crate) fn client(Head { headers, peer }: Head<'_>) -> Option<IpAddr> {
    let Some(header) = headers.get(&FORWARDED_FOR) else { return peer.map(|Peer(address)| address) };
    match header.to_str().map(forwarded_for) {
        Ok(Ok(None)) => peer.map(|Peer(address)| address),
        Ok(Ok(address)) => address,
        Ok(Err(_)) | Err(_) => None,
    }
}
