//! One copy of what many keys have in common.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// Shared things, each found by what it is made of. Nobody says when one is no longer needed: whenever the pool has doubled, those that
/// nobody else holds are let go.
pub(super) struct Pool<T> {
    held: HashSet<T>,
    sweep_at: usize,
}

/// Below this a sweep frees too little to be worth it.
const SMALL: usize = 1024;

/// A reference that knows whether it is the last.
pub(super) trait Shared: Clone + Eq + Hash {
    fn is_the_last(&self) -> bool;
}

impl<T: ?Sized + Eq + Hash> Shared for Arc<T> {
    fn is_the_last(&self) -> bool {
        Self::strong_count(self) == 1
    }
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { held: HashSet::new(), sweep_at: SMALL }
    }
}

impl<T: Shared> Pool<T> {
    /// The one that is made of this. Cost: a hash of it, and making it at first sight.
    pub(super) fn share<Q: ?Sized + Eq + Hash>(&mut self, made_of: &Q, make: impl FnOnce() -> T) -> T
    where
        T: Borrow<Q>,
    {
        if let Some(shared) = self.held.get(made_of) {
            return shared.clone();
        }
        if self.held.len() >= self.sweep_at {
            self.held.retain(|shared| !shared.is_the_last());
            self.sweep_at = (2 * self.held.len()).max(SMALL);
            self.held.shrink_to(self.sweep_at);
        }
        let shared = make();
        self.held.insert(shared.clone());
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_copy_and_nothing_that_nobody_holds() {
        let mut pool = Pool::<Arc<str>>::default();
        let mut share = |text: &str| pool.share(text, || text.into());
        let kept = share("kept");
        assert!(Arc::ptr_eq(&kept, &share("kept")));
        for number in 0..10 * SMALL {
            share(&number.to_string());
        }
        assert!(Arc::ptr_eq(&kept, &share("kept")));
        assert!(pool.held.len() <= SMALL, "{} texts that nobody holds", pool.held.len());
    }
}
