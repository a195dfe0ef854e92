//! What makes a key's turn come: changes of the object, of its Secret, of its Keyspace, and of another key with its hash.
//!
//! ```text
//! objects   -> without managedFields -> store, claims, members -> the object, and those whose claim it decided
//! Secrets   (metadata, of our type)  -> their owner
//! Keyspaces (metadata)               -> the keys that name it
//! pokes     (from other scopes)      -> those whose claim was decided there
//! ```

use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt, select_all, unfold};
use k8s_openapi::api::core::v1::Secret;
use keyplane_api::Keyspace;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{ReconcileRequest, trigger_owners, trigger_with};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher, watcher as watch};
use kube::{Api, Client, Resource, ResourceExt};

use super::indexes::{Indexes, Pokes};
use super::kind::KeyKind;
use crate::config::Scope;
use crate::drive::Watched;

type Queue<K> = BoxStream<'static, Result<ReconcileRequest<Watched<K>>, watcher::Error>>;

/// The store of one kind and the queue of what to reconcile.
pub(super) fn queue<K: KeyKind>(
    client: &Client,
    scope: &Scope,
    indexes: &Arc<Indexes<K>>,
    pokes: Pokes<K>,
) -> (Store<Watched<K>>, Queue<K>) {
    let (store, writer) = reflector::store::<Watched<K>>();
    let seen = (store.clone(), indexes.clone(), scope.clone());
    let objects = watch(scope.api::<Watched<K>>(client), watcher::Config::default())
        .default_backoff()
        // Nobody here reads them, and they are most of a small object.
        .modify(|object| object.meta_mut().managed_fields = None)
        .reflect(writer);
    let objects = trigger_with(objects, move |event| {
        let (store, indexes, scope) = &seen;
        indexes.observe(event, scope, store).into_iter().map(ReconcileRequest::from)
    });
    let only_ours = watcher::Config::default().fields(&format!("type={}", K::SECRET_TYPE));
    let secrets = watch(scope.api::<PartialObjectMeta<Secret>>(client), only_ours).default_backoff().touched_objects();
    let pokes = unfold(pokes, async |mut pokes| pokes.recv().await.map(|poked| (Ok(poked.into()), pokes)));
    let mut streams: Vec<Queue<K>> = vec![objects.boxed(), trigger_owners(secrets, (), ()).boxed(), pokes.boxed()];
    if K::HAS_KEYSPACE {
        let indexes = indexes.clone();
        let keyspaces = watch(scope.api::<PartialObjectMeta<Keyspace>>(client), watcher::Config::default());
        let keyspaces = keyspaces.default_backoff().touched_objects();
        let members = move |keyspace: PartialObjectMeta<Keyspace>| {
            let names = indexes.members(&keyspace.namespace().unwrap_or_default(), &keyspace.name_any());
            names.into_iter().map(ReconcileRequest::from)
        };
        streams.push(trigger_with(keyspaces, members).boxed());
    }
    (store, select_all(streams).boxed())
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
