//! Removes what a pool owns and does not want any more, found by its labels: only kinds that live where no owner reference reaches.

use std::collections::BTreeSet;
use std::fmt::Debug;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use keyplane_api::{POOL_LABEL, POOL_NAMESPACE_LABEL};
use kube::api::{DeleteParams, DynamicObject, ListParams, Preconditions};
use kube::core::ApiResource;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::build::Bundle;
use crate::drive::Error;

/// Kind, namespace (empty for the cluster) and name.
type Place = (String, String, String);

/// Where the objects of a bundle are that could be left behind; empty for a pool that is being deleted.
pub(super) fn kept(bundle: Option<&Bundle>) -> BTreeSet<Place> {
    let Some(bundle) = bundle else { return BTreeSet::new() };
    let roles = bundle.roles.iter().map(place);
    let bindings = bundle.role_bindings.iter().chain([&bundle.authentication_reader]).map(place);
    let cluster_roles = bundle.cluster_role.iter().map(place);
    let cluster_bindings = bundle.cluster_role_binding.iter().chain([&bundle.auth_delegator]).map(place);
    roles.chain(bindings).chain(cluster_roles).chain(cluster_bindings).collect()
}

/// Deletes every Role, ClusterRole and binding with the pool's labels that is not in `kept`. Bindings first: rights end at once.
pub(super) async fn remove(client: &Client, pool: &str, namespace: &str, kept: &BTreeSet<Place>) -> Result<(), Error> {
    let params = ListParams::default().labels(&format!("{POOL_LABEL}={pool},{POOL_NAMESPACE_LABEL}={namespace}"));
    remove_kind::<RoleBinding>(client, &params, kept).await?;
    remove_kind::<ClusterRoleBinding>(client, &params, kept).await?;
    remove_kind::<Role>(client, &params, kept).await?;
    remove_kind::<ClusterRole>(client, &params, kept).await
}

async fn remove_kind<K>(client: &Client, params: &ListParams, kept: &BTreeSet<Place>) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let found =
        Api::<K>::all(client.clone()).list_metadata(params).await.map_err(Error::api("list what the pool owns"))?;
    for object in found.items {
        let (namespace, name) = (object.namespace(), object.name_any());
        if kept.contains(&(K::kind(&()).into_owned(), namespace.clone().unwrap_or_default(), name.clone())) {
            continue;
        }
        let kind = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> = match &namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
            None => Api::all_with(client.clone(), &kind),
        };
        let preconditions = Some(Preconditions { uid: object.uid(), resource_version: None });
        match api.delete(&name, &DeleteParams { preconditions, ..DeleteParams::default() }).await {
            Ok(_) => {
                tracing::info!(object.kind = %K::kind(&()), object.namespace = namespace, object.name = name, "removed what the pool no longer needs");
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(Error::api("delete what the pool no longer needs")(error)),
        }
    }
    Ok(())
}

fn place<K: Resource<DynamicType = ()>>(object: &K) -> Place {
    (K::kind(&()).into_owned(), object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use super::super::build;
    use super::super::decide::tests::plan;

    #[test]
    fn a_pool_keeps_what_it_wants_and_a_deleted_one_nothing() {
        let bundle = build::bundle(&plan(json!({"serves": {"namespaces": ["team-a"]}}))).unwrap();
        let places = kept(Some(&bundle));
        let name = "keyplane-verify-system-edge".to_owned();
        let at = |kind: &str, namespace: &str, name: String| (kind.to_owned(), namespace.to_owned(), name);
        let wanted = [
            at("Role", "team-a", name.clone()),
            at("RoleBinding", "team-a", name.clone()),
            at("ClusterRoleBinding", "", format!("{name}-auth-delegator")),
            at("RoleBinding", "kube-system", format!("{name}-authentication-reader")),
        ];
        assert_eq!(places, BTreeSet::from(wanted));
        assert!(kept(None).is_empty());
    }
}
