//! Folds objects into index changes: synchronous, no clock, no I/O, so every rule of it is tested with values.
//!
//! Kept per key: its record (shared with the index), its labels and its age. Names are resolved here: roles into permissions, an external
//! id into the identity. Whatever the order in which objects arrive, the same objects give the same index.

mod claims;
mod credit_holders;
mod limits;
mod names;
mod pool;
mod slots;
mod sources;

use std::collections::HashMap;
use std::sync::Arc;

use keyplane_api::limit_record;
use keyplane_api::record::{self, ResolvedRoot, Sharing};
use keyplane_api::{ApiKey, RootKey};
use keyplane_core::counter_id::CounterId;
use keyplane_core::hash::KeyHash;
use keyplane_core::record::{KeyRecord, RootRecord, ServedHash};

use self::claims::Claims;
use self::credit_holders::CreditHolders;
pub(super) use self::credit_holders::Holding;
use self::limits::Limits;
use self::names::Names;
use self::slots::{Labels, Number, Slot, Slots};
use self::sources::{Listing, Sources};
use crate::index::{CallerEntry, Change, KeyEntry, NamespaceId, Namespaces};
use crate::registry::{Event, Kind, Object, ObjectKey};
use crate::snapshot::Changes;

/// See the module.
pub(super) struct Fold {
    sources: Sources,
    namespaces: Namespaces,
    names: Names,
    limits: Limits,
    /// The keys, and who has a hash within its namespace.
    keys: Slots,
    callers: HashMap<Arc<ObjectKey>, Caller>,
    /// Who has a hash, for root keys in all namespaces.
    caller_claims: Claims<KeyHash>,
    /// Which balances have a key.
    credit_holders: CreditHolders,
    /// What the snapshot is to be told; `None`: there is none.
    changes: Option<Changes>,
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
            keys: Slots::default(),
            callers: HashMap::new(),
            caller_claims: Claims::default(),
            credit_holders: CreditHolders::default(),
            changes: None,
        }
    }

    /// From now on what changes is kept for the snapshot.
    pub(super) fn keep_changes(&mut self) {
        self.changes = Some(Changes::default());
    }

    /// What changed since the last call, in its order.
    pub(super) fn kept_changes(&mut self) -> Changes {
        self.changes.as_mut().map(std::mem::take).unwrap_or_default()
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
            Event::Applied(mut object) => {
                if let Some(kept) = &mut self.changes {
                    kept.put(&mut object);
                }
                let object = match object {
                    Object::ApiKey(key) => return self.put_key(&key, self.sources.listing(source), changes),
                    other => other,
                };
                let key = Arc::new(object.key());
                self.sources.seen(source, key.clone());
                self.put(key, object, changes);
            }
            Event::Deleted(key) => {
                self.sources.gone(source, &key);
                self.gone(&key);
                self.remove(&key, changes);
            }
            Event::Unreadable(key, error) => {
                // The former state may be what someone just revoked: an object that can't be read is not served.
                tracing::warn!(object = %key, error, "an object can't be read and is not served");
                self.sources.gone(source, &key);
                self.gone(&key);
                self.remove(&key, changes);
            }
            Event::Listed => {
                let was_complete = self.is_complete();
                for key in self.sources.listed(source) {
                    self.gone(&key);
                    self.remove(&key, changes);
                }
                self.remove_unnamed(self.sources.listing(source), changes);
                if !was_complete && self.is_complete() {
                    self.add_everything(changes);
                }
            }
        }
    }

    fn gone(&mut self, key: &ObjectKey) {
        if let Some(kept) = &mut self.changes {
            kept.remove(key);
        }
    }

    fn put(&mut self, key: Arc<ObjectKey>, object: Object, changes: &mut Vec<Change>) {
        let age = record::seniority(object.metadata());
        match object {
            // Taken before; see `apply`.
            Object::ApiKey(_) | Object::KeyPermission(_) => {}
            Object::RootKey(object) => self.put_caller(key, &object, changes),
            Object::KeyRole(object) => {
                let (role, permissions) = record::role(&object);
                let touched = self.names.put_role(&key, &age, role, permissions);
                self.resolve_again(&key.namespace, changes, |key| has_role(key, &touched));
            }
            Object::Identity(object) => {
                let touched = self.names.put_identity(&key, &age, record::identity(&object));
                self.resolve_again(&key.namespace, changes, |key| has_identity(key, &touched));
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
                self.resolve_again(&key.namespace, changes, |key| in_keyspace(key, &touched));
            }
        }
    }

    fn remove(&mut self, key: &ObjectKey, changes: &mut Vec<Change>) {
        match key.kind {
            Kind::ApiKey => {
                let (namespace, _) = self.namespaces.number(&key.namespace);
                if let Some(number) = self.keys.find(namespace, &key.name) {
                    self.let_go_of_credits(number);
                    let touched = self.keys.remove(number);
                    self.settle_keys(namespace, touched, changes);
                }
            }
            Kind::RootKey => {
                if let Some(gone) = self.callers.remove(key) {
                    self.release_callers(key, &gone, &[], changes);
                }
            }
            Kind::KeyRole => {
                let touched = self.names.remove_role(key);
                self.resolve_again(&key.namespace, changes, |key| has_role(key, &touched));
            }
            Kind::Identity => {
                let touched = self.names.remove_identity(key);
                self.resolve_again(&key.namespace, changes, |key| has_identity(key, &touched));
            }
            Kind::RateLimit | Kind::RateLimitOverride => {
                let changed = self.limits.remove(key);
                self.limits_changed(&key.namespace, changed, changes);
            }
            Kind::Keyspace => {
                let touched = self.names.remove_keyspace(key);
                self.resolve_again(&key.namespace, changes, |key| in_keyspace(key, &touched));
            }
            Kind::KeyPermission => {}
        }
    }

    fn put_key(&mut self, object: &ApiKey, seen: Listing, changes: &mut Vec<Change>) {
        let mut record = record::key_record(object, &mut self.names);
        let labels = self.names.labels(object.metadata.labels.as_ref());
        let (namespace, _) = self.namespaces.number(&record.namespace);
        if self.is_complete() {
            // Before that all are resolved at once, when every name is known.
            select_limits(&mut record, labels.as_deref(), &self.limits, &mut self.names);
        }
        let seniority = record::seniority(&object.metadata);
        let known = self.keys.find(namespace, record.object_name()).and_then(|number| self.keys.get_mut(number));
        if let Some(known) = known.filter(|known| known.seniority == seniority && *known.record == record) {
            // A listing names every object again; what didn't change in the index must not copy all of it.
            (known.labels, known.seen) = (labels, seen);
            return;
        }
        let known = self.keys.find(namespace, record.object_name()).and_then(|number| self.keys.get(number));
        if let Some(known) = known.filter(|known| known.seniority == seniority) {
            record.last_used.carry(&known.record.last_used);
        }
        self.credit_holders.replaced(known.and_then(|known| counter(&known.record)), counter(&record));
        let touched = self.keys.put(Slot { record: Arc::new(record), labels, seniority, seen, namespace });
        self.settle_keys(namespace, touched, changes);
    }

    /// Forgets the keys that the source of this listing named in an earlier one and not in this.
    fn remove_unnamed(&mut self, listing: Listing, changes: &mut Vec<Change>) {
        for number in self.keys.numbers() {
            let unnamed = |slot: &&Slot| slot.seen != listing && slot.seen.is_of_source_of(listing);
            if let Some(Slot { namespace, record, .. }) = self.keys.get(number).filter(unnamed) {
                let namespace = *namespace;
                if let Some(kept) = &mut self.changes {
                    let (namespace, name) = (record.namespace.to_string(), record.object_name().to_owned());
                    kept.remove(&ObjectKey { kind: Kind::ApiKey, namespace, name });
                }
                self.let_go_of_credits(number);
                let touched = self.keys.remove(number);
                self.settle_keys(namespace, touched, changes);
            }
        }
    }

    fn let_go_of_credits(&mut self, number: Number) {
        let counter = self.keys.get(number).and_then(|slot| counter(&slot.record));
        self.credit_holders.replaced(counter, None);
    }

    /// What changed about who has which balance, since the last call.
    pub(super) fn credit_changes(&mut self) -> Vec<Holding> {
        self.credit_holders.changes()
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

    /// Gives up the hashes of a caller that are not among those it keeps; whoever waited for one gets it.
    fn release_callers(&mut self, key: &ObjectKey, old: &Caller, kept: &[ServedHash], changes: &mut Vec<Change>) {
        for hash in given_up(&old.hashes, kept) {
            self.caller_claims.release(&hash, key);
            self.settle_caller(hash, changes);
        }
    }

    /// Puts the owners of hashes into the index, or nobody.
    fn settle_keys(&self, namespace: NamespaceId, hashes: Vec<KeyHash>, changes: &mut Vec<Change>) {
        if self.is_complete() {
            changes.extend(hashes.into_iter().map(|hash| {
                self.keys.entry(namespace, hash).map_or(Change::RemoveKey(namespace, hash), Change::PutKey)
            }));
        }
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
    fn resolve_again(&mut self, namespace: &str, changes: &mut Vec<Change>, concerned: impl Fn(&KeyRecord) -> bool) {
        if !self.is_complete() {
            return;
        }
        let (namespace, _) = self.namespaces.number(namespace);
        for number in self.keys.numbers() {
            let slot = self.keys.get_mut(number);
            let Some(slot) = slot.filter(|slot| slot.namespace == namespace && concerned(&slot.record)) else {
                continue;
            };
            let mut record = KeyRecord::clone(&slot.record);
            self.names.resolve(&mut record);
            select_limits(&mut record, slot.labels.as_deref(), &self.limits, &mut self.names);
            if record == *slot.record {
                continue;
            }
            let record = Arc::new(record);
            slot.record = record.clone();
            let owned = record.hashes().filter(|served| self.keys.owns(number, namespace, &served.hash));
            let entry = |served: ServedHash| KeyEntry { namespace, hash: served.hash, record: record.clone() };
            changes.extend(owned.map(entry).map(Change::PutKey));
        }
    }

    fn add_everything(&mut self, changes: &mut Vec<Change>) {
        self.limits.go_live();
        for number in self.keys.numbers() {
            let Some(slot) = self.keys.get_mut(number) else { continue };
            // Not shared with the index yet, so nothing is copied.
            let record = Arc::make_mut(&mut slot.record);
            self.names.resolve(record);
            select_limits(record, slot.labels.as_deref(), &self.limits, &mut self.names);
        }
        for (namespace, limits) in self.limits.named() {
            changes.push(Change::PutLimits(self.namespaces.number(namespace).0, limits));
        }
        changes.reserve(self.keys.len());
        for number in self.keys.numbers() {
            let Some(slot) = self.keys.get(number) else { continue };
            let owned = slot.record.hashes().filter(|served| self.keys.owns(number, slot.namespace, &served.hash));
            changes.extend(owned.map(|served| {
                Change::PutKey(KeyEntry { namespace: slot.namespace, hash: served.hash, record: slot.record.clone() })
            }));
        }
        for hash in self.callers.values().flat_map(|caller| caller.hashes.iter().map(|h| h.hash)) {
            self.settle_caller(hash, changes);
        }
    }
}

/// Gives a record the limits that select it.
fn select_limits(record: &mut KeyRecord, labels: Option<&Labels>, limits: &Limits, names: &mut Names) {
    const NONE: &Labels = &Labels::new();
    let selected = limits.of_key(record, labels.unwrap_or(NONE), |terms| names.terms(terms));
    record.set_selected_limits(&selected);
}

fn given_up<'a>(old: &'a [ServedHash], kept: &'a [ServedHash]) -> impl Iterator<Item = KeyHash> + 'a {
    old.iter().map(|old| old.hash).filter(|old| !kept.iter().any(|kept| kept.hash == *old))
}

fn in_keyspace(record: &KeyRecord, names: &[Arc<str>]) -> bool {
    names.iter().any(|name| **name == *record.keyspace)
}

fn has_role(record: &KeyRecord, names: &[Arc<str>]) -> bool {
    record.roles().iter().any(|role| names.contains(role))
}

fn has_identity(record: &KeyRecord, external_ids: &[Arc<str>]) -> bool {
    record.identity.as_ref().is_some_and(|identity| external_ids.iter().any(|id| **id == *identity.external_id))
}

/// The end of a hash among those of one object; outer `None` when it isn't there. Of a hash that stands there twice (a key rotated back
/// to itself) the one without an end counts.
fn end_of(hashes: &[ServedHash], hash: KeyHash) -> Option<ServedHash> {
    hashes.iter().filter(|served| served.hash == hash).min_by_key(|served| served.valid_until.is_some()).copied()
}

/// The balance of a key with credits.
fn counter(record: &KeyRecord) -> Option<CounterId> {
    record.credits.as_ref().map(|credits| credits.counter)
}

impl Caller {
    fn entry(&self, hash: KeyHash) -> Option<CallerEntry> {
        let valid_until = end_of(&self.hashes, hash)?.valid_until;
        Some(CallerEntry { namespace: self.namespace, valid_until, record: self.record.clone() })
    }
}

#[cfg(test)]
mod tests;
