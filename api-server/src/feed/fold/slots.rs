//! What the writer keeps of each key beside its record, and who has a hash when several keys claim it: the oldest; the others wait and
//! inherit.
//!
//! The same rule as in `claims`, in a form for millions: a claim is a slot's number, and what it is about is read from the slot.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use keyplane_core::hash::KeyHash;
use keyplane_core::record::{KeyRecord, Seniority};

use super::sources::Listing;
use crate::index::{KeyEntry, NamespaceId};

/// Labels of an object.
pub(super) type Labels = BTreeMap<String, String>;

/// One key object: 64 bytes, and its record, which the index shares.
pub(super) struct Slot {
    pub(super) record: Arc<KeyRecord>,
    /// By what `RateLimit`s select keys; `None` for none.
    pub(super) labels: Option<Arc<Labels>>,
    pub(super) seniority: Seniority,
    /// In which listing of which source it was seen last.
    pub(super) seen: Listing,
    pub(super) namespace: NamespaceId,
}

/// Which slot. Given again when its key is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number(u32);

/// A slot's wish to be found under its hash, or under its former one. 4 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Claim(u32);

impl Claim {
    const fn new(Number(number): Number, former: bool) -> Self {
        Self(number << 1 | former as u32)
    }

    const fn number(self) -> Number {
        Number(self.0 >> 1)
    }

    fn hash(self, slot: &Slot) -> Option<KeyHash> {
        let former = self.0 & 1 == 1;
        if former { slot.record.former.as_ref().map(|served| served.hash) } else { slot.record.hash }
    }
}

/// All slots.
///
/// **Shape**: pages of slots, so that growing moves nothing and leaves no half empty; two tables of 5 bytes a bucket.
#[derive(Default)]
pub(super) struct Slots {
    pages: Vec<Vec<Option<Slot>>>,
    free: Vec<Number>,
    by_name: HashTable<Number>,
    owners: HashTable<Claim>,
    /// Only where more than one key claims a hash, which is rare.
    waiting: HashMap<(NamespaceId, KeyHash), Vec<Claim>>,
    hasher: RandomState,
}

/// Slots of one page: 64 KiB.
const PAGE: u32 = 1024;

impl Slots {
    /// Keys held, served or not.
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Every number that may hold a key.
    pub(super) fn numbers(&self) -> impl Iterator<Item = Number> + use<> {
        (0..u32::try_from(self.pages.len()).unwrap_or_default() * PAGE).map(Number)
    }

