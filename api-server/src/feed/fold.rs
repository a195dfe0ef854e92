//! Folds objects into index changes: synchronous, no clock, no I/O, so every rule of it is tested with values.
//!
//! Kept per key: its record (shared with the index), its hashes and its age. Names are resolved here: roles into permissions, an external
//! id into the identity. Whatever the order in which objects arrive, the same objects give the same index.

mod claims;
mod limits;
mod names;
mod sources;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use keyplane_api::limit_record;
use keyplane_api::record::{self, ResolvedRoot, UnresolvedKey};
use keyplane_api::{ApiKey, RootKey};
use keyplane_core::hash::KeyHash;
use keyplane_core::record::{KeyRecord, RootRecord, ServedHash};

use self::claims::Claims;
use self::limits::Limits;
use self::names::Names;
use self::sources::Sources;
use crate::index::{CallerEntry, Change, KeyEntry, NamespaceId, Namespaces};
use crate::registry::{Event, Kind, Object, ObjectKey};

/// See the module.
pub(super) struct Fold {
    sources: Sources,
    namespaces: Namespaces,
    names: Names,
    limits: Limits,
    keys: HashMap<Arc<ObjectKey>, Key>,
    callers: HashMap<Arc<ObjectKey>, Caller>,
    /// Who has a hash, for keys within their namespace.
    key_claims: Claims<(NamespaceId, KeyHash)>,
    /// Who has a hash, for root keys in all namespaces.
    caller_claims: Claims<KeyHash>,
}

struct Key {
    namespace: NamespaceId,
    record: Arc<KeyRecord>,
    hashes: Vec<ServedHash>,
    /// The name of its keyspace and its labels: what `RateLimit`s select keys by.
    keyspace: Arc<str>,
    labels: BTreeMap<String, String>,
}

struct Caller {
    namespace: NamespaceId,
    record: Arc<RootRecord>,
    hashes: Vec<ServedHash>,
}

impl Fold {
    /// A fold over so many sources; it is complete when each has been listed once.
    pub(super) fn new(sources: usize) -> Self {
        Self {
            sources: Sources::new(sources),
            namespaces: Namespaces::default(),
            names: Names::default(),
            limits: Limits::default(),
            keys: HashMap::new(),
            callers: HashMap::new(),
            key_claims: Claims::default(),
            caller_claims: Claims::default(),
        }
    }

    /// Whether every source has been listed.
    pub(super) fn is_complete(&self) -> bool {
        self.sources.are_complete()
    }

    /// Key objects held, served or not.
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Root key objects held.
    pub(super) fn callers(&self) -> usize {
        self.callers.len()
    }

    /// Takes one event of one source and adds what it changes in the index. Nothing is added before the fold is complete; completing it
    /// adds everything at once, so that names are resolved once and each shard of the index is built once.
    pub(super) fn apply(&mut self, source: usize, event: Event, changes: &mut Vec<Change>) {
        match event {
            Event::Restarted => self.sources.restarted(source),
            Event::Applied(object) => {
                let key = Arc::new(object.key());
                self.sources.seen(source, key.clone());
                self.put(key, object, changes);
            }
            Event::Deleted(key) => {
                self.sources.gone(source, &key);
                self.remove(&key, changes);
            }
            Event::Unreadable(key, error) => {
                // The former state may be what someone just revoked: an object that can't be read is not served.
                tracing::warn!(object = %key, error, "an object can't be read and is not served");
                self.sources.gone(source, &key);
                self.remove(&key, changes);
            }
            Event::Listed => {
                let was_complete = self.is_complete();
                for key in self.sources.listed(source) {
                    self.remove(&key, changes);
                }
                if !was_complete && self.is_complete() {
                    self.add_everything(changes);
                }
            }
        }
    }

    fn put(&mut self, key: Arc<ObjectKey>, object: Object, changes: &mut Vec<Change>) {
        let age = record::seniority(object.metadata());
        match object {
            Object::ApiKey(object) => self.put_key(key, &object, changes),
            Object::RootKey(object) => self.put_caller(key, &object, changes),
            Object::KeyRole(object) => {
                let (role, permissions) = record::role(&object);
                let touched = self.names.put_role(&key, &age, role, permissions);
                self.resolve_again(&key.namespace, changes, |key| has_role(&key.record, &touched));
            }
            Object::Identity(object) => {
                let touched = self.names.put_identity(&key, &age, record::identity(&object));
                self.resolve_again(&key.namespace, changes, |key| has_identity(&key.record, &touched));
            }
            Object::RateLimit(object) => {
                let changed = self.limits.put_limit(&key, age, limit_record::rate_limit(&object));
                self.limits_changed(&key.namespace, changed, changes);
            }
            Object::RateLimitOverride(object) => {
                let changed = self.limits.put_override(&key, age, limit_record::rate_limit_override(&object));
                self.limits_changed(&key.namespace, changed, changes);
            }
            Object::Keyspace(object) => {
                let touched = self.names.put_keyspace(&key, &age, record::allowed_addresses(&object));
                self.resolve_again(&key.namespace, changes, |key| touched.contains(&key.keyspace));
            }
            Object::KeyPermission(_) => {}
        }
    }

