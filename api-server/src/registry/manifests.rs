//! Objects in a directory of YAML or JSON files: read-only, read again when something in the directory changes.
//!
//! A directory is taken as a whole or not at all: when any document can't be read, the last good state stays and the log says which file
//! is wrong. Files of a mounted `ConfigMap` work: Kubernetes swaps a link, which is a change in the directory like any other.

mod parse;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;

use super::{Event, Kind, Object, ObjectKey, Registry, RegistryError, Source, Watch};

use self::parse::Document;
pub use self::parse::ManifestError;

/// Files are written in several steps; after the first sign of change this much time lets the others come too.
const SETTLE: Duration = Duration::from_millis(50);

/// Sorted by key, so that the objects of a kind lie together.
type Objects = Arc<[(ObjectKey, Document)]>;

/// See the module.
pub struct Manifests {
    current: watch::Receiver<Objects>,
    refused: watch::Receiver<u64>,
}

/// The directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A document is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The system refuses to tell of changes.
    #[error("failed to watch the directory `{0}`")]
    Watch(String, #[source] notify::Error),
}

impl Manifests {
    /// Reads the directory and goes on watching it. Objects without a namespace are of `default_namespace`.
    ///
    /// # Errors
    /// The directory or any document in it can't be read.
    pub fn open(directory: &Path, default_namespace: &str) -> Result<Self, OpenError> {
        let (wake, woken) = watch::channel(());
        let mut watcher = notify::recommended_watcher(move |event: Result<notify::Event, notify::Error>| {
            // Reading a file is an event too; without this each reload would cause the next.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                wake.send_replace(());
            }
        })
        .map_err(|error| OpenError::Watch(directory.display().to_string(), error))?;
        watcher
            .watch(directory, RecursiveMode::NonRecursive)
            .map_err(|error| OpenError::Watch(directory.display().to_string(), error))?;
        // Watched before it is read: a change in between is read again rather than missed.
        let (objects, current) =
            watch::channel(parse::read_directory(directory, default_namespace)?.into_iter().collect());
        let (refusals, refused) = watch::channel(0);
        let reloader = Reloader {
            directory: directory.to_owned(),
            default_namespace: default_namespace.to_owned(),
            objects,
            refusals,
        };
        tokio::spawn(reloader.run(woken, watcher));
        Ok(Self { current, refused })
    }

    /// How often a changed directory was refused because of a document that can't be read.
    pub fn refused(&self) -> watch::Receiver<u64> {
        self.refused.clone()
    }
}

struct Reloader {
    directory: PathBuf,
    default_namespace: String,
    objects: watch::Sender<Objects>,
    refusals: watch::Sender<u64>,
}

impl Reloader {
    /// Reads the directory again after each sign of change. The watcher is only kept: dropped, it would stop watching.
    async fn run(self, mut woken: watch::Receiver<()>, _watcher: RecommendedWatcher) {
        while woken.changed().await.is_ok() {
            tokio::time::sleep(SETTLE).await;
            woken.mark_unchanged();
            let (path, namespace) = (self.directory.clone(), self.default_namespace.clone());
            match tokio::task::spawn_blocking(move || parse::read_directory(&path, &namespace)).await {
                Ok(Ok(objects)) => self.take(objects),
                Ok(Err(error)) => self.refuse(&error),
                Err(error) => self.refuse(&error),
            }
        }
    }

    fn take(&self, read: BTreeMap<ObjectKey, Document>) {
        let read: Objects = read.into_iter().collect();
        let changed = self.objects.send_if_modified(|current| {
            let differs = *current != read;
            if differs {
                *current = read;
            }
            differs
        });
        if changed {
            let objects = self.objects.borrow().len();
            tracing::info!(directory = %self.directory.display(), objects, "manifests reloaded");
        }
    }

    fn refuse(&self, error: &dyn std::error::Error) {
        tracing::error!(directory = %self.directory.display(), %error, "manifests not reloaded, the last good state stays");
        self.refusals.send_modify(|count| *count += 1);
    }
}

