//! The one kind of write: what is ours of a status, applied under a field manager of its own.

use keyplane_api::{
    ApiKey, Identity, KeyPermission, KeyRole, Keyspace, REFERENCES_FIELD_MANAGER, RateLimit, RateLimitOverride,
};
use kube::api::{Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client};

use super::ledger::Write;
use super::object::{Kept, Kind};
use crate::drive::Error;

/// Applies the status. An object that was deleted and made again meanwhile refuses it by its uid.
pub(super) async fn write(client: Client, write: &Write) -> Result<(), Error> {
    match write.place.kind {
        Kind::ApiKey => apply::<ApiKey>(client, write).await,
        Kind::RateLimit => apply::<RateLimit>(client, write).await,
        Kind::RateLimitOverride => apply::<RateLimitOverride>(client, write).await,
        Kind::Keyspace => apply::<Keyspace>(client, write).await,
        Kind::Identity => apply::<Identity>(client, write).await,
        Kind::KeyRole => apply::<KeyRole>(client, write).await,
        Kind::KeyPermission => apply::<KeyPermission>(client, write).await,
    }
}

async fn apply<K: Kept>(client: Client, write: &Write) -> Result<(), Error> {
    // Of the answer nobody reads more than that it came.
    let api = Api::<PartialObjectMeta<K>>::namespaced(client, &write.namespace);
    let params = PatchParams::apply(REFERENCES_FIELD_MANAGER).force();
    let patch = Patch::Apply(&write.patch);
    api.patch_status(&write.place.name, &params, &patch).await.map_err(Error::api("write the status"))?;
    Ok(())
}
