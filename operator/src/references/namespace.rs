//! The objects of one namespace and what follows from each change: pure. Cost: what changed, times the limits of the namespace; a limit that
//! takes other keys than before asks about each key once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::exceptions::{Exceptions, Standing};
use super::matched::{Matched, SAMPLE};
use super::names::{Names, Shift};
use super::object::{KeySays, Kind, Object, Place, Says};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Namespace {
    objects: BTreeMap<Place, Entry>,
    names: Names,
    exceptions: Exceptions,
    /// Limits that apply to keys, by the names of their objects.
    matched: HashMap<Arc<str>, Matched>,
    /// Objects whose status may have to change.
    dirty: BTreeSet<Place>,
    /// Objects to be looked at again, and when.
    later: BTreeMap<Place, Duration>,
}

/// An object, and what was written of it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) object: Object,
    /// When its status was last written by this process.
    pub(super) written: Option<Duration>,
}

impl Namespace {
    /// Takes an object as it is now.
    pub(super) fn put(&mut self, name: &Arc<str>, object: Object) {
        let place = Place { kind: object.says.kind(), name: name.clone() };
        if let Some(entry) = self.objects.get_mut(&place) {
            if (&entry.object.says, &entry.object.age) == (&object.says, &object.age) {
                // Also a change of what it shows: somebody may have edited what is ours.
                if (entry.object.generation, &entry.object.shown) != (object.generation, &object.shown) {
                    self.dirty.insert(place);
                }
                entry.object = object;
                return;
            }
            self.unlink(&place);
        }
        self.link(&place, &object);
        let written = self.objects.get(&place).and_then(|entry| entry.written);
        self.dirty.insert(place.clone());
        self.objects.insert(place, Entry { object, written });
    }

    /// Forgets an object.
    pub(super) fn remove(&mut self, place: &Place) {
        if self.objects.contains_key(place) {
            self.unlink(place);
            self.objects.remove(place);
        }
    }

    fn link(&mut self, place: &Place, object: &Object) {
        let (Place { kind, name }, says) = (place, &object.says);
        for (to, named) in says.named() {
            self.names.refer(to, named, *kind, name);
            self.touch_owner(to, named);
        }
        match says {
            Says::Key(key) => self.match_key(name, key, Matched::join),
            Says::Limit(limit) => {
                if let Some(applies) = &limit.applies {
                    let takes = |(_, key): &(&Arc<str>, &KeySays)| takes(applies, key);
                    let names: Vec<_> = keys(&self.objects, None).filter(takes).map(|(name, _)| name).collect();
                    let mut matched = Matched::new(applies.clone());
                    for name in names {
                        matched.join(name);
                    }
                    self.matched.insert(name.clone(), matched);
                }
            }
            Says::Override(given) => {
                self.exceptions.put(&given.limit, &given.identifier, &object.age, name);
                self.touch_alike(&given.limit, &given.identifier);
            }
            Says::Keyspace | Says::Identity(_) | Says::Role(_) | Says::Permission(_) => {}
        }
        if let Some(claimed) = says.claimed(name) {
            let shift = self.names.claim(*kind, claimed, &object.age, name);
            self.claims_changed(*kind, claimed, shift);
        }
    }

    /// The reverse of [`Self::link`], before the object is replaced or forgotten.
    fn unlink(&mut self, place: &Place) {
        let Some(Entry { object, .. }) = self.objects.get(place) else { return };
        let (Place { kind, name }, object) = (place, object.clone());
        for (to, named) in object.says.named() {
            self.names.unrefer(to, named, *kind, name);
            self.touch_owner(to, named);
        }
        match &object.says {
            Says::Key(key) => self.match_key(name, key, Matched::leave),
            Says::Limit(_) => drop(self.matched.remove(name)),
            Says::Override(given) => {
                self.exceptions.remove(&given.limit, &given.identifier, &object.age, name);
                self.touch_alike(&given.limit, &given.identifier);
            }
            Says::Keyspace | Says::Identity(_) | Says::Role(_) | Says::Permission(_) => {}
        }
        if let Some(claimed) = object.says.claimed(name) {
            let shift = self.names.release(*kind, claimed, &object.age, name);
            self.claims_changed(*kind, claimed, shift);
        }
    }

    /// Who refers to a name that appeared or went, and who has to say that another has it.
    fn claims_changed(&mut self, kind: Kind, name: &str, shift: Shift) {
        let claimants: Vec<_> = self.names.claimants(kind, name).cloned().collect();
        // The owner names the others; those name only the owner.
        let touched = if shift.owner { claimants.len() } else { 1 };
        self.touch(kind, claimants.into_iter().take(touched).collect());
        let by: &[Kind] = match kind {
            // Overrides also depend on those that stand in the limit.
            Kind::RateLimit => &[Kind::RateLimitOverride],
            Kind::Keyspace if shift.exists => &[Kind::ApiKey, Kind::RateLimit],
            Kind::KeyRole if shift.exists => &[Kind::ApiKey],
            _ => &[],
        };
        for by in by {
            let referrers = self.names.referrers(kind, name, *by).cloned().collect();
            self.touch(*by, referrers);
        }
    }

    /// Whose count a reference is.
    fn touch_owner(&mut self, kind: Kind, name: &str) {
        let owner = self.names.owner(kind, name).cloned();
        self.touch(kind, owner.into_iter().collect());
    }

