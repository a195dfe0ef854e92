//! Who may read a page, decided for each request as Kubernetes' own components decide it.
//!
//! ```text
//! authenticate  client certificate, else bearer token, else anonymous; a bad one of either is 401
//! authorize     group system:masters, else an always-allowed path, else the authorizer; 403, or 500 when it can't say
//! ```
//! Before routing, so that nobody learns which paths exist by asking. What upstream has and this has not: the front
//! proxy's `X-Remote-User` (only aggregated APIs are behind it), tokens in `Sec-WebSocket-Protocol` (nothing here is
//! a websocket), and `Connection: close` on a 401 over HTTP/2, which here is bounded by the number of connections.

mod always_allow;
mod answer;
mod authority;
mod credentials;
#[cfg(feature = "delegated")]
mod kubernetes;
mod reviews;
mod user;

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::header::AUTHORIZATION;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use self::always_allow::AlwaysAllow;
use self::answer::Refusal;
use self::authority::Authority;
use self::reviews::{Attributes, Cached};
pub use self::reviews::{Review, ReviewError, Reviews, Verdict};
pub use self::user::User;
use crate::clock;
use crate::serve::{CertificateError, PeerCertificates};

/// The group that may do everything everywhere.
const MASTERS: &str = "system:masters";

/// Decides who may read. See [`Guard::certificates`] and `Guard::delegated`.
pub struct Guard {
    authority: Authority,
    source: Source,
    always_allow: AlwaysAllow,
    authorizer: Authorizer,
}

/// Where the authority of client certificates comes from, and comes anew.
#[derive(Clone)]
enum Source {
    Nowhere,
    File(PathBuf),
    #[cfg(feature = "delegated")]
    Cluster(kube::Client),
}

/// Who decides, when neither the group nor the path has.
enum Authorizer {
    /// Whoever has a certificate of the authority may read.
    Authenticated,
    /// The API server is asked; tokens are its affair too.
    Reviews(Box<Cached>),
}

impl Guard {
    /// Without a cluster: who shows a certificate of the authority in `client_ca_file` may read everything, all others
    /// the health pages alone. Without a file these are all others. Tokens mean nothing here.
    ///
    /// # Errors
    /// The file can't be read or holds no certificate.
    pub fn certificates(client_ca_file: Option<PathBuf>) -> Result<Self, CertificateError> {
        Self::new(Authorizer::Authenticated, Source::Nowhere).with_client_ca_file(client_ca_file)
    }

    /// Tokens and rights are `reviews`' to judge. [`Guard::delegated`] asks a Kubernetes API server.
    pub fn reviews(reviews: impl Reviews) -> Self {
        Self::new(Authorizer::Reviews(Box::new(Cached::new(reviews))), Source::Nowhere)
    }

    /// Delegated to the API server of `client`: `TokenReview`, `SubjectAccessReview`, and the authority of client
    /// certificates from `extension-apiserver-authentication`, a `ConfigMap` in `kube-system`. The client needs the
    /// ClusterRole `system:auth-delegator` and the Role `extension-apiserver-authentication-reader` there.
    ///
    /// While the API server does not answer, tokens are refused (401) and rights can't be checked (500), but for
    /// decisions of the last 10 s, `system:masters` and the always-allowed paths.
    #[cfg(feature = "delegated")]
    pub fn delegated(client: kube::Client) -> Self {
        let reviews = kubernetes::ApiServer::new(client.clone());
        Self::new(Authorizer::Reviews(Box::new(Cached::new(reviews))), Source::Cluster(client))
    }

    fn new(authorizer: Authorizer, source: Source) -> Self {
        Self { authority: Authority::default(), source, always_allow: AlwaysAllow::default(), authorizer }
    }

    /// Takes the authority of client certificates from a PEM file, which is read again when it changes.
    ///
    /// # Errors
    /// The file can't be read or holds no certificate.
    pub fn with_client_ca_file(mut self, file: Option<PathBuf>) -> Result<Self, CertificateError> {
        if let Some(file) = file {
            self.authority.load(&file)?;
            self.source = Source::File(file);
        }
        Ok(self)
    }

