//! Which keys a limit takes: how many, and the first few by name, kept up to date key by key.

use std::collections::BTreeSet;
use std::sync::Arc;

use keyplane_api::limit_record::Applies;

/// Names that a status shows.
pub(super) const SAMPLE: usize = 5;

/// The keys of one limit. A few hundred bytes, however many there are.
#[derive(Debug)]
pub(super) struct Matched {
    /// Which keys it takes.
    pub(super) applies: Applies,
    count: usize,
    /// The first by name of those that were not asked about: a prefix of them in order, possibly shorter than it should be.
    sample: BTreeSet<Arc<str>>,
}

impl Matched {
    /// None yet.
    pub(super) const fn new(applies: Applies) -> Self {
        Self { applies, count: 0, sample: BTreeSet::new() }
    }

    /// One more.
    pub(super) fn join(&mut self, name: &Arc<str>) {
        let all_known = self.sample.len() == self.count;
        if all_known || self.sample.last().is_some_and(|last| name < last) {
            self.sample.insert(name.clone());
        }
        if self.sample.len() > SAMPLE {
            self.sample.pop_last();
        }
        self.count += 1;
    }

    /// One less.
    pub(super) fn leave(&mut self, name: &Arc<str>) {
        self.sample.remove(name);
        self.count = self.count.saturating_sub(1);
    }

    /// How many there are.
    pub(super) fn count(&self) -> i64 {
        i64::try_from(self.count).unwrap_or(i64::MAX)
    }

    /// Whether names are missing in the sample, which is then to be filled from behind [`Self::last`].
    pub(super) fn is_short(&self) -> bool {
        self.sample.len() < self.count.min(SAMPLE)
    }

    /// The last name of the sample.
    pub(super) fn last(&self) -> Option<Arc<str>> {
        self.sample.last().cloned()
    }

    /// Takes names that follow the sample, in order, until it is full.
    pub(super) fn fill(&mut self, names: impl Iterator<Item = Arc<str>>) {
        let missing = self.count.min(SAMPLE).saturating_sub(self.sample.len());
        self.sample.extend(names.take(missing));
    }

    /// The names to show.
    pub(super) fn sample(&self) -> Vec<String> {
        self.sample.iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyplane_api::RateLimit;
    use keyplane_api::limit_record::rate_limit;
    use proptest::prelude::*;

    fn matched() -> Matched {
        let limit: RateLimit = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "a"},
            "spec": {"limit": 1, "window": "1s", "appliesTo": {"keySelector": {}}},
        }))
        .unwrap();
        Matched::new(rate_limit(&limit).unwrap().applies_to.unwrap())
    }

    #[test]
    fn while_keys_only_join_nothing_is_ever_looked_for() {
        let mut matched = matched();
        for number in [3, 1, 2, 7, 9, 0, 5, 8] {
            matched.join(&format!("key-{number}").into());
            assert!(!matched.is_short());
        }
        assert_eq!(matched.sample().join(" "), "key-0 key-1 key-2 key-3 key-5");
        matched.leave(&"key-1".into());
        assert!(matched.is_short() && matched.last() == Some("key-5".into()));
    }

    proptest! {
        /// Against a set of all names.
        #[test]
        fn count_and_sample_are_those_of_the_whole_set(steps in prop::collection::vec((0_u8..20, prop::bool::ANY), 0..80)) {
            let (mut matched, mut all) = (matched(), BTreeSet::<Arc<str>>::new());
            for (number, look) in steps {
                let name: Arc<str> = format!("key-{number:02}").into();
                if all.remove(&name) {
                    matched.leave(&name);
                } else {
                    matched.join(&name);
                    all.insert(name);
                }
                prop_assert_eq!(matched.count(), i64::try_from(all.len()).unwrap());
                // Not after every step: what is missing may stay so for a while.
                if look && matched.is_short() {
                    let after = matched.last();
                    matched.fill(all.iter().filter(|name| after.as_ref().is_none_or(|after| *name > after)).cloned());
                }
                let expected: Vec<String> = all.iter().take(SAMPLE).map(ToString::to_string).collect();
                if matched.is_short() {
                    prop_assert!(expected.starts_with(&matched.sample()));
                } else {
                    prop_assert_eq!(matched.sample(), expected);
                }
            }
        }
    }
}
