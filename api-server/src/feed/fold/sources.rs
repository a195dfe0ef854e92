//! Which objects each source has named, so that a listing tells what is gone.

use std::collections::HashSet;
use std::sync::Arc;

use crate::registry::ObjectKey;

pub(super) struct Sources(Vec<Source>);

#[derive(Default)]
struct Source {
    /// What the source holds, as far as it told.
    held: HashSet<Arc<ObjectKey>>,
    /// During a listing: what the last state held and this one has not named yet.
    unseen: Option<HashSet<Arc<ObjectKey>>>,
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
        }
    }

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

    /// The listing is complete: returns what it didn't name.
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