    pub(super) fn get(&self, Number(number): Number) -> Option<&Slot> {
        self.pages.get((number / PAGE) as usize)?.get((number % PAGE) as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, Number(number): Number) -> Option<&mut Slot> {
        self.pages.get_mut((number / PAGE) as usize)?.get_mut((number % PAGE) as usize)?.as_mut()
    }

    /// The slot of the key object with this name.
    pub(super) fn find(&self, namespace: NamespaceId, name: &str) -> Option<Number> {
        let is_it = |number: &Number| {
            self.get(*number).is_some_and(|slot| slot.namespace == namespace && slot.record.object_name() == name)
        };
        self.by_name.find(self.hasher.hash_one((namespace, name)), is_it).copied()
    }

    /// Takes a key in place of the one of its name, and returns the hashes whose owner may have changed.
    pub(super) fn put(&mut self, slot: Slot) -> Vec<KeyHash> {
        let (namespace, hashes) = (slot.namespace, slot.record.hashes().map(|served| served.hash));
        let mut touched: Vec<KeyHash> = hashes.collect();
        let number = self.find(namespace, slot.record.object_name());
        if let Some((number, old)) = number.and_then(|number| self.get_mut(number).map(|old| (number, old))) {
            let same_hashes = old.record.hash == slot.record.hash && old.record.former == slot.record.former;
            if same_hashes && old.seniority == slot.seniority {
                *old = slot;
                return touched;
            }
            // An object that was deleted and made again under its name is a younger one: its former claim must not help it.
            touched.extend(self.give_up(number));
            self.set(number, Some(slot));
            self.claim_all(number);
        } else {
            let name_hash = self.hasher.hash_one((namespace, slot.record.object_name()));
            let number = self.add(slot);
            let Self { by_name, pages, hasher, .. } = self;
            by_name.insert_unique(name_hash, number, |other| {
                slot_in(pages, *other).map_or(0, |slot| hasher.hash_one((slot.namespace, slot.record.object_name())))
            });
            self.claim_all(number);
        }
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    /// Forgets a key, and returns the hashes whose owner may have changed.
    pub(super) fn remove(&mut self, number: Number) -> Vec<KeyHash> {
        let Some(slot) = self.get(number) else { return Vec::new() };
        let name_hash = self.hasher.hash_one((slot.namespace, slot.record.object_name()));
        let touched = self.give_up(number);
        if let Ok(place) = self.by_name.find_entry(name_hash, |other| *other == number) {
            place.remove();
        }
        self.set(number, None);
        self.free.push(number);
        touched
    }

    /// The index entry of whoever has this hash.
    pub(super) fn entry(&self, namespace: NamespaceId, hash: KeyHash) -> Option<KeyEntry> {
        let owner = self.get(self.owner(namespace, &hash)?.number())?;
        Some(KeyEntry { namespace, hash, record: owner.record.clone() })
    }

    /// Whether the slot has this hash, of those that claim it.
    pub(super) fn owns(&self, number: Number, namespace: NamespaceId, hash: &KeyHash) -> bool {
        self.owner(namespace, hash).is_some_and(|claim| claim.number() == number)
    }

    fn owner(&self, namespace: NamespaceId, hash: &KeyHash) -> Option<Claim> {
        let is_it = |claim: &Claim| {
            self.get(claim.number())
                .is_some_and(|slot| slot.namespace == namespace && claim.hash(slot).as_ref() == Some(hash))
        };
        self.owners.find(hash_of(&self.hasher, namespace, hash), is_it).copied()
    }

    fn add(&mut self, slot: Slot) -> Number {
        if let Some(number) = self.free.pop() {
            self.set(number, Some(slot));
            return number;
        }
        if self.pages.last().is_none_or(|page| page.len() == PAGE as usize) {
            self.pages.push(Vec::with_capacity(PAGE as usize));
        }
        let before = u32::try_from(self.pages.len().saturating_sub(1)).unwrap_or_default() * PAGE;
        let Some(page) = self.pages.last_mut() else { return Number(before) };
        let number = Number(before + u32::try_from(page.len()).unwrap_or_default());
        page.push(Some(slot));
        number
    }

    fn set(&mut self, Number(number): Number, slot: Option<Slot>) {
        let page = self.pages.get_mut((number / PAGE) as usize);
        if let Some(place) = page.and_then(|page| page.get_mut((number % PAGE) as usize)) {
            *place = slot;
        }
    }

    /// The claims of a slot and what they are about.
    fn claims(&self, number: Number) -> Vec<(Claim, NamespaceId, KeyHash)> {
        let Some(slot) = self.get(number) else { return Vec::new() };
        let both = [Claim::new(number, false), Claim::new(number, true)];
        both.into_iter().filter_map(|claim| Some((claim, slot.namespace, claim.hash(slot)?))).collect()
    }

    fn claim_all(&mut self, number: Number) {
        for (claim, namespace, hash) in self.claims(number) {
            let younger = match self.owner(namespace, &hash) {
                None => {
                    self.set_owner(claim, namespace, &hash);
                    continue;
                }
                Some(owner) if self.is_older(claim, owner) => {
                    self.unset_owner(owner, namespace, &hash);
                    self.set_owner(claim, namespace, &hash);
                    owner
                }
                Some(_) => claim,
            };
            self.waiting.entry((namespace, hash)).or_default().push(younger);
        }
    }

    /// Gives up every claim of a slot; of those that waited for a hash the oldest inherits. Returns the hashes.
    fn give_up(&mut self, number: Number) -> Vec<KeyHash> {
        let claims = self.claims(number);
        for (claim, namespace, hash) in &claims {
            let owned = self.owner(*namespace, hash) == Some(*claim);
            if owned {
                self.unset_owner(*claim, *namespace, hash);
            }
            let Some(mut waiting) = self.waiting.remove(&(*namespace, *hash)) else { continue };
            if !owned {
                waiting.retain(|other| other != claim);
            } else if let Some(heir) = waiting.iter().copied().reduce(|a, b| if self.is_older(b, a) { b } else { a }) {
                waiting.retain(|other| *other != heir);
                self.set_owner(heir, *namespace, hash);
            }
            if !waiting.is_empty() {
                self.waiting.insert((*namespace, *hash), waiting);
            }
        }
        claims.into_iter().map(|(.., hash)| hash).collect()
    }

    fn set_owner(&mut self, claim: Claim, namespace: NamespaceId, hash: &KeyHash) {
        let Self { owners, pages, hasher, .. } = self;
        owners.insert_unique(hash_of(hasher, namespace, hash), claim, |other| {
            let slot = slot_in(pages, other.number());
            let hash = slot.and_then(|slot| Some(hash_of(hasher, slot.namespace, &other.hash(slot)?)));
            hash.unwrap_or_default()
        });
    }

    fn unset_owner(&mut self, claim: Claim, namespace: NamespaceId, hash: &KeyHash) {
        if let Ok(place) = self.owners.find_entry(hash_of(&self.hasher, namespace, hash), |other| *other == claim) {
            place.remove();
        }
    }

    /// By age, and by name between two of one age.
    fn is_older(&self, one: Claim, other: Claim) -> bool {
        let age = |claim: Claim| self.get(claim.number()).map(|slot| (&slot.seniority, slot.record.object_name()));
        age(one) < age(other)
    }
}

fn slot_in(pages: &[Vec<Option<Slot>>], Number(number): Number) -> Option<&Slot> {
    pages.get((number / PAGE) as usize)?.get((number % PAGE) as usize)?.as_ref()
}

fn hash_of(hasher: &RandomState, namespace: NamespaceId, hash: &KeyHash) -> u64 {
    hasher.hash_one((namespace, hash.prefix()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million keys: each byte here is a megabyte of a pod.
    #[test]
    fn a_slot_is_a_cache_line_and_a_claim_four_bytes() {
        assert_eq!((size_of::<Option<Slot>>(), size_of::<Claim>(), size_of::<Number>()), (64, 4, 4));
    }
}
