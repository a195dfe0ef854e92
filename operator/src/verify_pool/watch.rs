//! What makes a pool's turn come: changes of the pool, of what it owns (by label), and of namespaces.

use std::fmt::Debug;

use futures::stream::{BoxStream, StreamExt, select_all};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Namespace, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use keyplane_api::{POOL_LABEL, POOL_NAMESPACE_LABEL, VerifyPool};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::{ReconcileRequest, trigger_self, trigger_with};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, watcher as watch};
use kube::{Api, Client, Resource, ResourceExt};

use crate::config::Scope;
use crate::drive::Watched;

type Queue = BoxStream<'static, Result<ReconcileRequest<Watched<VerifyPool>>, watcher::Error>>;

/// The store of pools and the queue of those to reconcile.
pub(super) fn queue(client: &Client, scope: &Scope) -> (Store<Watched<VerifyPool>>, Queue) {
    let (store, writer) = reflector::store::<Watched<VerifyPool>>();
    let pools = watch(scope.api::<Watched<VerifyPool>>(client), watcher::Config::default())
        .default_backoff()
        .modify(|pool| pool.meta_mut().managed_fields = None)
        .reflect(writer)
        .applied_objects();
    let known = store.clone();
    let namespaces = watch(Api::<PartialObjectMeta<Namespace>>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .touched_objects();
    let streams: Vec<Queue> = vec![
        trigger_self(pools, ()).boxed(),
        owned(scope.api::<PartialObjectMeta<StatefulSet>>(client)),
        owned(scope.api::<PartialObjectMeta<Service>>(client)),
        owned(scope.api::<PartialObjectMeta<ServiceAccount>>(client)),
        owned(scope.api::<PartialObjectMeta<PodDisruptionBudget>>(client)),
        owned(scope.api::<PartialObjectMeta<Role>>(client)),
        owned(scope.api::<PartialObjectMeta<RoleBinding>>(client)),
        owned(Api::<PartialObjectMeta<ClusterRole>>::all(client.clone())),
        owned(Api::<PartialObjectMeta<ClusterRoleBinding>>::all(client.clone())),
        // A namespace may be named or selected by any pool; there are few pools, so all of them look.
        trigger_with(namespaces, move |_| selecting(&known)).boxed(),
    ];
    (store, select_all(streams).boxed())
}

/// Only metadata, and only of what carries a pool's label.
fn owned<K>(api: Api<PartialObjectMeta<K>>) -> Queue
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    let stream = watch(api, watcher::Config::default().labels(POOL_LABEL)).default_backoff().touched_objects();
    trigger_with(stream, |object: PartialObjectMeta<K>| pool_of(&object)).boxed()
}

fn pool_of<K: Resource>(object: &K) -> Option<ReconcileRequest<Watched<VerifyPool>>> {
    let (name, namespace) = (object.labels().get(POOL_LABEL)?, object.labels().get(POOL_NAMESPACE_LABEL)?);
    Some(ObjectRef::new(name).within(namespace).into())
}

fn selecting(store: &Store<Watched<VerifyPool>>) -> Vec<ReconcileRequest<Watched<VerifyPool>>> {
    let pools = store.state();
    let selecting = pools.iter().filter(|pool| pool.0.as_ref().is_ok_and(|pool| pool.spec.serves.is_some()));
    selecting.map(|pool| ObjectRef::from_obj(&**pool).into()).collect()
}