    fn touch_alike(&mut self, limit: &str, identifier: &str) {
        let alike = self.exceptions.alike(limit, identifier).cloned().collect();
        self.touch(Kind::RateLimitOverride, alike);
    }

    fn touch(&mut self, kind: Kind, names: Vec<Arc<str>>) {
        self.dirty.extend(names.into_iter().map(|name| Place { kind, name }));
    }

    fn match_key(&mut self, name: &Arc<str>, key: &KeySays, change: fn(&mut Matched, &Arc<str>)) {
        if self.matched.is_empty() {
            return;
        }
        let labels = key.labels();
        for (limit, matched) in &mut self.matched {
            if matched.applies.to_key(&key.keyspace, &labels) {
                change(matched, name);
                self.dirty.insert(Place { kind: Kind::RateLimit, name: limit.clone() });
            }
        }
    }

    /// The names of all objects of a kind. Cost: a walk over the objects of the namespace.
    pub(super) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Arc<str>> {
        self.objects.keys().filter(move |place| place.kind == kind).map(|place| &place.name)
    }

    /// Whether nothing is left to keep.
    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Whether something has to be looked at.
    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Looks at an object again at this time.
    pub(super) fn look_again(&mut self, place: Place, at: Duration) {
        let at = self.later.get(&place).map_or(at, |other| at.min(*other));
        self.later.insert(place, at);
    }

    /// When the next object is to be looked at again.
    pub(super) fn next_look(&self) -> Option<Duration> {
        self.later.values().min().copied()
    }

    /// The objects whose turn it is. What they show is to be compared with what they should.
    pub(super) fn take_dirty(&mut self, now: Duration) -> BTreeSet<Place> {
        let due: Vec<Place> = self.later.iter().filter(|(_, at)| **at <= now).map(|(place, _)| place.clone()).collect();
        for place in due {
            self.later.remove(&place);
            self.dirty.insert(place);
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.retain(|place| self.objects.contains_key(place));
        // First, because limits name the overrides that are not used. Whatever changes the standing of an override touches its limit too.
        for place in dirty.iter().filter(|place| place.kind == Kind::RateLimitOverride) {
            self.judge(&place.name);
        }
        for place in dirty.iter().filter(|place| place.kind == Kind::RateLimit) {
            if let Some(matched) = self.matched.get_mut(&place.name).filter(|matched| matched.is_short()) {
                // In a limit that takes few of many keys a walk over all of them, and only after one of the first few is gone.
                let takes = |(_, key): &(&Arc<str>, &KeySays)| takes(&matched.applies, key);
                let names = keys(&self.objects, matched.last()).filter(takes).map(|(name, _)| name.clone());
                let names: Vec<_> = names.take(SAMPLE).collect();
                matched.fill(names.into_iter());
            }
        }
        dirty
    }

    /// Notes whether an override is used.
    fn judge(&mut self, name: &Arc<str>) {
        let Some(Says::Override(given)) = self.get(Kind::RateLimitOverride, name).map(|entry| &entry.object.says)
        else {
            return;
        };
        let in_use = given.invalid.is_none() && self.standing(name) == Some(Standing::InUse);
        let limit = given.limit.clone();
        self.exceptions.judged(&limit, name, in_use);
    }

    /// Where an override object stands among those of its limit.
    pub(super) fn standing(&self, object: &str) -> Option<Standing> {
        let Says::Override(given) = &self.get(Kind::RateLimitOverride, object)?.object.says else { return None };
        let limit = self.names.owner(Kind::RateLimit, &given.limit).and_then(|name| self.get(Kind::RateLimit, name));
        let in_limit = match limit.map(|entry| &entry.object.says) {
            Some(Says::Limit(limit)) => limit.identifiers.as_slice(),
            _ => &[],
        };
        Some(self.exceptions.of_object(&given.limit, &given.identifier, object, in_limit))
    }

    /// An object.
    pub(super) fn get(&self, kind: Kind, name: &str) -> Option<&Entry> {
        self.objects.get(&Place { kind, name: name.into() })
    }

    /// An object, to note what was written.
    pub(super) fn get_mut(&mut self, place: &Place) -> Option<&mut Entry> {
        self.objects.get_mut(place)
    }

    /// Who has which name.
    pub(super) const fn names(&self) -> &Names {
        &self.names
    }

    /// The override objects.
    pub(super) const fn exceptions(&self) -> &Exceptions {
        &self.exceptions
    }

    /// The keys that a limit takes, by the name of its object.
    pub(super) fn matched(&self, limit: &str) -> Option<&Matched> {
        self.matched.get(limit)
    }
}

/// The keys in the order of their names, from behind one of them.
fn keys(objects: &BTreeMap<Place, Entry>, after: Option<Arc<str>>) -> impl Iterator<Item = (&Arc<str>, &KeySays)> {
    use std::ops::Bound::{Excluded, Unbounded};
    let from = after.map_or(Unbounded, |name| Excluded(Place { kind: Kind::ApiKey, name }));
    // The first kind of all.
    let keys = objects.range((from, Unbounded)).take_while(|(place, _)| place.kind == Kind::ApiKey);
    keys.filter_map(|(place, entry)| match &entry.object.says {
        Says::Key(key) => Some((&place.name, key)),
        _ => None,
    })
}

fn takes(applies: &keyplane_api::limit_record::Applies, key: &KeySays) -> bool {
    applies.to_key(&key.keyspace, &key.labels())
}
