//! The plain keys that the operator hands out, by a watch: asking for a Secret again and again would load the API server.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Secret;
use keyplane_tests::Namespace;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::mpsc;

use super::PATIENCE;

/// One Secret is made and awaited at a time.
const EVENTS: usize = 16;

struct Seen {
    secret: String,
    key: String,
    at: Instant,
}

pub(crate) struct Secrets {
    events: mpsc::Receiver<Result<Seen>>,
    early: HashMap<String, (String, Instant)>,
}

impl Secrets {
    pub(crate) async fn watch(namespace: &Namespace) -> Result<Self> {
        let (sender, events) = mpsc::channel(EVENTS);
        let api: Api<Secret> = Api::namespaced(namespace.cluster().client().await?, namespace.name());
        tokio::spawn(follow(api, sender));
        Ok(Self { events, early: HashMap::new() })
    }

    /// The key of this ApiKey, and when it came.
    pub(crate) async fn key_of(&mut self, name: &str) -> Result<(String, Instant)> {
        let secret = format!("{name}-key");
        loop {
            if let Some(found) = self.early.remove(&secret) {
                return Ok(found);
            }
            let seen = tokio::time::timeout(PATIENCE, self.events.recv());
            let seen = seen.await.with_context(|| format!("wait for Secret {secret}"))?;
            let Seen { secret, key, at } = seen.context("the watch of Secrets ended")??;
            self.early.insert(secret, (key, at));
        }
    }
}

async fn follow(api: Api<Secret>, out: mpsc::Sender<Result<Seen>>) {
    let ours = watcher::Config::default().fields(&format!("type={}", keyplane_api::API_KEY_SECRET_TYPE));
    let mut secrets = watcher(api, ours).applied_objects().boxed();
    loop {
        let seen = secrets.try_next().await.context("watch Secrets").and_then(|secret| {
            let secret = secret.context("the watch of Secrets ended")?;
            let at = Instant::now();
            let bytes = secret.data.as_ref().and_then(|data| data.get("key")).context("a Secret has no key")?;
            let key = String::from_utf8(bytes.0.clone()).context("a key is not UTF-8")?;
            Ok(Seen { secret: secret.name_any(), key, at })
        });
        let ended = seen.is_err();
        if out.send(seen).await.is_err() || ended {
            return;
        }
    }
}
