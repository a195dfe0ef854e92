//! What verify pods need to ask the API server who reads their operational pages.

use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding, RoleRef};

use super::super::decide::Plan;
use super::rbac::{RBAC_GROUP, subjects};
use super::{access_name, placed};

/// The ClusterRole of Kubernetes that allows `TokenReview` and `SubjectAccessReview`.
pub const AUTH_DELEGATOR: &str = "system:auth-delegator";
/// The Role of Kubernetes, in [`AUTHENTICATION_NAMESPACE`], that allows to read the authority of client certificates.
pub const AUTHENTICATION_READER: &str = "extension-apiserver-authentication-reader";
/// Where the API server publishes that authority.
pub const AUTHENTICATION_NAMESPACE: &str = "kube-system";

/// Lets the pods ask whose a token is, and who may read a path.
pub(super) fn auth_delegator(plan: &Plan) -> ClusterRoleBinding {
    ClusterRoleBinding {
        metadata: placed(plan, format!("{}-auth-delegator", access_name(plan)), None),
        role_ref: role_ref("ClusterRole", AUTH_DELEGATOR),
        subjects: Some(subjects(plan)),
    }
}

/// Lets the pods read who vouches for client certificates.
pub(super) fn authentication_reader(plan: &Plan) -> RoleBinding {
    let name = format!("{}-authentication-reader", access_name(plan));
    RoleBinding {
        metadata: placed(plan, name, Some(AUTHENTICATION_NAMESPACE)),
        role_ref: role_ref("Role", AUTHENTICATION_READER),
        subjects: Some(subjects(plan)),
    }
}

fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef { api_group: RBAC_GROUP.to_owned(), kind: kind.to_owned(), name: name.to_owned() }
}
