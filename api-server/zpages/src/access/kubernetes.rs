//! The API server as the one who decides.

use std::convert::Infallible;

use futures::StreamExt;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};

use super::authority::Authority;
use super::reviews::{Review, ReviewError, Reviews, Verdict};
use super::user::User;

/// Where the API server publishes what servers need that delegate to it.
const NAMESPACE: &str = "kube-system";
const CONFIG_MAP: &str = "extension-apiserver-authentication";
const CLIENT_CA: &str = "client-ca-file";

/// Asks by `TokenReview` and `SubjectAccessReview`. What is worth another try (429, 503, 504) the client tries again.
pub(super) struct ApiServer {
    client: Client,
}

impl ApiServer {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    async fn review_token(&self, token: &str) -> Result<Option<User>, ReviewError> {
        // Without audiences: those of the API server, as all who delegate do it.
        let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences: None };
        let review = TokenReview { spec, ..TokenReview::default() };
        let answer = Api::all(self.client.clone()).create(&PostParams::default(), &review).await;
        let status = answer.map_err(|error| failed("tokenreviews", &error))?.status.unwrap_or_default();
        match (status.authenticated, status.error) {
            (Some(true), _) => Ok(Some(user(status.user.unwrap_or_default()))),
            (_, Some(error)) if !error.is_empty() => Err(ReviewError(error)),
            _ => Ok(None),
        }
    }

    async fn review_access(&self, user: &User, verb: &str, path: &str) -> Result<Verdict, ReviewError> {
        let present = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let wanted = NonResourceAttributes { path: Some(path.to_owned()), verb: Some(verb.to_owned()) };
        let spec = SubjectAccessReviewSpec {
            user: present(&user.name),
            uid: present(&user.uid),
            groups: Some(user.groups.clone()),
            extra: (!user.extra.is_empty()).then(|| user.extra.clone()),
            non_resource_attributes: Some(wanted),
            resource_attributes: None,
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let answer = Api::all(self.client.clone()).create(&PostParams::default(), &review).await;
        let status = answer.map_err(|error| failed("subjectaccessreviews", &error))?.status.unwrap_or_default();
        if status.allowed && status.denied == Some(true) {
            return Err(ReviewError("the API server both allows and denies".to_owned()));
        }
        Ok(Verdict { allowed: status.allowed, reason: status.reason.unwrap_or_default() })
    }
}

impl Reviews for ApiServer {
    fn user<'a>(&'a self, token: &'a str) -> Review<'a, Option<User>> {
        Box::pin(self.review_token(token))
    }

    fn verdict<'a>(&'a self, user: &'a User, verb: &'a str, path: &'a str) -> Review<'a, Verdict> {
        Box::pin(self.review_access(user, verb, path))
    }
}

fn user(info: UserInfo) -> User {
    User {
        name: info.username.unwrap_or_default(),
        uid: info.uid.unwrap_or_default(),
        groups: info.groups.unwrap_or_default(),
        extra: info.extra.unwrap_or_default(),
    }
}

/// The message of the API server, or what went wrong on the way to it. Never the body, which repeats the token.
fn failed(what: &str, error: &kube::Error) -> ReviewError {
    ReviewError(match error {
        kube::Error::Api(status) => status.message.clone(),
        other => format!("failed to create {what}: {other}"),
    })
}

/// Keeps the authority of client certificates as the API server publishes it; goes on for ever. While it can't be
/// read, the last one counts, and before the first one no certificate does.
pub(super) async fn follow_authority(client: Client, authority: &Authority) -> Infallible {
    let only = watcher::Config::default().fields(&format!("metadata.name={CONFIG_MAP}"));
    let published = watcher(Api::<ConfigMap>::namespaced(client, NAMESPACE), only).default_backoff().applied_objects();
    let mut published = std::pin::pin!(published);
    let mut failing = false;
    loop {
        match published.next().await {
            Some(Ok(published)) => {
                failing = false;
                let pem = published.data.unwrap_or_default().remove(CLIENT_CA).unwrap_or_default();
                if authority.replace(pem.as_bytes()).is_none() {
                    tracing::warn!(
                        "ConfigMap {NAMESPACE}/{CONFIG_MAP} has no usable {CLIENT_CA}: no new client certificates"
                    );
                }
            }
            Some(Err(error)) if !failing => {
                failing = true;
                tracing::warn!(%error, "ConfigMap {NAMESPACE}/{CONFIG_MAP} can't be read, so client certificates are not renewed");
            }
            Some(Err(_)) => {}
            // The stream does not end.
            None => std::future::pending().await,
        }
    }
}
