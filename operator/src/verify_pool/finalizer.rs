//! The pool's finalizer: some of its rights live where the garbage collector does not follow, and must go before it.

use keyplane_api::{API_VERSION, FIELD_MANAGER, VerifyPool};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::drive::Error;

/// Its name on the object.
pub(super) const FINALIZER: &str = "keyplane.dev/verify-pool";

/// Whether the pool has it.
pub(super) fn is_held(pool: &VerifyPool) -> bool {
    pool.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// Takes it or lets it go. Applied as the owner of this one entry, so that the finalizers of others stay.
pub(super) async fn hold(client: &Client, pool: &VerifyPool, hold: bool) -> Result<(), Error> {
    if is_held(pool) == hold {
        return Ok(());
    }
    let namespace = pool.namespace().ok_or(Error::Incomplete("namespace"))?;
    let api = Api::<VerifyPool>::namespaced(client.clone(), &namespace);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match api.patch(&pool.name_any(), &params, &Patch::Apply(patch(pool, hold))).await {
        // Let go of by an earlier try, and gone since.
        Err(kube::Error::Api(status)) if !hold && (status.is_not_found() || status.is_conflict()) => Ok(()),
        other => other.map(drop).map_err(Error::api("change the pool's finalizer")),
    }
}

/// The uid keeps it from touching, or making, another pool of the same name.
fn patch(pool: &VerifyPool, hold: bool) -> Value {
    let finalizers: &[&str] = if hold { &[FINALIZER] } else { &[] };
    let metadata = json!({"name": pool.name_any(), "uid": pool.uid(), "finalizers": finalizers});
    json!({"apiVersion": API_VERSION, "kind": "VerifyPool", "metadata": metadata})
}
