//! Objects in a directory of YAML or JSON files: read-only, read again when something in the directory changes.
//!
//! A directory is taken as a whole or not at all: when any document can't be read, the last good state stays and the log says which file
//! is wrong. What is kept are the objects' names and digests; their texts stay in the files. Files of a mounted `ConfigMap` work: Kubernetes swaps a link, which is a change in the directory like any other.

mod parse;
mod state;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;

use super::{Event, Kind, Object, ObjectKey, Registry, RegistryError, Source, Watch, WatchError};

use self::parse::{Document, Documents};
pub use self::parse::{ManifestError, read_text};
use self::state::{Entries, State, find};

/// Files are written in several steps; after the first sign of change this much time lets the others come too.
const SETTLE: Duration = Duration::from_millis(50);

/// See the module.
pub struct Manifests {
    directory: Arc<Path>,
    default_namespace: Arc<str>,
    current: watch::Receiver<State>,
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
        let (state, current) = watch::channel(State::new(parse::read_directory(directory, default_namespace)?));
        let (refusals, refused) = watch::channel(0);
        let reloader = Reloader {
            directory: directory.to_owned(),
            default_namespace: default_namespace.to_owned(),
            state,
            refusals,
        };
        tokio::spawn(reloader.run(woken, watcher));
        Ok(Self { directory: directory.into(), default_namespace: default_namespace.into(), current, refused })
    }

    /// How often a changed directory was refused because of a document that can't be read.
    pub fn refused(&self) -> watch::Receiver<u64> {
        self.refused.clone()
    }
}

struct Reloader {
    directory: PathBuf,
    default_namespace: String,
    state: watch::Sender<State>,
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

    fn take(&self, read: Documents) {
        let read = State::new(read);
        let changed = self.state.send_if_modified(|current| {
            let differs = current.entries != read.entries;
            if differs {
                *current = read;
            }
            differs
        });
        if changed {
            let objects = self.state.borrow().entries.len();
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
        let follower = Follower {
            directory: self.directory.clone(),
            default_namespace: self.default_namespace.clone(),
            source: source.clone(),
            current: self.current.clone(),
            before: None,
        };
        stream::unfold(follower, async |mut follower| Some((follower.next().await?, follower))).flatten().boxed()
    }

    fn get<'a>(&'a self, key: &'a ObjectKey) -> BoxFuture<'a, Result<Object, RegistryError>> {
        let found = find(&self.current.borrow().entries, key).cloned();
        Box::pin(async move {
            let entry = found.ok_or_else(|| RegistryError::NotFound(key.clone()))?;
            let (path, namespace) = (entry.path.clone(), self.default_namespace.clone());
            let file = blocking(move || parse::read_file(&path, &namespace)).await?;
            let document = file.into_iter().find(|(other, ..)| other == key).map(|(_, _, document)| document);
            // Only what is served: a file that changed since belongs to a state that may be refused.
            let document = document
                .filter(|document| entry.is(document))
                .ok_or_else(|| RegistryError::Unavailable(format!("{key} is changing in its file; ask again")))?;
            read(key, &document)
        })
    }

    fn list<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<Vec<Object>, RegistryError>> {
        Box::pin(async move {
            let (directory, namespace) = (self.directory.clone(), self.default_namespace.clone());
            let documents = blocking(move || parse::read_directory(&directory, &namespace)).await?;
            let ours = documents.iter().filter(|(key, _)| is_of(key, source));
            ours.map(|(key, document)| read(key, document)).collect()
        })
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

/// One watch of one source.
struct Follower {
    directory: Arc<Path>,
    default_namespace: Arc<str>,
    source: Source,
    current: watch::Receiver<State>,
    /// The state that was told last; `None` at the beginning.
    before: Option<Entries>,
}

type Events = BoxStream<'static, Result<Event, WatchError>>;

impl Follower {
    /// The events of the next state; `None` when there will be none.
    async fn next(&mut self) -> Option<Events> {
        if self.before.is_some() {
            self.current.changed().await.ok()?;
        }
        let now = self.current.borrow_and_update().clone();
        if let Some(events) = self.events(&now) {
            return Some(events);
        }
        // Another watch of this kind took the documents: the directory has them still.
        let (directory, namespace) = (self.directory.clone(), self.default_namespace.clone());
        let read = blocking(move || parse::read_directory(&directory, &namespace)).await;
        let again = read.map(State::new).map(|state| self.events(&state).unwrap_or_else(|| stream::empty().boxed()));
        Some(again.unwrap_or_else(|error| {
            let error = WatchError { kind: self.source.kind, message: error.to_string() };
            stream::iter([Err(error)]).boxed()
        }))
    }

    /// What is to be told of a state; `None` when its documents were taken before.
    fn events(&mut self, now: &State) -> Option<Events> {
        let events = match &self.before {
            None => stream::iter(now.listing(&self.source)?.map(Ok)).boxed(),
            Some(before) => stream::iter(now.changes(before, &self.source)?.into_iter().map(Ok)).boxed(),
        };
        self.before = Some(now.entries.clone());
        Some(events)
    }
}

/// Reads files where it may block.
async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, ManifestError> + Send + 'static,
) -> Result<R, RegistryError> {
    let unavailable = |error: &dyn std::error::Error| RegistryError::Unavailable(error.to_string());
    tokio::task::spawn_blocking(work).await.map_err(|error| unavailable(&error))?.map_err(|error| unavailable(&error))
}

fn read(key: &ObjectKey, document: &Document) -> Result<Object, RegistryError> {
    document.object(key.kind).map_err(|error| RegistryError::Invalid(key.clone(), error.to_string()))
}

fn is_of(key: &ObjectKey, source: &Source) -> bool {
    key.kind == source.kind && source.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
}

#[cfg(test)]
mod tests;