const READ_ONLY: RegistryError = RegistryError::ReadOnly("it is a directory of manifests; edit the files");

impl Registry for Manifests {
    fn sources(&self, kinds: &[Kind]) -> Vec<Source> {
        kinds.iter().map(|kind| Source { kind: *kind, namespace: None }).collect()
    }

    fn watch(&self, source: &Source) -> Watch {
        let state = (self.current.clone(), None::<Objects>, source.clone());
        let batches = futures::stream::unfold(state, async |(mut current, before, source)| {
            let Some(before) = before else {
                let now = current.borrow_and_update().clone();
                return Some((listing(&now, &source), (current, Some(now), source)));
            };
            current.changed().await.ok()?;
            let now = current.borrow_and_update().clone();
            let changes = futures::stream::iter(changes(&before, &now, &source)).boxed();
            Some((changes, (current, Some(now), source)))
        });
        batches.flatten().map(Ok).boxed()
    }

    fn get<'a>(&'a self, key: &'a ObjectKey) -> BoxFuture<'a, Result<Object, RegistryError>> {
        let objects = self.current.borrow().clone();
        Box::pin(async move {
            let found = find(&objects, key).ok_or_else(|| RegistryError::NotFound(key.clone()))?;
            read(key, found)
        })
    }

    fn list<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<Vec<Object>, RegistryError>> {
        let objects = self.current.borrow().clone();
        Box::pin(async move { of_source(&objects, source).map(|(key, object)| read(key, object)).collect() })
    }

    fn create(&self, _: Object) -> BoxFuture<'_, Result<Object, RegistryError>> {
        Box::pin(async { Err(READ_ONLY) })
    }

    fn update(&self, _: Object) -> BoxFuture<'_, Result<Object, RegistryError>> {
        Box::pin(async { Err(READ_ONLY) })
    }

    fn delete<'a>(&'a self, _: &'a ObjectKey) -> BoxFuture<'a, Result<(), RegistryError>> {
        Box::pin(async { Err(READ_ONLY) })
    }
}

fn read(key: &ObjectKey, object: &Document) -> Result<Object, RegistryError> {
    object.object(key.kind).map_err(|error| RegistryError::Invalid(key.clone(), error.to_string()))
}

fn applied((key, object): &(ObjectKey, Document)) -> Event {
    match object.object(key.kind) {
        Ok(object) => Event::Applied(object),
        Err(error) => Event::Unreadable(key.clone(), error.to_string()),
    }
}

fn find<'a>(objects: &'a [(ObjectKey, Document)], key: &ObjectKey) -> Option<&'a Document> {
    let place = objects.binary_search_by(|(other, _)| other.cmp(key)).ok()?;
    objects.get(place).map(|(_, object)| object)
}

fn of_source<'a>(
    objects: &'a [(ObjectKey, Document)],
    source: &'a Source,
) -> impl Iterator<Item = &'a (ObjectKey, Document)> {
    objects.iter().filter(move |(key, _)| is_of(key, source))
}

fn is_of(key: &ObjectKey, source: &Source) -> bool {
    key.kind == source.kind && source.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
}

/// Makes each object when its turn comes: all of them at once would be most of the memory of a large directory.
fn listing(now: &Objects, source: &Source) -> BoxStream<'static, Event> {
    let (objects, source) = (now.clone(), source.clone());
    let all =
        (0..now.len()).filter_map(move |place| objects.get(place).filter(|(key, _)| is_of(key, &source)).map(applied));
    futures::stream::iter(std::iter::once(Event::Restarted).chain(all).chain([Event::Listed])).boxed()
}

/// What turns one state of the directory into the next.
fn changes(before: &Objects, now: &Objects, source: &Source) -> Vec<Event> {
    let changed = of_source(now, source).filter(|(key, object)| find(before, key) != Some(object));
    let deleted = of_source(before, source).filter(|(key, _)| find(now, key).is_none());
    changed.map(applied).chain(deleted.map(|(key, _)| Event::Deleted(key.clone()))).collect()
}

#[cfg(test)]
mod tests;
