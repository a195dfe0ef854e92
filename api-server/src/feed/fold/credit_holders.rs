//! Which balances have a key: so that a balance without one can be forgotten.

use std::collections::HashMap;

use keyplane_core::counter_id::CounterId;

/// How many keys each balance has: one, but two manifests may name one uid. An entry for each key with credits, about 40 bytes.
#[derive(Default)]
pub(super) struct CreditHolders {
    keys: HashMap<CounterId, u32>,
    changes: Vec<Holding>,
}

/// What happened to a balance's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::feed) enum Holding {
    /// There is a key.
    Begun(CounterId),
    /// There is none any more, or none of them has credits.
    Ended(CounterId),
}

impl CreditHolders {
    /// The record of a key took the place of another: `None` for one without credits, or none at all.
    pub(super) fn replaced(&mut self, old: Option<CounterId>, new: Option<CounterId>) {
        if old == new {
            return;
        }
        if let Some(new) = new {
            let keys = self.keys.entry(new).or_default();
            *keys += 1;
            if *keys == 1 {
                self.changes.push(Holding::Begun(new));
            }
        }
        if let Some(old) = old
            && let Some(keys) = self.keys.get_mut(&old)
        {
            *keys -= 1;
            if *keys == 0 {
                self.keys.remove(&old);
                self.changes.push(Holding::Ended(old));
            }
        }
    }

    /// What changed since the last call.
    pub(super) fn changes(&mut self) -> Vec<Holding> {
        std::mem::take(&mut self.changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balance_ends_with_its_last_key() {
        let counter = |key: &str| Some(CounterId::credits("n", key));
        let mut holders = CreditHolders::default();
        holders.replaced(None, counter("a"));
        holders.replaced(counter("a"), counter("a"));
        holders.replaced(None, counter("a"));
        assert_eq!(holders.changes(), [Holding::Begun(counter("a").unwrap())]);
        holders.replaced(counter("a"), None);
        assert_eq!(holders.changes(), [], "the other has it still");
        holders.replaced(counter("a"), counter("b"));
        let expected = [Holding::Begun(counter("b").unwrap()), Holding::Ended(counter("a").unwrap())];
        assert_eq!(holders.changes(), expected);
        holders.replaced(None, None);
        assert_eq!(holders.changes(), []);
    }
}
