//! What a pool's decision needs from the cluster besides the pool itself: the namespaces. No decisions.

use k8s_openapi::api::core::v1::Namespace;
use keyplane_api::VerifyPool;
use kube::api::ListParams;
use kube::core::Selector;
use kube::{Api, Client, ResourceExt};

use super::decide::{Needed, needed};
use crate::drive::Error;

/// The names of the namespaces that count for this pool, without those that are on their way out.
pub(super) async fn namespaces(client: &Client, pool: &VerifyPool) -> Result<Vec<String>, Error> {
    let params = match needed(pool) {
        Needed::None => return Ok(Vec::new()),
        Needed::All => ListParams::default(),
        Needed::Selected(selector) => match Selector::try_from(selector.clone()) {
            Ok(selector) => ListParams::default().labels_from(&selector),
            Err(error) => return Err(Error::Spec(format!("spec.serves.namespaceSelector: {error}"))),
        },
    };
    let list =
        Api::<Namespace>::all(client.clone()).list_metadata(&params).await.map_err(Error::api("list namespaces"))?;
    let staying = list.items.iter().filter(|namespace| namespace.metadata.deletion_timestamp.is_none());
    Ok(staying.map(ResourceExt::name_any).collect())
}
