//! The writes of issuance: the Secret, which is changed only in the version that was read, and the status.

use k8s_openapi::api::core::v1::Secret;
use keyplane_api::STATUS_FIELD_MANAGER;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::Value;

use super::kind::KeyKind;
use crate::drive::Error;

/// Creates the Secret. `None`: one of this name exists. A create can never replace a key that is there, an apply could.
pub(super) async fn create_secret(client: &Client, namespace: &str, secret: &Secret) -> Result<Option<Secret>, Error> {
    let api = Api::<Secret>::namespaced(client.clone(), namespace);
    let params = PostParams { field_manager: Some(keyplane_api::FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match api.create(&params, secret).await {
        Ok(created) => Ok(Some(created)),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
        Err(error) => Err(Error::secret("create the key's Secret")(error)),
    }
}

/// Patches a Secret in a certain version. `false`: it is another one by now, or gone. The answer is asked for without its data.
pub(super) async fn patch_secret(client: &Client, namespace: &str, name: &str, patch: &Value) -> Result<bool, Error> {
    let api = Api::<Secret>::namespaced(client.clone(), namespace);
    let params = PatchParams { field_manager: Some(keyplane_api::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match api.patch_metadata(name, &params, &Patch::Merge(patch)).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => Ok(false),
        Err(error) => Err(Error::secret("change the key's Secret")(error)),
    }
}

/// Applies the status as the one owner of its fields. An object that was deleted and made again meanwhile refuses it by its uid.
pub(super) async fn write_status<K: KeyKind>(
    client: &Client,
    namespace: &str,
    name: &str,
    status: &Value,
) -> Result<(), Error> {
    let api = Api::<K>::namespaced(client.clone(), namespace);
    let params = PatchParams::apply(STATUS_FIELD_MANAGER).force();
    api.patch_status(name, &params, &Patch::Apply(status)).await.map_err(Error::api("write the status"))?;
    Ok(())
}
