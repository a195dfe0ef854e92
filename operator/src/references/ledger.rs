//! All objects of one scope, and when which status has to be looked at: pure, with time as an argument.
//!
//! Nothing is decided before every kind has been listed once: a key would miss roles that were not read yet. Then a change marks what may
//! have to say something else; a namespace has its turn [`SETTLING`] later, so that objects which are applied together are judged together,
//! and at most once in [`PASS`]. A count alone is written at most once in [`COUNTS`] for each object.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use super::decide::verdict;
use super::namespace::Namespace;
use super::object::{Kind, Object, Place};
use super::status::{self, Shown, Urgency};

/// Between a change and the look at what follows: `kubectl apply -f DIRECTORY` sends an object every few milliseconds.
pub(super) const SETTLING: Duration = Duration::from_millis(100);
/// Between two looks at one namespace.
pub(super) const PASS: Duration = Duration::from_secs(1);
/// Between two writes of an object in which only a count is another: ten thousand keys that are made one by one are no reason to write
/// the status of their keyspace ten thousand times.
pub(super) const COUNTS: Duration = Duration::from_secs(30);

/// What a watch told.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// All objects of the kind follow.
    Listing(Kind),
    /// An object is there, or is another than before.
    Seen { namespace: Arc<str>, name: Arc<str>, object: Box<Object> },
    /// An object is gone, or can't be read, which verify pods take for the same.
    Gone { kind: Kind, namespace: Arc<str>, name: Arc<str> },
    /// Those were all.
    Listed(Kind),
}

/// A status to write.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) namespace: Arc<str>,
    pub(super) place: Place,
    pub(super) patch: Value,
    uid: Box<str>,
    shown: Shown,
}

/// Objects by namespace and name.
type Named = HashSet<(Arc<str>, Arc<str>)>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    namespaces: HashMap<Arc<str>, Namespace>,
    /// Kinds that have been listed.
    listed: HashSet<Kind>,
    /// What the listings under way named so far.
    listing: HashMap<Kind, Named>,
    /// Whose turn is when, and the same by namespace.
    turns: BTreeSet<(Duration, Arc<str>)>,
    turn_of: HashMap<Arc<str>, Duration>,
    /// When each namespace had its last turn.
    last_turn: HashMap<Arc<str>, Duration>,
}

impl Ledger {
    /// Takes in what a watch told.
    pub(super) fn observe(&mut self, change: Change, now: Duration) {
        match change {
            Change::Listing(kind) => drop(self.listing.insert(kind, HashSet::new())),
            Change::Seen { namespace, name, object } => {
                if let Some(named) = self.listing.get_mut(&object.says.kind()) {
                    named.insert((namespace.clone(), name.clone()));
                }
                self.namespaces.entry(namespace.clone()).or_default().put(&name, *object);
                self.changed(&namespace, now);
            }
            Change::Gone { kind, namespace, name } => {
                if let Some(objects) = self.namespaces.get_mut(&namespace) {
                    objects.remove(&Place { kind, name });
                    self.changed(&namespace, now);
                }
            }
            Change::Listed(kind) => {
                let named = self.listing.remove(&kind).unwrap_or_default();
                self.prune(kind, &named, now);
                if self.listed.insert(kind) && self.is_complete() {
                    let all: Vec<_> = self.namespaces.keys().cloned().collect();
                    for namespace in &all {
                        self.changed(namespace, now);
                    }
                }
            }
        }
    }

    /// Forgets what was deleted while no watch was open.
    fn prune(&mut self, kind: Kind, named: &Named, now: Duration) {
        let mut touched = Vec::new();
        for (namespace, objects) in &mut self.namespaces {
            let missing = |name: &Arc<str>| !named.contains(&(namespace.clone(), name.clone()));
            let gone: Vec<_> = objects.of_kind(kind).filter(|name| missing(name)).cloned().collect();
            if !gone.is_empty() {
                touched.push(namespace.clone());
            }
            for name in gone {
                objects.remove(&Place { kind, name });
            }
        }
        for namespace in &touched {
            self.changed(namespace, now);
        }
    }

