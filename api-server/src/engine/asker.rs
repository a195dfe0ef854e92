//! On whose behalf a key is verified: all that differs between a caller with a root key and a wire without callers (v1).

use keyplane_core::permission::Action;
use keyplane_core::plan::{Owner, Planned};
use keyplane_core::record::KeyRecord;

use super::Request;
use crate::index::{CallerEntry, NamespaceId};

/// Who asks.
#[derive(Clone, Copy)]
pub(super) enum Asker<'a> {
    /// A root key: it decides the namespace, and sees the keys that it may verify.
    Caller(&'a CallerEntry),
    /// Anyone who holds a key of this namespace.
    Anyone(NamespaceId),
}

impl Asker<'_> {
    /// Where to look.
    pub(super) const fn namespace(self) -> NamespaceId {
        match self {
            Self::Caller(caller) => caller.namespace,
            Self::Anyone(namespace) => namespace,
        }
    }

    /// Whether the key is there at all for the one who asks.
    pub(super) fn sees(self, request: &Request<'_>, key: &KeyRecord) -> bool {
        match self {
            Self::Caller(caller) => {
                let id = Some(&*key.keyspace_id);
                let wanted = Action { resource: "api", id, collection: "keyspaces", action: "verify_key" };
                request.wants(key) && caller.record.grants.allow(&wanted)
            }
            // Who holds the key knows that it exists.
            Self::Anyone(_) => true,
        }
    }

    /// Whether a key that is there must be refused because the request wants one of another keyspace. A disabled key is rather that.
    pub(super) fn refuses(self, request: &Request<'_>, key: &KeyRecord) -> bool {
        match self {
            Self::Caller(_) => false,
            Self::Anyone(_) => key.enabled && !request.wants(key),
        }
    }

    /// The limits, each on the counter where it counts for this asker.
    pub(super) fn counted<'p>(self, owner: Owner<'_>, planned: Vec<Planned<'p>>) -> Vec<Planned<'p>> {
        match self {
            Self::Caller(_) => planned,
            Self::Anyone(_) => planned.into_iter().map(|planned| planned.by_identity(owner)).collect(),
        }
    }
}