    fn remove(&mut self, key: &ObjectKey, changes: &mut Vec<Change>) {
        match key.kind {
            Kind::ApiKey => {
                if let Some(gone) = self.keys.remove(key) {
                    self.release_keys(key, &gone, &[], changes);
                }
            }
            Kind::RootKey => {
                if let Some(gone) = self.callers.remove(key) {
                    self.release_callers(key, &gone, &[], changes);
                }
            }
            Kind::KeyRole => {
                let touched = self.names.remove_role(key);
                self.resolve_again(&key.namespace, changes, |key| has_role(&key.record, &touched));
            }
            Kind::Identity => {
                let touched = self.names.remove_identity(key);
                self.resolve_again(&key.namespace, changes, |key| has_identity(&key.record, &touched));
            }
            Kind::RateLimit | Kind::RateLimitOverride => {
                let changed = self.limits.remove(key);
                self.limits_changed(&key.namespace, changed, changes);
            }
            Kind::Keyspace => {
                let touched = self.names.remove_keyspace(key);
                self.resolve_again(&key.namespace, changes, |key| touched.contains(&key.keyspace));
            }
            Kind::KeyPermission => {}
        }
    }

    fn put_key(&mut self, key: Arc<ObjectKey>, object: &ApiKey, changes: &mut Vec<Change>) {
        let (namespace, _) = self.namespaces.number(&key.namespace);
        let UnresolvedKey { mut record, keyspace, hashes, seniority } =
            record::unresolved_key(object, |text| self.names.share(text));
        record.keyspace_id = self.names.keyspace_id(&key.namespace, &keyspace);
        let labels = object.metadata.labels.clone().unwrap_or_default();
        if self.is_complete() {
            // Before that all are resolved at once, when every name is known.
            self.names.resolve(&mut record, &keyspace);
            record.selected_limits = self.limits.of_key(&record, &keyspace, &labels);
        }
        let new = Key { namespace, record: Arc::new(record), hashes: hashes.clone(), keyspace, labels };
        if let Some(old) = self.keys.insert(key.clone(), new) {
            self.release_keys(&key, &old, &hashes, changes);
        }
        for served in &hashes {
            self.key_claims.claim((namespace, served.hash), &key, &seniority);
            self.settle_key(namespace, served.hash, changes);
        }
    }

    fn put_caller(&mut self, key: Arc<ObjectKey>, object: &RootKey, changes: &mut Vec<Change>) {
        let (namespace, _) = self.namespaces.number(&key.namespace);
        let ResolvedRoot { record, hashes, seniority } = record::resolved_root(object);
        let new = Caller { namespace, record: Arc::new(record), hashes: hashes.clone() };
        if let Some(old) = self.callers.insert(key.clone(), new) {
            self.release_callers(&key, &old, &hashes, changes);
        }
        for served in &hashes {
            self.caller_claims.claim(served.hash, &key, &seniority);
            self.settle_caller(served.hash, changes);
        }
    }

    /// Gives up the hashes of a key that are not among those it keeps; whoever waited for one gets it.
    fn release_keys(&mut self, key: &ObjectKey, old: &Key, kept: &[ServedHash], changes: &mut Vec<Change>) {
        for hash in given_up(&old.hashes, kept) {
            self.key_claims.release(&(old.namespace, hash), key);
            self.settle_key(old.namespace, hash, changes);
        }
    }

    fn release_callers(&mut self, key: &ObjectKey, old: &Caller, kept: &[ServedHash], changes: &mut Vec<Change>) {
        for hash in given_up(&old.hashes, kept) {
            self.caller_claims.release(&hash, key);
            self.settle_caller(hash, changes);
        }
    }

    /// Puts the owner of a hash into the index, or nobody.
    fn settle_key(&self, namespace: NamespaceId, hash: KeyHash, changes: &mut Vec<Change>) {
        if !self.is_complete() {
            return;
        }
        let owner = self.key_claims.owner(&(namespace, hash)).and_then(|owner| self.keys.get(owner));
        let entry = owner.and_then(|owner| owner.entry(hash));
        changes.push(entry.map_or(Change::RemoveKey(namespace, hash), Change::PutKey));
    }