    fn is_complete(&self) -> bool {
        self.listed.len() == Kind::COUNT
    }

    fn changed(&mut self, namespace: &Arc<str>, now: Duration) {
        if !self.is_complete() {
            return;
        }
        let Some(objects) = self.namespaces.get(namespace) else { return };
        if objects.is_empty() {
            self.namespaces.remove(namespace);
            self.last_turn.remove(namespace);
            if let Some(turn) = self.turn_of.remove(namespace) {
                self.turns.remove(&(turn, namespace.clone()));
            }
        } else if objects.is_dirty() {
            self.turn(namespace, now + SETTLING);
        }
    }

    /// Gives a namespace its turn at this time, unless it has one sooner, but not too soon after the last.
    fn turn(&mut self, namespace: &Arc<str>, at: Duration) {
        let earliest = self.last_turn.get(namespace).map_or(Duration::ZERO, |last| *last + PASS);
        let at = at.max(earliest);
        match self.turn_of.get(namespace) {
            Some(sooner) if *sooner <= at => return,
            Some(later) => drop(self.turns.remove(&(*later, namespace.clone()))),
            None => {}
        }
        self.turns.insert((at, namespace.clone()));
        self.turn_of.insert(namespace.clone(), at);
    }

    /// When the next namespace has its turn.
    pub(super) fn next_turn(&self) -> Option<Duration> {
        self.turns.first().map(|(at, _)| *at)
    }

    /// The objects to look at of the namespaces whose turn has come.
    pub(super) fn due(&mut self, now: Duration) -> Vec<(Arc<str>, Place)> {
        let mut due = Vec::new();
        while let Some((at, namespace)) = self.turns.first().cloned()
            && at <= now
        {
            self.turns.pop_first();
            self.turn_of.remove(&namespace);
            let Some(objects) = self.namespaces.get_mut(&namespace) else { continue };
            due.extend(objects.take_dirty(now).into_iter().map(|place| (namespace.clone(), place)));
            let next = objects.next_look();
            self.last_turn.insert(namespace.clone(), now);
            if let Some(next) = next {
                self.turn(&namespace, next);
            }
        }
        due
    }

    /// The write that is due for an object, if one is. `time` is what clocks show at `now`.
    pub(super) fn write(&mut self, namespace: &Arc<str>, place: &Place, now: Duration, time: &Time) -> Option<Write> {
        let objects = self.namespaces.get(namespace)?;
        let verdict = verdict(namespace, objects, place)?;
        let entry = objects.get(place.kind, &place.name)?;
        let shown = status::next(&entry.object.shown, verdict, time);
        let earliest = entry.written.map_or(Duration::ZERO, |written| written + COUNTS);
        match status::urgency(&entry.object.shown, &shown) {
            Urgency::Never => None,
            Urgency::Later if now < earliest => {
                self.look_again(namespace, place.clone(), earliest);
                None
            }
            Urgency::Later | Urgency::Now => Some(Write {
                patch: status::patch(place.kind, &entry.object.uid, &shown),
                uid: entry.object.uid.clone(),
                namespace: namespace.clone(),
                place: place.clone(),
                shown,
            }),
        }
    }

    /// Looks at an object again at this time.
    pub(super) fn look_again(&mut self, namespace: &Arc<str>, place: Place, at: Duration) {
        if let Some(objects) = self.namespaces.get_mut(namespace) {
            objects.look_again(place, at);
            self.turn(namespace, at);
        }
    }

    /// Notes that a status was written. The watch will tell the same; until then it must not be written again.
    pub(super) fn written(&mut self, write: Write, now: Duration) {
        let entry = self.namespaces.get_mut(&write.namespace).and_then(|objects| objects.get_mut(&write.place));
        if let Some(entry) = entry.filter(|entry| entry.object.uid == write.uid) {
            entry.object.shown = write.shown;
            entry.written = Some(now);
        }
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