    /// Replaces the paths that everyone may read: `/healthz`, `/livez` and `/readyz`. One that ends in `*` stands for
    /// all that begin like it.
    #[must_use]
    pub fn with_always_allow_paths<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.always_allow = AlwaysAllow::new(paths.into_iter().map(Into::into));
        self
    }

    /// Puts itself before everything that `router` serves, its fallback included.
    pub fn protect(self, router: Router) -> Router {
        router.layer(from_fn_with_state(Arc::new(self), admit))
    }

    /// Keeps the authority of client certificates as its source has it.
    pub(crate) fn follow(&self) -> impl Future<Output = Infallible> + Send + use<> {
        let (authority, source) = (self.authority.clone(), self.source.clone());
        async move {
            match source {
                Source::Nowhere => pending().await,
                Source::File(file) => authority.follow(&file).await,
                #[cfg(feature = "delegated")]
                Source::Cluster(client) => kubernetes::follow_authority(client, &authority).await,
            }
        }
    }

    /// Whether the request was authenticated, that is whether its credentials are used up.
    async fn decide(&self, request: &Parts) -> Result<bool, Refusal> {
        let user = self.authenticate(request).await?;
        let is_anonymous = user.is_anonymous();
        self.authorize(user, request).await?;
        Ok(!is_anonymous)
    }

    async fn authenticate(&self, request: &Parts) -> Result<Arc<User>, Refusal> {
        let mut refused = false;
        if let Some(shown) = request.extensions.get::<PeerCertificates>() {
            match self.authority.user(shown, clock::now()) {
                Ok(Some(user)) => return Ok(Arc::new(user.authenticated())),
                Ok(None) => {}
                Err(error) => {
                    tracing::info!(error, "a client certificate was refused");
                    refused = true;
                }
            }
        }
        if let (Authorizer::Reviews(reviews), Some(token)) =
            (&self.authorizer, credentials::bearer_token(&request.headers))
        {
            match reviews.user(token).await {
                Ok(Some(user)) => return Ok(user),
                Ok(None) => refused = true,
                Err(error) => {
                    tracing::warn!(%error, "a bearer token could not be reviewed");
                    refused = true;
                }
            }
        }
        if refused { Err(Refusal::Unauthorized) } else { Ok(Arc::new(User::anonymous())) }
    }

    async fn authorize(&self, user: Arc<User>, request: &Parts) -> Result<(), Refusal> {
        // As it is routed but for escapes, which no path of ours has: what is allowed and what is served can't differ.
        let path = percent_decode_str(request.uri.path()).decode_utf8_lossy().into_owned();
        if user.groups.iter().any(|group| group == MASTERS) || self.always_allow.covers(&path) {
            return Ok(());
        }
        let verb = request.method.as_str().to_ascii_lowercase();
        let attributes = Attributes { user, verb, path };
        let verdict = match &self.authorizer {
            Authorizer::Authenticated => Verdict { allowed: !attributes.user.is_anonymous(), reason: String::new() },
            Authorizer::Reviews(reviews) => match reviews.verdict(&attributes).await {
                Ok(verdict) => verdict,
                Err(error) => {
                    tracing::warn!(%error, "a right could not be reviewed");
                    return Err(Refusal::Undecided { error: error.to_string() });
                }
            },
        };
        if verdict.allowed { Ok(()) } else { Err(Refusal::Forbidden { attributes, reason: verdict.reason }) }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Guard").field("always_allow", &self.always_allow).finish_non_exhaustive()
    }
}

async fn admit(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match guard.decide(&parts).await {
        Ok(authenticated) => {
            if authenticated {
                parts.headers.remove(AUTHORIZATION);
            }
            next.run(Request::from_parts(parts, body)).await
        }
        Err(refusal) => refusal.answer(&parts),
    }
}

#[cfg(test)]
mod tests;
