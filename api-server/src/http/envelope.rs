//! The frame around every JSON answer: `{"meta":{"requestId":"req_…"},"data":…}`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE32_NOPAD;
use serde::Serialize;

/// `meta` of every answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meta {
    pub(crate) request_id: String,
}

impl Meta {
    /// A new request id: 80 random bits, for finding a request in logs and nothing else.
    pub(crate) fn new() -> Self {
        let mut bytes = [0_u8; 10];
        // Without randomness the id is a constant: a log that is harder to read is better than a request refused.
        let _ = getrandom::fill(&mut bytes);
        Self { request_id: format!("req_{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()) }
    }
}

/// A successful answer.
#[derive(Debug, Serialize)]
pub(crate) struct Answer<T> {
    meta: Meta,
    data: T,
}

impl<T> Answer<T> {
    pub(crate) fn new(data: T) -> Self {
        Self { meta: Meta::new(), data }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}