    fn settle_caller(&self, hash: KeyHash, changes: &mut Vec<Change>) {
        if !self.is_complete() {
            return;
        }
        let owner = self.caller_claims.owner(&hash).and_then(|owner| self.callers.get(owner));
        let entry = owner.and_then(|owner| owner.entry(hash));
        changes.push(entry.map_or(Change::RemoveCaller(hash), |entry| Change::PutCaller(hash, entry)));
    }

    /// A `RateLimit` or an override came, changed or went: the namespace's named limits and what selects its keys.
    fn limits_changed(&mut self, namespace: &str, changed: bool, changes: &mut Vec<Change>) {
        if changed && self.is_complete() {
            let (id, _) = self.namespaces.number(namespace);
            changes.push(Change::PutLimits(id, self.limits.named_in(namespace)));
            self.resolve_again(namespace, changes, |_| true);
        }
    }

    /// Resolves the names of a namespace's keys anew, after a role, an identity, a keyspace or a limit changed. Cost: a walk over all keys; roles and
    /// identities change rarely, keys refer to them by the thousand.
    fn resolve_again(&mut self, namespace: &str, changes: &mut Vec<Change>, concerned: impl Fn(&Key) -> bool) {
        if !self.is_complete() {
            return;
        }
        for (object, key) in &mut self.keys {
            if object.namespace != namespace || !concerned(key) {
                continue;
            }
            key.resolve(&self.names, &self.limits);
            let owned =
                key.hashes.iter().filter(|h| self.key_claims.owner(&(key.namespace, h.hash)) == Some(&**object));
            changes.extend(owned.filter_map(|served| key.entry(served.hash)).map(Change::PutKey));
        }
    }

    fn add_everything(&mut self, changes: &mut Vec<Change>) {
        self.limits.go_live();
        for key in self.keys.values_mut() {
            // Not shared with the index yet, so nothing is copied.
            let record = Arc::make_mut(&mut key.record);
            self.names.resolve(record, &key.keyspace);
            record.selected_limits = self.limits.of_key(record, &key.keyspace, &key.labels);
        }
        for (namespace, limits) in self.limits.named() {
            changes.push(Change::PutLimits(self.namespaces.number(namespace).0, limits));
        }
        let keys = self.keys.values().flat_map(|key| key.hashes.iter().map(|h| (key.namespace, h.hash)));
        for (namespace, hash) in keys {
            self.settle_key(namespace, hash, changes);
        }
        for hash in self.callers.values().flat_map(|caller| caller.hashes.iter().map(|h| h.hash)) {
            self.settle_caller(hash, changes);
        }
    }
}

fn given_up<'a>(old: &'a [ServedHash], kept: &'a [ServedHash]) -> impl Iterator<Item = KeyHash> + 'a {
    old.iter().map(|old| old.hash).filter(|old| !kept.iter().any(|kept| kept.hash == *old))
}

fn has_role(record: &KeyRecord, names: &[Arc<str>]) -> bool {
    record.roles.iter().any(|role| names.contains(role))
}

fn has_identity(record: &KeyRecord, external_ids: &[Arc<str>]) -> bool {
    record.identity.as_ref().is_some_and(|identity| external_ids.iter().any(|id| **id == *identity.external_id))
}

/// The end of a hash among those of one object; outer `None` when it isn't there. Of a hash that stands there twice (a key rotated back
/// to itself) the one without an end counts.
fn end_of(hashes: &[ServedHash], hash: KeyHash) -> Option<ServedHash> {
    hashes.iter().filter(|served| served.hash == hash).min_by_key(|served| served.valid_until.is_some()).copied()
}

impl Key {
    fn resolve(&mut self, names: &Names, limits: &Limits) {
        let mut record = KeyRecord::clone(&self.record);
        names.resolve(&mut record, &self.keyspace);
        record.selected_limits = limits.of_key(&record, &self.keyspace, &self.labels);
        self.record = Arc::new(record);
    }

    fn entry(&self, hash: KeyHash) -> Option<KeyEntry> {
        let ServedHash { hash, valid_until } = end_of(&self.hashes, hash)?;
        Some(KeyEntry { namespace: self.namespace, hash, valid_until, record: self.record.clone() })
    }
}

impl Caller {
    fn entry(&self, hash: KeyHash) -> Option<CallerEntry> {
        let valid_until = end_of(&self.hashes, hash)?.valid_until;
        Some(CallerEntry { namespace: self.namespace, valid_until, record: self.record.clone() })
    }
}

#[cfg(test)]
mod tests;
