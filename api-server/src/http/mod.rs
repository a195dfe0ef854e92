//! The HTTP API: every route, most of them in one function.
//!
//! | route | what it does |
//! |---|---|
//! | `POST /v2/keys.verifyKey` | verifies a key (`v2/verify_key.rs`) |
//! | `POST /v2/ratelimit.limit`, `/v2/ratelimit.multiLimit` | limits an identifier (`v2/rate_limit.rs`) |
//! | `POST /v1/keys.verifyKey`, `/v1/ratelimits.limit` | the same in the shapes of v1 (`v1/`) |
//! | `GET /v2/liveness` | says that the process answers, in the API's envelope |
//! | `GET /health/live`, `/health/ready`, `/health/startup` | for load balancers that see only this port |
//!
//! The operations that are called all the time ([`crate::metrics::DirectRoute`]) are answered before the router is asked; it
//! knows their paths only to refuse other methods.

mod admission;
mod admitted;
mod body;
mod caller;
mod content;
mod direct;
mod envelope;
mod error;
mod form;
mod health;
mod known_caller;
mod layers;
mod payment;
pub(crate) mod request_id;
mod schema;
pub mod serve;
mod time_limit;
mod v1;
mod v2;
mod wanted;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::http::{Request, Response};
use axum::routing::{MethodRouter, get, post};
use futures::future::BoxFuture;

pub use self::admission::{Admission, Bounds};
pub use self::admitted::Admitted;
use self::body::RequestBody;
pub use self::caller::{Connection, Peer};
use self::content::Content;
use self::direct::Direct;
use self::serve::Answers;
use crate::engine::Engine;
use crate::metrics::{DirectRoute, Metrics};
use crate::readiness::Readiness;

/// What handlers share; cheap to clone.
#[derive(Clone)]
pub struct Api {
    /// Answers everything about keys and callers.
    pub engine: Arc<Engine>,
    /// Counts what was answered.
    pub metrics: Arc<Metrics>,
    /// Whether the index is complete.
    pub readiness: Readiness,
    /// The namespace of which the v1 API verifies keys, without a caller; `None`: it verifies none.
    pub v1_namespace: Option<Arc<str>>,
}

/// Answers the API's requests; cheap to clone. A clone is for one connection: it has a count of references of its own.
pub struct Service {
    api: Arc<Api>,
    router: Router,
}

impl Service {
    /// The whole API.
    pub fn new(api: Api) -> Self {
        Self { router: router(api.clone()), api: Arc::new(api) }
    }
}

impl Clone for Service {
    fn clone(&self) -> Self {
        Self { api: Arc::new(Api::clone(&self.api)), router: self.router.clone() }
    }
}

impl Answers for Service {
    type Answering<B: RequestBody + 'static> = Answering<B>;

    fn answer<B: RequestBody + 'static>(&self, request: Request<B>, connection: &Arc<Connection>) -> Answering<B> {
        match DirectRoute::of(&request) {
            Some(route) => Answering::Direct(Direct::new(&self.api, route, request, connection)),
            None => Answering::Routed(self.router.answer(request, connection)),
        }
    }
}

/// An answer on its way.
pub enum Answering<B> {
    /// Without the router.
    Direct(Direct<B>),
    /// From a route.
    Routed(BoxFuture<'static, Response<Content>>),
}

impl<B: RequestBody> Future for Answering<B> {
    type Output = Response<Content>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<Content>> {
        match self.get_mut() {
            Self::Direct(direct) => Pin::new(direct).poll(cx),
            Self::Routed(routed) => routed.as_mut().poll(cx),
        }
    }
}

/// The routes of the API that are not answered directly.
fn router(api: Api) -> Router {
    let routes = Router::new()
        .route("/v2/keys.verifyKey", MethodRouter::new())
        .route("/v2/ratelimit.limit", MethodRouter::new())
        .route("/v2/ratelimit.multiLimit", post(v2::rate_limit::multi_limit))
        .merge(v1::routes())
        .route("/v2/liveness", get(v2::liveness))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/health/startup", get(health::ready))
        .fallback(error::unknown_path)
        .method_not_allowed_fallback(error::wrong_method);
    layers::apply(routes, &api).with_state(api)
}

#[cfg(test)]
mod tests;
