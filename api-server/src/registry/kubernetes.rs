//! Objects in the Kubernetes API.

use std::fmt::Debug;

use futures::StreamExt;
use futures::future::BoxFuture;
use k8s_openapi::NamespaceResourceScope;
use keyplane_api::{API_FIELD_MANAGER, Guarded};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::object::{with_object, with_type};
use super::{Event, Kind, Object, ObjectKey, Registry, RegistryError, Source, Watch, WatchError};

/// See the module.
pub struct Kubernetes {
    client: Client,
    /// Empty for all namespaces, which needs rights in the whole cluster.
    namespaces: Vec<String>,
}

impl Kubernetes {
    /// Objects of these namespaces; of all when the list is empty.
    pub const fn new(client: Client, namespaces: Vec<String>) -> Self {
        Self { client, namespaces }
    }

    fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self, namespace: Option<&str>) -> Api<K> {
        match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }
}

/// What all our kinds are.
trait Ours:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + Unpin
    + Into<Object>
    + 'static
{
}
impl<K> Ours for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + Unpin
        + Into<Object>
        + 'static
{
}

impl Registry for Kubernetes {
    fn sources(&self, kinds: &[Kind]) -> Vec<Source> {
        let scopes: Vec<Option<String>> =
            if self.namespaces.is_empty() { vec![None] } else { self.namespaces.iter().cloned().map(Some).collect() };
        kinds.iter().flat_map(|kind| scopes.iter().map(|ns| Source { kind: *kind, namespace: ns.clone() })).collect()
    }

    fn watch(&self, source: &Source) -> Watch {
        with_type!(source.kind, K => watch(self.api::<Guarded<K>>(source.namespace.as_deref()), source.kind))
    }

    fn get<'a>(&'a self, key: &'a ObjectKey) -> BoxFuture<'a, Result<Object, RegistryError>> {
        with_type!(key.kind, K => Box::pin(async move {
            let object = self.api::<K>(Some(&key.namespace)).get(&key.name).await;
            object.map(Into::into).map_err(|error| failed(error, key.clone()))
        }))
    }

    fn list<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<Vec<Object>, RegistryError>> {
        with_type!(source.kind, K => Box::pin(async move {
            let list = self.api::<K>(source.namespace.as_deref()).list(&ListParams::default()).await;
            let list = list.map_err(|error| RegistryError::Unavailable(error.to_string()))?;
            Ok(list.items.into_iter().map(Into::into).collect())
        }))
    }

    fn create(&self, object: Object) -> BoxFuture<'_, Result<Object, RegistryError>> {
        let key = object.key();
        with_object!(object, inner => Box::pin(create(self.api(Some(&key.namespace)), inner, key)))
    }

    fn update(&self, object: Object) -> BoxFuture<'_, Result<Object, RegistryError>> {
        let key = object.key();
        with_object!(object, inner => Box::pin(update(self.api(Some(&key.namespace)), inner, key)))
    }

    fn delete<'a>(&'a self, key: &'a ObjectKey) -> BoxFuture<'a, Result<(), RegistryError>> {
        with_type!(key.kind, K => Box::pin(async move {
            let deleted = self.api::<K>(Some(&key.namespace)).delete(&key.name, &DeleteParams::default()).await;
            deleted.map(drop).map_err(|error| failed(error, key.clone()))
        }))
    }
}

async fn create<K: Ours>(api: Api<K>, object: Box<K>, key: ObjectKey) -> Result<Object, RegistryError> {
    api.create(&written_by_us(), &object).await.map(Into::into).map_err(|error| failed(error, key))
}

async fn update<K: Ours>(api: Api<K>, object: Box<K>, key: ObjectKey) -> Result<Object, RegistryError> {
    let name = key.name.clone();
    api.replace(&name, &written_by_us(), &object).await.map(Into::into).map_err(|error| failed(error, key))
}

fn written_by_us() -> PostParams {
    PostParams { field_manager: Some(API_FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

fn failed(error: kube::Error, key: ObjectKey) -> RegistryError {
    match error {
        kube::Error::Api(status) if status.is_not_found() => RegistryError::NotFound(key),
        kube::Error::Api(status) if status.is_already_exists() => RegistryError::AlreadyExists(key),
        kube::Error::Api(status) if status.is_conflict() => RegistryError::Conflict(key),
        kube::Error::Api(status) if status.is_invalid() => RegistryError::Invalid(key, status.message),
        other => RegistryError::Unavailable(other.to_string()),
    }
}

/// A watch with its relists and back-off. The guard lets one unreadable object pass without breaking the others.
fn watch<K: Ours>(api: Api<Guarded<K>>, kind: Kind) -> Watch {
    let events = watcher(api, watcher::Config::default().any_semantic()).default_backoff();
    let event = move |event| {
        Ok(match event {
            watcher::Event::Init => Event::Restarted,
            watcher::Event::InitApply(object) | watcher::Event::Apply(object) => applied(object, kind),
            watcher::Event::InitDone => Event::Listed,
            watcher::Event::Delete(object) => Event::Deleted(key_of(&object, kind)),
        })
    };
    let error = move |error: watcher::Error| WatchError { kind, message: with_causes(&error) };
    events.map(move |result| result.map_err(error).and_then(event)).boxed()
}

fn applied<K: Ours>(object: Guarded<K>, kind: Kind) -> Event {
    let key = key_of(&object, kind);
    match object.0 {
        Ok(object) => Event::Applied(object.into()),
        Err(invalid) => Event::Unreadable(key, invalid.error),
    }
}

fn key_of<K: Ours>(object: &Guarded<K>, kind: Kind) -> ObjectKey {
    let metadata = object.meta();
    ObjectKey {
        kind,
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

/// An error and what caused it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
