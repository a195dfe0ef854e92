//! Objects in one file in the data directory (redb: a B-tree with transactions). What was answered as written is on the disk.
//!
//! Every write raises one revision, which is the object's `resourceVersion`. A watcher first reads a consistent listing at some revision
//! and then every later write, in order.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use keyplane_core::time::Millis;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use tokio::sync::{broadcast, mpsc};

use super::{Event, Kind, Object, ObjectKey, Registry, RegistryError, Source, Watch, WatchError};
use crate::clock;

/// `Kind/namespace/name` to the object's JSON. None of the three parts can hold a slash.
const OBJECTS: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");
/// `revision` to the number of the last write.
const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");
const REVISION: &str = "revision";

/// Bytes of the file kept in memory. What is read often is in the index; writes pass through inner pages of the tree, of which a million
/// objects have a few MiB. The default of 1 GiB would keep every object a second time after the first listing.
const CACHE: usize = 8 * 1024 * 1024;

/// Writes that a watcher may lag behind before it has to list again. At 2 KiB an object this holds 8 MiB at most.
const BACKLOG: usize = 4096;
/// Events on their way from a listing to the feed. The reader of the file waits when the feed is slower.
const LISTING_BUFFER: usize = 1024;
/// A disk that can't be read is asked again after this time.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Embedded(Arc<Inner>);

struct Inner {
    database: Database,
    /// Held from before a write begins until it is announced, so that announcements come in the order of revisions.
    announce: Mutex<broadcast::Sender<Written>>,
}

/// One write, as watchers hear of it.
#[derive(Clone, Debug)]
struct Written {
    revision: u64,
    key: ObjectKey,
    /// `None` when it was deleted.
    object: Option<Object>,
}

/// The store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory can't be made.
    #[error("failed to create the data directory `{0}`")]
    Directory(String, #[source] std::io::Error),
    /// Another process has the file.
    #[error("the store `{0}` is in use by another process; stop it or choose another --data-dir")]
    InUse(String),
    /// The file can't be read.
    #[error("failed to open the store `{0}`")]
    Database(String, #[source] Box<redb::Error>),
}

impl Embedded {
    /// Opens the store in this directory, or makes it.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join("keyplane.redb");
        let shown = path.display().to_string();
        let failed = |error: redb::Error| OpenError::Database(shown.clone(), Box::new(error));
        std::fs::create_dir_all(directory)
            .map_err(|error| OpenError::Directory(directory.display().to_string(), error))?;
        let database = match Database::builder().set_cache_size(CACHE).create(&path) {
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => return Err(OpenError::InUse(shown)),
            other => other.map_err(|error| failed(error.into()))?,
        };
        // Makes the tables, so that every later reader finds them.
        let transaction = database.begin_write().map_err(|error| failed(error.into()))?;
        transaction.open_table(OBJECTS).map_err(|error| failed(error.into()))?;
        transaction.open_table(COUNTERS).map_err(|error| failed(error.into()))?;
        transaction.commit().map_err(|error| failed(error.into()))?;
        let announce = Mutex::new(broadcast::Sender::new(BACKLOG));
        Ok(Self(Arc::new(Inner { database, announce })))
    }

    /// Creates many objects in one transaction, all or none: each flush to the disk costs milliseconds, and this makes one. Until it is
    /// done other writers wait; watchers hear of every object, or list again when there are more than they keep up with.
    ///
    /// # Errors
    /// As [`Registry::create`], for the first object that can't be created.
    pub async fn import(&self, objects: Vec<Object>) -> Result<(), RegistryError> {
        self.blocking(move |inner| inner.import(objects, clock::now())).await
    }

    /// Runs disk work where it may block.
    async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<R, RegistryError> + Send + 'static,
    ) -> Result<R, RegistryError> {
        let inner = self.0.clone();
        let task = tokio::task::spawn_blocking(move || work(&inner));
        task.await.unwrap_or_else(|error| Err(RegistryError::Unavailable(error.to_string())))
    }
}

impl Registry for Embedded {
    fn sources(&self, kinds: &[Kind]) -> Vec<Source> {
        kinds.iter().map(|kind| Source { kind: *kind, namespace: None }).collect()
    }

