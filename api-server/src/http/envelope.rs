//! The frame around every JSON answer: `{"meta":{"requestId":"req_…"},"data":…}`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::request_id::RequestId;

/// `meta` of every answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meta {
    request_id: RequestId,
}

impl Meta {
    /// With a new request id.
    pub(crate) fn new() -> Self {
        Self { request_id: RequestId::new() }
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
