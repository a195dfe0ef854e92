//! Who has a name or a hash when several objects claim it: the oldest. The others wait and inherit.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use keyplane_core::record::Seniority;

use crate::registry::ObjectKey;

/// Claims on things that only one object can have.
///
/// **Shape**: one entry a thing, with its owner; a list only where more than one object claims it, which is rare.
pub(super) struct Claims<T> {
    owners: HashMap<T, Claim>,
    waiting: HashMap<T, Vec<Claim>>,
}

/// Ordered by age; the key decides between two objects without a uid.
type Claim = (Seniority, Arc<ObjectKey>);

impl<T> Default for Claims<T> {
    fn default() -> Self {
        Self { owners: HashMap::new(), waiting: HashMap::new() }
    }
}

impl<T: Eq + Hash + Clone> Claims<T> {
    /// Who has it.
    pub(super) fn owner(&self, thing: &T) -> Option<&ObjectKey> {
        self.owners.get(thing).map(|(_, object)| &**object)
    }

    /// Adds a claim, or renews the one that the object has.
    pub(super) fn claim(&mut self, thing: T, object: &Arc<ObjectKey>, seniority: &Seniority) {
        // An object that was deleted and made again under its name is a younger one: its former claim must not help it.
        self.release(&thing, object);
        let claim = (seniority.clone(), object.clone());
        match self.owners.get_mut(&thing) {
            None => drop(self.owners.insert(thing, claim)),
            Some(owner) => {
                let younger = if claim < *owner { std::mem::replace(owner, claim) } else { claim };
                self.waiting.entry(thing).or_default().push(younger);
            }
        }
    }

    /// Gives up a claim; the oldest of those that waited inherits.
    pub(super) fn release(&mut self, thing: &T, object: &ObjectKey) {
        let owned = self.owner(thing) == Some(object);
        if owned {
            self.owners.remove(thing);
        }
        let Some(waiting) = self.waiting.get_mut(thing) else { return };
        if !owned {
            waiting.retain(|(_, other)| **other != *object);
        } else if let Some(oldest) = (0..waiting.len()).min_by_key(|n| &waiting[*n]) {
            self.owners.insert(thing.clone(), waiting.swap_remove(oldest));
        }
        if waiting.is_empty() {
            self.waiting.remove(thing);
        }
    }
}
