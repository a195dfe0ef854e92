//! Where objects live: one trait, three backends.
//!
//! | backend | objects lie | written by |
//! |---|---|---|
//! | [`kubernetes`] | in the Kubernetes API | kubectl, the operator, this API |
//! | [`embedded`] | in one file in the data directory | this API |
//! | [`manifests`] | in a directory of YAML | whoever edits the files; read-only here |
//!
//! All speak of the same objects with the same metadata (uid, resourceVersion, generation), so what was written standalone can be
//! applied to a cluster and back. The feed is built on [`Registry::watch`] alone.

pub mod embedded;
pub mod kubernetes;
pub mod manifests;
mod object;

use futures::future::BoxFuture;
use futures::stream::BoxStream;

pub use object::{InvalidObject, Kind, Object, ObjectKey};

/// One stream of objects: of one kind, in one namespace or in all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// The kind.
    pub kind: Kind,
    /// The namespace; `None` for all that the backend holds.
    pub namespace: Option<String>,
}

/// What a watch says. A watch begins with a listing: `Restarted`, `Applied` for each object, `Listed`. It may begin again at any time;
/// what a listing doesn't name is gone.
#[derive(Clone, Debug)]
pub enum Event {
    /// A listing begins.
    Restarted,
    /// The object is there, new or changed.
    Applied(Object),
    /// The listing is complete.
    Listed,
    /// The object is gone.
    Deleted(ObjectKey),
    /// The object is there and can't be read. Whatever was known of it no longer holds.
    Unreadable(ObjectKey, String),
}

/// A watch that broke; the backend tries again by itself.
#[derive(Debug, thiserror::Error)]
#[error("failed to watch {kind} objects: {message}")]
pub struct WatchError {
    /// Of which kind.
    pub kind: Kind,
    /// Why.
    pub message: String,
}

/// A stream of events that never ends by itself.
pub type Watch = BoxStream<'static, Result<Event, WatchError>>;

/// Why an operation on objects failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No such object.
    #[error("{0} does not exist")]
    NotFound(ObjectKey),
    /// `create` found the name taken.
    #[error("{0} exists already")]
    AlreadyExists(ObjectKey),
    /// The object changed since it was read; read it again and repeat.
    #[error("{0} was changed by someone else since it was read")]
    Conflict(ObjectKey),
    /// This backend can't be written.
    #[error("the registry is read-only: {0}")]
    ReadOnly(&'static str),
    /// The object breaks a rule of its kind.
    #[error("{0} is invalid: {1}")]
    Invalid(ObjectKey, String),
    /// The backend did not answer or answered nonsense.
    #[error("the registry is unavailable: {0}")]
    Unavailable(String),
}

/// Objects, with optimistic concurrency: every object read carries a `resourceVersion`, and an update must present the one that it is
/// based on.
pub trait Registry: Send + Sync + 'static {
    /// The streams that together cover these kinds.
    fn sources(&self, kinds: &[Kind]) -> Vec<Source>;

    /// Watches one source. Nothing happens until the stream is polled.
    fn watch(&self, source: &Source) -> Watch;

    /// Reads one object.
    fn get<'a>(&'a self, key: &'a ObjectKey) -> BoxFuture<'a, Result<Object, RegistryError>>;

    /// Reads all objects of one source.
    fn list<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<Vec<Object>, RegistryError>>;

    /// Writes a new object and returns it with the metadata that the registry gave it.
    fn create(&self, object: Object) -> BoxFuture<'_, Result<Object, RegistryError>>;

    /// Replaces an object; refused when its `resourceVersion` is no longer the current one.
    fn update(&self, object: Object) -> BoxFuture<'_, Result<Object, RegistryError>>;

    /// Removes an object.
    fn delete<'a>(&'a self, key: &'a ObjectKey) -> BoxFuture<'a, Result<(), RegistryError>>;
}
