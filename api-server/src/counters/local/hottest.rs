//! The counters with the highest counts, for a page.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use keyplane_core::counter_id::CounterId;
use keyplane_core::limit::CounterState;
use keyplane_core::time::Millis;

use super::{Local, lock};

/// One counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hot {
    /// What it counted in its window, or what its bucket held, when it last counted.
    pub count: u64,
    /// From when on it may be forgotten.
    pub forget_at: Millis,
    /// Its name, which is a hash.
    pub id: CounterId,
}

impl Local {
    /// The `most` counters with the highest counts among those whose time is not over, the highest first. **Cost**: looks at every counter,
    /// one shard's lock at a time: 15,000 counters each when 4 million are held, some 50 microseconds.
    pub fn hottest(&self, most: usize, now: Millis) -> Vec<Hot> {
        let mut heap = BinaryHeap::with_capacity(most + 1);
        for shard in &self.shards {
            for (id, counter) in &lock(shard).table {
                if counter.forget_at <= now {
                    continue;
                }
                let count = match counter.state {
                    CounterState::Window(state) => state.current,
                    CounterState::Bucket(state) => state.level,
                };
                heap.push(Reverse(Hot { count, forget_at: counter.forget_at, id: *id }));
                if heap.len() > most {
                    heap.pop();
                }
            }
        }
        heap.into_sorted_vec().into_iter().map(|Reverse(hot)| hot).collect()
    }

    /// As many counters as may be held.
    pub fn capacity(&self) -> usize {
        self.max_per_shard * self.shards.len()
    }
}

#[cfg(test)]
mod tests {
    use keyplane_core::counter_id::Subject;
    use keyplane_core::limit::{Item, Limit, Rule};

    use super::*;
    use crate::counters::{Account, Counters};
    use crate::index::Namespaces;

    #[test]
    fn the_highest_counts_come_first_and_those_that_are_over_do_not_come() {
        let (counters, now) = (Local::default(), Millis(1_000_000_000));
        let account = Account::of_namespace(Namespaces::default().number("n").0);
        let id = |number: u64| CounterId::limit("n", "requests", Subject::Identifier(&number.to_string()), 60_000);
        let count = |number: u64, cost: u64, at: Millis| {
            let rule = Rule::sliding(Limit::new(1000, 60_000).unwrap());
            counters.evaluate(account, &[Item { counter: id(number), rule, cost }], at).unwrap();
        };
        count(100, 900, now.plus(-600_000));
        for number in 1..=10 {
            count(number, number * 5, now);
        }
        let hottest = counters.hottest(3, now);
        let found: Vec<_> = hottest.iter().map(|hot| (hot.id, hot.count)).collect();
        assert_eq!(found, [(id(10), 50), (id(9), 45), (id(8), 40)]);
        assert!(hottest.iter().all(|hot| hot.forget_at > now));
        assert_eq!(counters.hottest(99, now).len(), 10);
    }
}