    fn watch(&self, source: &Source) -> Watch {
        let (sender, receiver) = mpsc::channel(LISTING_BUFFER);
        tokio::spawn(follow(self.clone(), source.clone(), sender));
        futures::stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver))).boxed()
    }

    fn get<'a>(&'a self, key: &'a ObjectKey) -> BoxFuture<'a, Result<Object, RegistryError>> {
        let key = key.clone();
        Box::pin(self.blocking(move |inner| inner.read(&key)?.ok_or(RegistryError::NotFound(key))))
    }

    fn list<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<Vec<Object>, RegistryError>> {
        let source = source.clone();
        Box::pin(self.blocking(move |inner| {
            let mut objects = Vec::new();
            inner.scan(&source, |_, object| {
                objects.push(object?);
                Ok(())
            })?;
            Ok(objects)
        }))
    }

    fn create(&self, object: Object) -> BoxFuture<'_, Result<Object, RegistryError>> {
        Box::pin(self.blocking(move |inner| {
            let now = clock::now();
            inner.write(object.key(), |before, revision| create_over(before, object, revision, now))
        }))
    }

    fn update(&self, object: Object) -> BoxFuture<'_, Result<Object, RegistryError>> {
        Box::pin(self.blocking(move |inner| {
            inner.write(object.key(), |before, revision| {
                let before = before.ok_or_else(|| RegistryError::NotFound(object.key()))?;
                updated(&before, object, revision).map(Some)
            })
        }))
    }

    fn delete<'a>(&'a self, key: &'a ObjectKey) -> BoxFuture<'a, Result<(), RegistryError>> {
        let key = key.clone();
        Box::pin(self.blocking(move |inner| inner.remove(key)))
    }
}

/// What a create stores, if the name is free.
fn create_over(
    before: Option<Object>,
    object: Object,
    revision: u64,
    now: Millis,
) -> Result<Option<Object>, RegistryError> {
    match before {
        Some(_) => Err(RegistryError::AlreadyExists(object.key())),
        None => Ok(Some(created(object, revision, now))),
    }
}

/// The object as it is stored first: what Kubernetes would add to it.
fn created(mut object: Object, revision: u64, now: Millis) -> Object {
    let metadata = object.metadata_mut();
    metadata.uid = Some(uuid::Uuid::new_v4().to_string());
    metadata.creation_timestamp = Timestamp::from_millisecond(now.0).ok().map(|now| Time(whole_seconds(now)));
    metadata.generation = Some(1);
    metadata.resource_version = Some(revision.to_string());
    object
}

/// Kubernetes counts creation in seconds.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The object as it is stored next: identity from the former one, a new generation when the spec differs.
fn updated(before: &Object, mut object: Object, revision: u64) -> Result<Object, RegistryError> {
    let was = before.metadata();
    if object.metadata().resource_version != was.resource_version {
        return Err(RegistryError::Conflict(object.key()));
    }
    let generation = was.generation.unwrap_or(1) + i64::from(!object.same_spec(before));
    let ObjectMeta { uid, creation_timestamp, .. } = was.clone();
    let metadata = object.metadata_mut();
    (metadata.uid, metadata.creation_timestamp) = (uid, creation_timestamp);
    metadata.generation = Some(generation);
    metadata.resource_version = Some(revision.to_string());
    Ok(object)
}

fn path(key: &ObjectKey) -> String {
    format!("{}/{}/{}", key.kind, key.namespace, key.name)
}

fn unavailable(error: impl Into<redb::Error>) -> RegistryError {
    RegistryError::Unavailable(error.into().to_string())
}

/// Both tables, within a transaction that writes.
struct Tables<'t> {
    objects: redb::Table<'t, &'static str, &'static [u8]>,
    counters: redb::Table<'t, &'static str, u64>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, RegistryError> {
        let objects = transaction.open_table(OBJECTS).map_err(unavailable)?;
        let counters = transaction.open_table(COUNTERS).map_err(unavailable)?;
        Ok(Self { objects, counters })
    }

    /// Raises the revision and stores what `change` makes of the object as it is.
    fn change(
        &mut self,
        key: ObjectKey,
        change: impl FnOnce(Option<Object>, u64) -> Result<Option<Object>, RegistryError>,
    ) -> Result<Written, RegistryError> {
        let revision = self.counters.get(REVISION).map_err(unavailable)?.map_or(0, |last| last.value()) + 1;
        let path = path(&key);
        let before = self.objects.get(path.as_str()).map_err(unavailable)?;
        let before = before.map(|json| decode(&key, json.value())).transpose()?;
        let object = change(before, revision)?;
        match &object {
            Some(object) => {
                let json = object.to_json().map_err(|error| RegistryError::Invalid(key.clone(), error.to_string()))?;
                self.objects.insert(path.as_str(), json.as_slice()).map_err(unavailable)?;
            }
            None => drop(self.objects.remove(path.as_str()).map_err(unavailable)?),
        }
        self.counters.insert(REVISION, revision).map_err(unavailable)?;
        Ok(Written { revision, key, object })
    }
}

impl Inner {
    fn read(&self, key: &ObjectKey) -> Result<Option<Object>, RegistryError> {
        let table = self.database.begin_read().map_err(unavailable)?.open_table(OBJECTS).map_err(unavailable)?;
        let found = table.get(path(key).as_str()).map_err(unavailable)?;
        found.map(|json| decode(key, json.value())).transpose()
    }

