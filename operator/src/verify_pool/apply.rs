//! Writes the objects of a pool, in an order that never leaves pods without what they need.
//!
//! Server-side apply with one field manager; nothing is sent for an object that has all we want of it already. An object of one
//! of our names that is not of this pool is never taken over.

use std::fmt::Debug;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use keyplane_api::{FIELD_MANAGER, POOL_LABEL, POOL_NAMESPACE_LABEL};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt};
use prometheus_client::metrics::counter::Counter;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::build::Bundle;
use super::covers::covers;
use crate::drive::Error;

/// Applies everything and returns the StatefulSet as the API server has it, which is what the status is made of.
pub(super) async fn apply(client: &Client, bundle: Bundle, applied: &Counter) -> Result<StatefulSet, Error> {
    let writer = Writer { client, applied };
    // Every field by name: a new object that is not applied does not compile.
    let Bundle {
        service_account,
        roles,
        role_bindings,
        cluster_role,
        cluster_role_binding,
        auth_delegator,
        authentication_reader,
        service,
        headless_service,
        disruption_budget,
        stateful_set,
    } = bundle;
    // Who the pods are and what they may read: before any pod asks.
    writer.namespaced(service_account).await?;
    for role in roles {
        writer.namespaced(role).await?;
    }
    for binding in role_bindings {
        writer.namespaced(binding).await?;
    }
    if let Some(role) = cluster_role {
        writer.cluster(role).await?;
    }
    if let Some(binding) = cluster_role_binding {
        writer.cluster(binding).await?;
    }
    writer.cluster(auth_delegator).await?;
    writer.namespaced(authentication_reader).await?;
    // The headless Service gives the pods their names, so it is there before them.
    writer.namespaced(headless_service).await?;
    writer.namespaced(service).await?;
    writer.namespaced(disruption_budget).await?;
    writer.namespaced(stateful_set).await
}

struct Writer<'a> {
    client: &'a Client,
    applied: &'a Counter,
}

impl Writer<'_> {
    async fn namespaced<K>(&self, desired: K) -> Result<K, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
    {
        let namespace = desired.namespace().ok_or(Error::Incomplete("namespace"))?;
        self.one(&Api::namespaced(self.client.clone(), &namespace), desired).await
    }

    async fn cluster<K>(&self, desired: K) -> Result<K, Error>
    where
        K: Resource<DynamicType = (), Scope = ClusterResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
    {
        self.one(&Api::all(self.client.clone()), desired).await
    }

    async fn one<K>(&self, api: &Api<K>, desired: K) -> Result<K, Error>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
    {
        let name = desired.name_any();
        let live = api.get_opt(&name).await.map_err(Error::api("read an object of the pool"))?;
        if let Some(live) = live {
            if !same_pool(&live, &desired) {
                return Err(Error::Spec(format!(
                    "{} `{name}` exists already and does not belong to this pool, so it is left alone; delete it or give the pool another name",
                    K::kind(&())
                )));
            }
            if covers(&value(&live)?, &value(&desired)?) {
                return Ok(live);
            }
        }
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let written = api.patch(&name, &params, &Patch::Apply(&desired)).await;
        let written = written.map_err(Error::api("apply an object of the pool"))?;
        self.applied.inc();
        Ok(written)
    }
}

fn same_pool<K: Resource>(live: &K, desired: &K) -> bool {
    [POOL_LABEL, POOL_NAMESPACE_LABEL].iter().all(|label| live.labels().get(*label) == desired.labels().get(*label))
}

fn value<K: Serialize>(object: &K) -> Result<serde_json::Value, Error> {
    serde_json::to_value(object).map_err(Error::Serialise)
}
