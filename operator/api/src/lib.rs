//! The custom resources of `keyplane.dev/v1alpha1`: types, rules and generated definitions.
//!
//! Nothing here talks to a cluster: no client, no async, no clock. The doc comments of fields are what `kubectl explain`
//! prints, so they are written for the person who writes YAML: what a field does, its unit, its default and what happens
//! when it is absent. Rules that a schema cannot say are CEL next to the field they guard; what neither can say (a time
//! that must lie in the future: CEL in a definition has no clock) is a condition that the operator sets.

#![allow(clippy::doc_markdown, reason = "field docs are what kubectl explain prints, where backticks are noise")]
#![allow(clippy::duplicated_attributes, reason = "columns of a kind share types and priorities")]
#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function and keeps its visibility")]

mod api_key;
pub mod condition;
mod crd;
mod credits;
pub mod credits_record;
mod duration;
mod embedded;
mod guarded;
mod identity;
mod issued;
mod key_source;
mod keyspace;
mod limit;
pub mod limit_record;
mod meta;
mod permission;
mod rate_limit;
pub mod record;
mod role;
mod root_key;
mod rotation;
mod verify_pool;

pub use api_key::{ApiKey, ApiKeySpec, ApiKeyStatus};
pub use crd::{CrdError, all_crds, crd_files};
pub use credits::{Credits, CreditsStatus, Refill, RefillInterval};
pub use duration::GoDuration;
pub use guarded::Guarded;
pub use identity::{Identity, IdentitySpec, IdentityStatus};
pub use issued::{CurrentKey, PreviousKey};
pub use key_source::{GenerateKey, HashKey, KeySource, KeySourceError, PrefixedHashKey, SecretKeyRef};
pub use keyspace::{KeyDefaults, Keyspace, KeyspaceSpec, KeyspaceStatus};
pub use limit::NamedLimit;
pub use meta::{META_MAX_BYTES, Meta};
pub use permission::{KeyPermission, KeyPermissionSpec, KeyPermissionStatus};
pub use rate_limit::{
    Algorithm, AppliesTo, LimitScope, Override, RateLimit, RateLimitOverride, RateLimitOverrideSpec,
    RateLimitOverrideStatus, RateLimitSpec, RateLimitStatus,
};
pub use role::{KeyRole, KeyRoleSpec, KeyRoleStatus};
pub use root_key::{RootKey, RootKeySpec, RootKeyStatus};
pub use rotation::Rotation;
pub use verify_pool::{
    Served, Serves, ServiceType, Snapshot, Storage, Tls, TlsIssuerRef, VerifyPool, VerifyPoolService, VerifyPoolSpec,
    VerifyPoolStatus,
};

/// The API group of every resource.
pub const GROUP: &str = "keyplane.dev";
/// The one served and stored version.
pub const VERSION: &str = "v1alpha1";
/// Group and version as `apiVersion` has them.
pub const API_VERSION: &str = "keyplane.dev/v1alpha1";
/// `kubectl get keyplane` lists every kind.
pub const CATEGORY: &str = "keyplane";

/// Field manager of what the operator applies (Secrets, the objects of a pool).
pub const FIELD_MANAGER: &str = "keyplane-operator";
/// Field manager of the statuses that the operator writes.
pub const STATUS_FIELD_MANAGER: &str = "keyplane-operator-status";
/// Field manager of what the operator says of names and references: the statuses of `RateLimit`, `RateLimitOverride`, `Keyspace`,
/// `Identity`, `KeyRole` and `KeyPermission`, and one condition of an `ApiKey`, whose other fields have another writer.
pub const REFERENCES_FIELD_MANAGER: &str = "keyplane-operator-references";
/// Field manager, and value of the managed-by label, of objects made through the HTTP API.
pub const API_FIELD_MANAGER: &str = "keyplane-api";

/// The label that says which program made an object.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY_LABEL`] on what the operator makes.
pub const MANAGED_BY_OPERATOR: &str = "keyplane-operator";
/// On a Secret: the name of the ApiKey that it belongs to.
pub const API_KEY_LABEL: &str = "keyplane.dev/apikey";
/// On a Secret: the name of the RootKey that it belongs to.
pub const ROOT_KEY_LABEL: &str = "keyplane.dev/rootkey";
/// On an ApiKey or RootKey with a generated key: any new value has the next key issued now.
pub const ROTATE_ANNOTATION: &str = "keyplane.dev/rotate";
/// On a Secret with a generated key: SHA-256 of the key that the one in it replaced. By it a rotation is known that has reached the Secret
/// and not the status.
pub const REPLACES_ANNOTATION: &str = "keyplane.dev/replaces";
/// On what a pool owns: the name of the VerifyPool.
pub const POOL_LABEL: &str = "keyplane.dev/pool";
/// On what a pool owns, cluster-wide objects included: the namespace of the VerifyPool.
pub const POOL_NAMESPACE_LABEL: &str = "keyplane.dev/pool-namespace";

/// Type of the Secret that holds an ApiKey's plain key; a type of our own keeps field-selected watches cheap.
pub const API_KEY_SECRET_TYPE: &str = "keyplane.dev/api-key";
/// Type of the Secret that holds a RootKey's plain key.
pub const ROOT_KEY_SECRET_TYPE: &str = "keyplane.dev/root-key";
/// Data entry of such a Secret: the plain key.
pub const SECRET_DATA_KEY: &str = "key";
/// Data entry of such a Secret: the id that HTTP clients see.
pub const SECRET_DATA_KEY_ID: &str = "keyId";
/// Data entry of such a Secret during the overlap of a rotation: the plain key that ends soon.
pub const SECRET_DATA_PREVIOUS_KEY: &str = "previousKey";

/// The keyspace that exists without an object, and the one of a key that names none.
pub const DEFAULT_KEYSPACE: &str = "default";

/// The name of the Secret of a generated key that names none.
pub fn default_secret_name(key_name: &str) -> String {
    format!("{key_name}-key")
}
