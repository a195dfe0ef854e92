//! Bare watch streams: what any program that watches `ApiKey`s cannot be faster than.

use std::collections::HashSet;
use std::time::Instant;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt};
use keyplane_api::ApiKey;
use keyplane_tests::Namespace;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use tokio::sync::mpsc;

use super::PATIENCE;

/// A round makes about four events at each watcher, and all are taken before the next round: five watchers leave 20 here.
const EVENTS: usize = 64;

/// What an event says of an `ApiKey`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is there, without a key so far.
    Written,
    /// Its status has the hash of its key.
    Issued,
    Deleted,
}

struct Seen {
    watcher: usize,
    name: String,
    change: Change,
    at: Instant,
}

pub(crate) struct Watchers {
    count: usize,
    events: mpsc::Receiver<Result<Seen>>,
}

impl Watchers {
    /// Each with a client of its own, as pods have: no two share a connection.
    pub(crate) async fn start(namespace: &Namespace, count: usize) -> Result<Self> {
        let (sender, events) = mpsc::channel(EVENTS);
        for watcher in 0..count {
            let api: Api<ApiKey> = Api::namespaced(namespace.cluster().client().await?, namespace.name());
            // Before anything is written here: what a list shows is no event.
            let listed = api.list_metadata(&ListParams::default()).await.context("list ApiKeys")?;
            let version = listed.metadata.resource_version.context("a list has no version")?;
            tokio::spawn(watch(watcher, api, version, sender.clone()));
        }
        Ok(Self { count, events })
    }

    /// When the last of them got the event.
    pub(crate) async fn all_see(&mut self, name: &str, change: Change) -> Result<Instant> {
        let (mut missing, mut last) = ((0..self.count).collect::<HashSet<_>>(), None);
        while !missing.is_empty() {
            let seen = tokio::time::timeout(PATIENCE, self.events.recv());
            let seen =
                seen.await.with_context(|| format!("wait for ApiKey {name} at the bare watchers {missing:?}"))?;
            let seen = seen.context("the bare watchers ended")??;
            if seen.name == name && seen.change == change && missing.remove(&seen.watcher) {
                last = last.max(Some(seen.at));
            }
        }
        last.context("there are no bare watchers")
    }
}

async fn watch(watcher: usize, api: Api<ApiKey>, version: String, out: mpsc::Sender<Result<Seen>>) {
    if let Err(error) = follow(watcher, &api, version, &out).await {
        let _ = out.send(Err(error)).await;
    }
}

async fn follow(
    watcher: usize,
    api: &Api<ApiKey>,
    mut version: String,
    out: &mpsc::Sender<Result<Seen>>,
) -> Result<()> {
    // The API server ends a watch after some minutes; the next one goes on where it was.
    loop {
        let mut events = api.watch(&WatchParams::default(), &version).await.context("watch ApiKeys")?.boxed();
        while let Some(event) = events.try_next().await.context("watch ApiKeys")? {
            let at = Instant::now();
            let (object, change) = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    let issued = object.status.as_ref().is_some_and(|status| status.current.is_some());
                    (object, if issued { Change::Issued } else { Change::Written })
                }
                WatchEvent::Deleted(object) => (object, Change::Deleted),
                WatchEvent::Bookmark(bookmark) => {
                    version = bookmark.metadata.resource_version;
                    continue;
                }
                WatchEvent::Error(error) => return Err(kube::Error::Api(error)).context("watch ApiKeys"),
            };
            version = object.resource_version().unwrap_or(version);
            out.send(Ok(Seen { watcher, name: object.name_any(), change, at })).await.context("nobody listens")?;
        }
    }
}
