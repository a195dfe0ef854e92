//! Which objects each source has named, so that a listing tells what is gone.

use std::collections::HashSet;
use std::sync::Arc;

use crate::registry::ObjectKey;

pub(super) struct Sources(Vec<Source>);

/// One listing of one source. Keys are marked with the one that named them last, which costs less than a set of a million of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listing {
    source: u16,
    number: u32,
}

impl Listing {
    /// Whether the other is one of the same source.
    pub(super) const fn is_of_source_of(self, other: Self) -> bool {
        self.source == other.source
    }
}

#[derive(Default)]
struct Source {
    /// What the source holds besides keys, as far as it told.
    held: HashSet<Arc<ObjectKey>>,
    /// During a listing: what the last state held and this one has not named yet.
    unseen: Option<HashSet<Arc<ObjectKey>>>,
    /// Listings that have begun.
    listings: u32,
    listed_once: bool,
}

impl Sources {
    pub(super) fn new(count: usize) -> Self {
        Self((0..count).map(|_| Source::default()).collect())
    }

    pub(super) fn are_complete(&self) -> bool {
        self.0.iter().all(|source| source.listed_once)
    }

    pub(super) fn restarted(&mut self, source: usize) {
        if let Some(source) = self.0.get_mut(source) {
            source.unseen = Some(source.held.clone());
            source.listings = source.listings.wrapping_add(1);
        }
    }

    /// The listing that is under way, or was the last. Sources are a kind in a namespace each: far fewer than 65,536.
    pub(super) fn listing(&self, source: usize) -> Listing {
        let number = self.0.get(source).map_or(0, |source| source.listings);
        Listing { source: u16::try_from(source).unwrap_or(u16::MAX), number }
    }

    /// The source has named an object that is no key.
    pub(super) fn seen(&mut self, source: usize, key: Arc<ObjectKey>) {
        if let Some(source) = self.0.get_mut(source) {
            if let Some(unseen) = &mut source.unseen {
                unseen.remove(&key);
            }
            source.held.insert(key);
        }
    }

    pub(super) fn gone(&mut self, source: usize, key: &ObjectKey) {
        if let Some(source) = self.0.get_mut(source) {
            if let Some(unseen) = &mut source.unseen {
                unseen.remove(key);
            }
            source.held.remove(key);
        }
    }

    /// The listing is complete: returns what it didn't name, besides keys.
    pub(super) fn listed(&mut self, source: usize) -> Vec<Arc<ObjectKey>> {
        let Some(source) = self.0.get_mut(source) else { return Vec::new() };
        source.listed_once = true;
        let gone: Vec<Arc<ObjectKey>> = source.unseen.take().into_iter().flatten().collect();
        for key in &gone {
            source.held.remove(key);
        }
        gone
    }
}
