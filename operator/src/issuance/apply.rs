//! The two writes of issuance: the Secret, created and never overwritten, and the status.

use k8s_openapi::api::core::v1::Secret;
use keyplane_api::STATUS_FIELD_MANAGER;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};

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

/// Applies the status as the one owner of its fields. An object that was deleted and made again meanwhile refuses it by its uid.
pub(super) async fn write_status<K: KeyKind>(
    client: &Client,
    namespace: &str,
    name: &str,
    status: &serde_json::Value,
) -> Result<(), Error> {
    let api = Api::<K>::namespaced(client.clone(), namespace);
    let params = PatchParams::apply(STATUS_FIELD_MANAGER).force();
    api.patch_status(name, &params, &Patch::Apply(status)).await.map_err(Error::api("write the status"))?;
    Ok(())
}
