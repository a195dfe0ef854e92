//! Who the verify pods are to the Kubernetes API.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::super::decide::Plan;
use super::{name, owned};

/// The account of the pods. Its token is mounted only where a pod says so, as ours do.
pub(super) fn service_account(plan: &Plan) -> ServiceAccount {
    ServiceAccount {
        metadata: owned(plan, name(&plan.pool)),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
