//! What makes a key's turn come: changes of the object, of its Secret, of its Keyspace, and of another key with its hash.
//!
//! ```text
//! objects   -> without managedFields -> store, claims, members -> the object, and those whose claim it decided
//! Secrets   (metadata, of our type)  -> their owner
//! Keyspaces (metadata)               -> the keys that name it
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use futures::stream::{BoxStream, StreamExt, TryStreamExt, select_all};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use keyplane_api::{DEFAULT_KEYSPACE, KeySource, Keyspace};
use keyplane_core::hash::KeyHash;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{ReconcileRequest, trigger_owners, trigger_with};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Client, Resource, ResourceExt};
use std::sync::Arc;

use super::claims::{Claimant, Claims};
use super::kind::KeyKind;
use crate::config::Scope;
use crate::drive::Watched;

/// What is kept beside the store, fed by the same events.
#[derive(Default)]
pub(super) struct Indexes {
    claims: Mutex<Claims>,
    /// Namespace and keyspace to the names of their keys. Not for the default keyspace, which needs no object.
    members: Mutex<HashMap<(String, String), HashSet<String>>>,
}

type Queue<K> = BoxStream<'static, Result<ReconcileRequest<Watched<K>>, watcher::Error>>;

/// The store of one kind and the queue of what to reconcile.
pub(super) fn queue<K: KeyKind>(
    client: &Client,
    scope: &Scope,
    indexes: &Arc<Indexes>,
) -> (Store<Watched<K>>, Queue<K>) {
    let (store, writer) = reflector::store::<Watched<K>>();
    let seen = (store.clone(), indexes.clone());
    let objects = watch(scope.api::<Watched<K>>(client), watcher::Config::default())
        .default_backoff()
        // Nobody here reads them, and they are most of a small object.
        .modify(|object| object.meta_mut().managed_fields = None)
        .reflect(writer);
    let objects = trigger_with(objects, move |event| {
        let (store, indexes) = &seen;
        indexes.observe(event, store).into_iter().map(ReconcileRequest::from)
    });
    let only_ours = watcher::Config::default().fields(&format!("type={}", K::SECRET_TYPE));
    let secrets = watch(scope.api::<PartialObjectMeta<Secret>>(client), only_ours).default_backoff().touched_objects();
    let mut streams: Vec<Queue<K>> = vec![objects.boxed(), trigger_owners(secrets, (), ()).boxed()];
    if K::HAS_KEYSPACE {
        let indexes = indexes.clone();
        let keyspaces = watch(scope.api::<PartialObjectMeta<Keyspace>>(client), watcher::Config::default());
        let keyspaces = keyspaces.default_backoff().touched_objects();
        streams.push(trigger_with(keyspaces, move |keyspace| indexes.members_of(&keyspace)).boxed());
    }
    (store, select_all(streams).into_stream().boxed())
}

impl Scope {
    /// The client's view of a kind in this scope.
    pub fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        match self {
            Self::Cluster => Api::all(client.clone()),
            Self::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
        }
    }
}

impl Indexes {
    /// The claimant of `key`'s hash that is older, if there is one.
    pub(super) fn older<K: KeyKind>(&self, key: &K, hash: KeyHash) -> Option<Claimant> {
        let claimant = claimant(key)?;
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).older(&claimant, &realm::<K>(&claimant), hash)
    }

    fn observe<K: KeyKind>(&self, event: Event<Watched<K>>, store: &Store<Watched<K>>) -> Vec<ObjectRef<Watched<K>>> {
        match event {
            Event::Init => Vec::new(),
            Event::InitApply(object) | Event::Apply(object) => {
                let itself = ObjectRef::from_obj(&object);
                // An object that cannot be read keeps its claim and gets an event in its turn.
                let others = object.0.map_or_else(|_| Vec::new(), |key| self.note(&key));
                std::iter::once(itself).chain(others).collect()
            }
            Event::Delete(object) => self.forget(&object),
            Event::InitDone => {
                let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
                let winners = claims.prune(|who| {
                    let reference = ObjectRef::<Watched<K>>::new(&who.name).within(&who.namespace);
                    store.get(&reference).is_some_and(|object| object.meta().uid.as_deref() == Some(who.uid.as_str()))
                });
                references(winners)
            }
        }
    }

    fn note<K: KeyKind>(&self, key: &K) -> Vec<ObjectRef<Watched<K>>> {
        let Some(claimant) = claimant(key) else { return Vec::new() };
        if let Some(keyspace) = key.keyspace().filter(|name| *name != DEFAULT_KEYSPACE) {
            let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
            let place = (claimant.namespace.clone(), keyspace.to_owned());
            members.entry(place).or_default().insert(claimant.name.clone());
        }
        let realm = realm::<K>(&claimant);
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        references(claims.observe(claimant, &realm, claimed_hash(key)))
    }

    fn forget<K: KeyKind>(&self, object: &Watched<K>) -> Vec<ObjectRef<Watched<K>>> {
        if let Ok(key) = &object.0
            && let (Some(keyspace), Some(namespace)) = (key.keyspace(), key.namespace())
        {
            let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
            let place = (namespace, keyspace.to_owned());
            let now_empty =
                members.get_mut(&place).is_some_and(|names| names.remove(&key.name_any()) && names.is_empty());
            if now_empty {
                members.remove(&place);
            }
        }
        let uid = object.meta().uid.as_deref().unwrap_or_default();
        references(self.claims.lock().unwrap_or_else(PoisonError::into_inner).forget(uid))
    }

    fn members_of<K: KeyKind>(&self, keyspace: &PartialObjectMeta<Keyspace>) -> Vec<ReconcileRequest<Watched<K>>> {
        let (namespace, name) = (keyspace.namespace().unwrap_or_default(), keyspace.name_any());
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let names = members.get(&(namespace.clone(), name)).into_iter().flatten();
        names.map(|name| ObjectRef::new(name).within(&namespace).into()).collect()
    }
}

/// What an object claims by what it says of itself: the hash of its spec, or the one in its status.
fn claimed_hash<K: KeyKind>(key: &K) -> Option<KeyHash> {
    match key.source() {
        KeySource::Hash(hash) => KeyHash::parse(&hash.sha256).ok(),
        KeySource::PrefixedHash(hash) => KeyHash::parse(&hash.sha256).ok(),
        KeySource::Generate(_) | KeySource::SecretRef(_) => {
            key.status().current.and_then(|current| KeyHash::parse(&current.sha256).ok())
        }
    }
}

fn claimant<K: KeyKind>(key: &K) -> Option<Claimant> {
    let meta = key.meta();
    Some(Claimant {
        created: meta.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0),
        uid: meta.uid.clone()?,
        namespace: meta.namespace.clone()?,
        name: meta.name.clone()?,
    })
}

fn realm<K: KeyKind>(claimant: &Claimant) -> String {
    if K::UNIQUE_IN_CLUSTER { String::new() } else { claimant.namespace.clone() }
}

fn references<K: KeyKind>(claimants: Vec<Claimant>) -> Vec<ObjectRef<Watched<K>>> {
    claimants.into_iter().map(|who| ObjectRef::new(&who.name).within(&who.namespace)).collect()
}