    /// Hands every object of a source to `each`, and returns the revision of this view.
    fn scan(
        &self,
        source: &Source,
        mut each: impl FnMut(ObjectKey, Result<Object, RegistryError>) -> Result<(), RegistryError>,
    ) -> Result<u64, RegistryError> {
        let transaction = self.database.begin_read().map_err(unavailable)?;
        let table = transaction.open_table(OBJECTS).map_err(unavailable)?;
        // `/` ends the kind, `0` is the next character: the range holds exactly the kind's paths.
        let (first, end) = match &source.namespace {
            Some(namespace) => (format!("{}/{namespace}/", source.kind), format!("{}/{namespace}0", source.kind)),
            None => (format!("{}/", source.kind), format!("{}0", source.kind)),
        };
        for entry in table.range(first.as_str()..end.as_str()).map_err(unavailable)? {
            let (path, json) = entry.map_err(unavailable)?;
            let mut parts = path.value().splitn(3, '/').skip(1).map(str::to_owned);
            let (namespace, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let key = ObjectKey { kind: source.kind, namespace, name };
            let object = decode(&key, json.value());
            each(key, object)?;
        }
        let counters = transaction.open_table(COUNTERS).map_err(unavailable)?;
        Ok(counters.get(REVISION).map_err(unavailable)?.map_or(0, |revision| revision.value()))
    }

    /// One write: `change` gets the object as it is and the new revision, and says what is to be stored.
    fn write(
        &self,
        key: ObjectKey,
        change: impl FnOnce(Option<Object>, u64) -> Result<Option<Object>, RegistryError>,
    ) -> Result<Object, RegistryError> {
        let stored = self.commit(&key, change)?;
        stored.ok_or(RegistryError::NotFound(key))
    }

    fn remove(&self, key: ObjectKey) -> Result<(), RegistryError> {
        self.commit(&key, |before, _| match before {
            Some(_) => Ok(None),
            None => Err(RegistryError::NotFound(key.clone())),
        })?;
        Ok(())
    }

    fn commit(
        &self,
        key: &ObjectKey,
        change: impl FnOnce(Option<Object>, u64) -> Result<Option<Object>, RegistryError>,
    ) -> Result<Option<Object>, RegistryError> {
        let announce = self.announce.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = self.database.begin_write().map_err(unavailable)?;
        let written = Tables::open(&transaction)?.change(key.clone(), change)?;
        transaction.commit().map_err(unavailable)?;
        let object = written.object.clone();
        // No one listening is not an error.
        let _ = announce.send(written);
        Ok(object)
    }

    fn import(&self, objects: Vec<Object>, now: Millis) -> Result<(), RegistryError> {
        let announce = self.announce.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = self.database.begin_write().map_err(unavailable)?;
        let mut tables = Tables::open(&transaction)?;
        let mut written = Vec::with_capacity(objects.len());
        for object in objects {
            let write = tables.change(object.key(), |before, revision| create_over(before, object, revision, now))?;
            written.push(write);
        }
        drop(tables);
        transaction.commit().map_err(unavailable)?;
        for write in written {
            let _ = announce.send(write);
        }
        Ok(())
    }

    /// Sends the listing of a source and returns its revision. Waits when the watcher is slow.
    fn listing(&self, source: &Source, out: &Events) -> Result<u64, RegistryError> {
        let send = |event| {
            out.blocking_send(Ok(event)).map_err(|_| RegistryError::Unavailable("the watcher is gone".to_owned()))
        };
        send(Event::Restarted)?;
        let revision = self.scan(source, |key, object| {
            send(object.map_or_else(|error| Event::Unreadable(key, error.to_string()), Event::Applied))
        })?;
        send(Event::Listed)?;
        Ok(revision)
    }
}

type Events = mpsc::Sender<Result<Event, WatchError>>;

/// Lists and then follows, for one watcher, until it goes away.
async fn follow(embedded: Embedded, source: Source, out: Events) {
    while !out.is_closed() {
        // Subscribed before the listing, so that no write falls between; what the listing shows already is skipped below.
        let mut writes = embedded.0.announce.lock().unwrap_or_else(PoisonError::into_inner).subscribe();
        let listing = embedded.blocking({
            let (source, out) = (source.clone(), out.clone());
            move |inner| inner.listing(&source, &out)
        });
        let listed = match listing.await {
            Ok(revision) => revision,
            Err(error) => {
                let _ = out.send(Err(WatchError { kind: source.kind, message: error.to_string() })).await;
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            }
        };
        loop {
            let written = tokio::select! {
                () = out.closed() => return,
                written = writes.recv() => written,
            };
            // Lagged: the watcher was too slow and lists again. Closed: the store is being dropped.
            let Ok(written) = written else { break };
            let ours = written.key.kind == source.kind
                && source.namespace.as_ref().is_none_or(|namespace| *namespace == written.key.namespace);
            if ours && written.revision > listed {
                let event = written.object.map_or(Event::Deleted(written.key), Event::Applied);
                if out.send(Ok(event)).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn decode(key: &ObjectKey, json: &[u8]) -> Result<Object, RegistryError> {
    Object::from_json(key.kind, json).map_err(|error| RegistryError::Invalid(key.clone(), error.to_string()))
}

#[cfg(test)]
mod tests;
