//! What is kept beside the stores, fed by the same events: who claims which hash, and which keys name which keyspace.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::jiff::Timestamp;
use keyplane_api::record::prefixed_lookup;
use keyplane_api::{DEFAULT_KEYSPACE, KeySource};
use keyplane_core::hash::KeyHash;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use tokio::sync::mpsc;

use super::claims::{Claimant, Claims};
use super::deadlines::{Deadlines, Times};
use super::kind::KeyKind;
use crate::config::Scope;
use crate::drive::Watched;

/// A poke is sent when a change in one watched namespace decides a claim in another: two root keys with one hash, which is a mistake of
/// a person. 256 such decisions within the microseconds that the receiver needs do not happen; then one is lost and logged.
const POKES: usize = 256;

type Reference<K> = ObjectRef<Watched<K>>;
/// What one scope is told by the others.
pub(super) type Pokes<K> = mpsc::Receiver<Reference<K>>;

/// The indexes of one kind, shared by all scopes.
pub(super) struct Indexes<K: KeyKind> {
    claims: Mutex<Claims>,
    /// Namespace and keyspace to the names of their keys. Not for the default keyspace, which needs no object.
    members: Mutex<HashMap<(String, String), HashSet<String>>>,
    scopes: Vec<(Scope, mpsc::Sender<Reference<K>>)>,
    deadlines: Deadlines,
}

impl<K: KeyKind> Indexes<K> {
    /// Empty indexes for these scopes, and what each of them will be told by the others.
    pub(super) fn new(scopes: &[Scope], deadlines: Deadlines) -> (Self, Vec<Pokes<K>>) {
        let (scopes, pokes) = scopes
            .iter()
            .map(|scope| {
                let (sender, receiver) = mpsc::channel(POKES);
                ((scope.clone(), sender), receiver)
            })
            .unzip();
        (Self { claims: Mutex::default(), members: Mutex::default(), scopes, deadlines }, pokes)
    }

    /// The claimant of `hash` that is older than `key`, if there is one.
    pub(super) fn older(&self, key: &K, hash: KeyHash) -> Option<Claimant> {
        let claimant = claimant(key)?;
        self.claims().older(&claimant, &realm::<K>(&claimant), hash)
    }

    /// The keys that name this keyspace.
    pub(super) fn members(&self, namespace: &str, keyspace: &str) -> Vec<Reference<K>> {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let names = members.get(&(namespace.to_owned(), keyspace.to_owned())).into_iter().flatten();
        names.map(|name| ObjectRef::new(name).within(namespace)).collect()
    }

    /// Takes an event in, which the store of `scope` has already, and returns which objects of the scope have their turn.
    pub(super) fn observe(
        &self,
        event: Event<Watched<K>>,
        scope: &Scope,
        store: &Store<Watched<K>>,
    ) -> Vec<Reference<K>> {
        match event {
            Event::Init => Vec::new(),
            Event::InitApply(object) | Event::Apply(object) => {
                let itself = ObjectRef::from_obj(&object);
                // An object that cannot be read keeps its claim and gets an event in its turn.
                let others = object.0.map_or_else(|_| Vec::new(), |key| self.note(&key));
                std::iter::once(itself).chain(self.route(others, scope)).collect()
            }
            Event::Delete(object) => self.route(self.forget(&object), scope),
            Event::InitDone => self.route(self.prune(scope, store), scope),
        }
    }

    fn note(&self, key: &K) -> Vec<Claimant> {
        let Some(claimant) = claimant(key) else { return Vec::new() };
        if let Some(keyspace) = key.keyspace().filter(|name| *name != DEFAULT_KEYSPACE) {
            let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
            let place = (claimant.namespace.clone(), keyspace.to_owned());
            members.entry(place).or_default().insert(claimant.name.clone());
        }
        let (expiry, next_rotation) = (key.expires().map(|at| at.0), key.status().next_rotation.map(|at| at.0));
        self.deadlines.put(K::KIND, &claimant.namespace, &claimant.name, Times { expiry, next_rotation });
        let realm = realm::<K>(&claimant);
        self.claims().observe(claimant, &realm, claimed_hash(key))
    }

    fn forget(&self, object: &Watched<K>) -> Vec<Claimant> {
        if let Ok(key) = &object.0
            && let (Some(keyspace), Some(namespace)) = (key.keyspace(), key.namespace())
        {
            let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
            let place = (namespace, keyspace.to_owned());
            let now_empty =
                members.get_mut(&place).is_some_and(|names| names.remove(&key.name_any()) && names.is_empty());
            if now_empty {
                members.remove(&place);
            }
        }
        let namespace = object.namespace().unwrap_or_default();
        self.deadlines.put(K::KIND, &namespace, &object.name_any(), Times::default());
        self.claims().forget(object.meta().uid.as_deref().unwrap_or_default())
    }

    /// Forgets what was deleted while no watch was open: what the scope covers and its store has not.
    fn prune(&self, scope: &Scope, store: &Store<Watched<K>>) -> Vec<Claimant> {
        let stored = |namespace: &str, name: &str| store.get(&ObjectRef::new(name).within(namespace));
        self.members.lock().unwrap_or_else(PoisonError::into_inner).retain(|(namespace, _), names| {
            names.retain(|name| !scope.covers(namespace) || stored(namespace, name).is_some());
            !names.is_empty()
        });
        self.deadlines.prune(K::KIND, |namespace, name| !scope.covers(namespace) || stored(namespace, name).is_some());
        self.claims().prune(|who| {
            let same = |object: &Watched<K>| object.meta().uid.as_deref() == Some(who.uid.as_str());
            !scope.covers(&who.namespace) || stored(&who.namespace, &who.name).is_some_and(|object| same(&object))
        })
    }

    /// Keeps those of this scope and pokes the scopes of the others.
    fn route(&self, claimants: Vec<Claimant>, scope: &Scope) -> Vec<Reference<K>> {
        let (own, others): (Vec<_>, Vec<_>) = claimants.into_iter().partition(|who| scope.covers(&who.namespace));
        for who in others {
            let sender = self.scopes.iter().find(|(scope, _)| scope.covers(&who.namespace)).map(|(_, sender)| sender);
            if sender.is_some_and(|sender| sender.try_send(reference(&who)).is_err()) {
                tracing::warn!(object.namespace = who.namespace, object.name = who.name, "a poke was lost");
            }
        }
        own.iter().map(reference).collect()
    }

    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an object claims by what it says of itself: the hash of its spec, the one under which its spec is found, or the one in its status.
fn claimed_hash<K: KeyKind>(key: &K) -> Option<KeyHash> {
    match key.source() {
        KeySource::Hash(hash) => KeyHash::parse(&hash.sha256).ok(),
        KeySource::PrefixedHash(key) => prefixed_lookup(key),
        KeySource::Generate(_) | KeySource::SecretRef(_) => {
            key.status().current.and_then(|current| KeyHash::parse(&current.sha256).ok())
        }
    }
}

fn claimant<K: KeyKind>(key: &K) -> Option<Claimant> {
    let meta = key.meta();
    Some(Claimant {
        created: meta.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0),
        uid: meta.uid.clone()?,
        namespace: meta.namespace.clone()?,
        name: meta.name.clone()?,
    })
}

fn realm<K: KeyKind>(claimant: &Claimant) -> String {
    if K::UNIQUE_IN_CLUSTER { String::new() } else { claimant.namespace.clone() }
}

fn reference<K: KeyKind>(who: &Claimant) -> Reference<K> {
    ObjectRef::new(&who.name).within(&who.namespace)
}

#[cfg(test)]
#[path = "indexes_tests.rs"]
mod tests;
