//! A service behind [admission](super::admission): what is refused for want of room never reaches it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::{Request, Response};

use super::admission::{Admission, Bounds, Full, Metered, Place};
use super::body::RequestBody;
use super::caller::Connection;
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
    type Answering<B: RequestBody + 'static> = Admitting<S::Answering<Metered<B>>>;

    fn answer<B: RequestBody + 'static>(
        &self,
        request: Request<B>,
        connection: &Arc<Connection>,
    ) -> Self::Answering<B> {
        match self.admission.enter(request.uri().path()) {
            Ok(place) => {
                let request = request.map(|body| self.admission.meter(body));
                Admitting::Admitted { answering: self.service.answer(request, connection), _place: place }
            }
            Err(Full) => Admitting::Refused(Some(Box::new(refused(&request)))),
        }
    }
}

/// The answer to a request that was admitted or not.
pub enum Admitting<F> {
    /// It holds its place until it is answered.
    Admitted {
        /// What the service is doing.
        answering: F,
        /// Given back at the end.
        _place: Option<Place>,
    },
    /// It has its answer already; `None` once that was given.
    Refused(Option<Box<Response<Content>>>),
}

impl<F: Future<Output = Response<Content>> + Unpin> Future for Admitting<F> {
    type Output = Response<Content>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<Content>> {
        match self.get_mut() {
            Self::Admitted { answering, .. } => Pin::new(answering).poll(cx),
            Self::Refused(answer) => answer.take().map_or(Poll::Pending, |answer| Poll::Ready(*answer)),
        }
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
