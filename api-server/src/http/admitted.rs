//! A service behind [admission](super::admission): what is refused for want of room never reaches it.

use std::sync::Arc;

use axum::http::{Request, Response};

use super::admission::{Admission, Bounds};
use super::body::RequestBody;
use super::caller::Peer;
use super::content::Content;
use super::error::ApiError;
use super::serve::Answers;
use super::v1;
use crate::metrics::Load;

/// See the module. A clone is for one connection: it has a count of references of its own.
pub struct Admitted<S> {
    service: S,
    admission: Arc<Admission>,
}

impl<S> Admitted<S> {
    /// The service within these bounds, counted on these gauges.
    pub fn new(service: S, bounds: Bounds, load: Load) -> Self {
        Self { service, admission: Arc::new(Admission::new(bounds, load)) }
    }
}

impl<S: Clone> Clone for Admitted<S> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone(), admission: Arc::new(Admission::clone(&self.admission)) }
    }
}

impl<S: Answers> Answers for Admitted<S> {
    async fn answer<B: RequestBody + 'static>(&self, request: Request<B>, peer: Option<Peer>) -> Response<Content> {
        let Ok(place) = self.admission.enter(request.uri().path()) else { return refused(&request) };
        let answer = self.service.answer(request.map(|body| self.admission.meter(body)), peer).await;
        drop(place);
        answer
    }
}

/// In the form of the version that was asked.
fn refused<B>(request: &Request<B>) -> Response<Content> {
    if request.uri().path().starts_with("/v1/") {
        v1::failed(ApiError::Overloaded).map(Content::from)
    } else {
        ApiError::Overloaded.answer(request.headers()).map(Content::from)
    }
}

#[cfg(test)]
mod tests;
