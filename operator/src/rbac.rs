//! The rights that the operator needs: what its code does, kept beside it. A test compares the chart with this list.

pub use crate::verify_pool::build::{
    AUTH_DELEGATOR, AUTHENTICATION_NAMESPACE, AUTHENTICATION_READER, VERIFY_KINDS, VERIFY_VERBS,
};

/// Where a right is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// In the whole cluster, or in each watched namespace.
    Cluster,
    /// Only in the namespace that the operator runs in.
    ReleaseNamespace,
}

/// Some resources of a group and what is done with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where.
    pub reach: Reach,
    /// API group; empty for the core one.
    pub group: &'static str,
    /// Plural names.
    pub resources: &'static [&'static str],
    /// Verbs.
    pub verbs: &'static [&'static str],
}

/// Server-side apply needs `patch`, and `create` for what does not exist yet.
const APPLIED: &[&str] = &["create", "get", "list", "patch", "watch"];
const KEYPLANE: &str = "keyplane.dev";

/// Everything that the operator may do, and nothing else, but for two roles of Kubernetes itself that it is bound to: [`AUTH_DELEGATOR`] and
/// [`AUTHENTICATION_READER`]. Its own operational pages need them, and it binds verify pods to the same: rights that one does not have
/// cannot be given to others.
pub const RULES: &[Rule] = &[
    // Its own kinds, and all that verify pods read: rights that one does not have cannot be given to others.
    rule(KEYPLANE, &VERIFY_KINDS, &VERIFY_VERBS),
    // `patch` for the finalizer.
    rule(KEYPLANE, &["verifypools"], &["get", "list", "patch", "watch"]),
    rule(KEYPLANE, &["apikeys/status", "rootkeys/status", "verifypools/status"], &["patch"]),
    // What describes permissions: pods don't need it.
    rule(KEYPLANE, &["keypermissions"], &["list", "watch"]),
    // Who has a name, and who refers to it.
    rule(
        KEYPLANE,
        &[
            "identities/status",
            "keypermissions/status",
            "keyroles/status",
            "keyspaces/status",
            "ratelimitoverrides/status",
            "ratelimits/status",
        ],
        &["patch"],
    ),
    // Where owner references are checked (OwnerReferencesPermissionEnforcement), owning needs this.
    rule(KEYPLANE, &["apikeys/finalizers", "rootkeys/finalizers", "verifypools/finalizers"], &["update"]),
    // `patch` for rotation, always of the version that was read: a key that nobody looked at is never overwritten.
    rule("", &["secrets"], &["create", "get", "list", "patch", "watch"]),
    rule("", &["namespaces"], &["list", "watch"]),
    rule("", &["serviceaccounts", "services"], APPLIED),
    rule("apps", &["statefulsets"], APPLIED),
    rule("policy", &["poddisruptionbudgets"], APPLIED),
    // `delete` for what no owner reference removes.
    rule(
        "rbac.authorization.k8s.io",
        &["clusterrolebindings", "clusterroles", "rolebindings", "roles"],
        &["create", "delete", "get", "list", "patch", "watch"],
    ),
    rule("events.k8s.io", &["events"], &["create", "patch"]),
    Rule {
        reach: Reach::ReleaseNamespace,
        group: "coordination.k8s.io",
        resources: &["leases"],
        verbs: &["create", "get", "update"],
    },
];

const fn rule(group: &'static str, resources: &'static [&'static str], verbs: &'static [&'static str]) -> Rule {
    Rule { reach: Reach::Cluster, group, resources, verbs }
}
