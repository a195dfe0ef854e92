//! Several counters decided as one, slowly and obviously: the truth that a concurrent implementation is held against.

use std::collections::BTreeMap;

use super::{CounterState, Decision, Rule};
use crate::counter_id::CounterId;
use crate::time::Millis;

/// One item of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// On which counter.
    pub counter: CounterId,
    /// By which rule.
    pub rule: Rule,
    /// How much.
    pub cost: u64,
}

/// The outcome of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Whether everything was within its limit, and so was counted. Otherwise nothing was.
    pub passed: bool,
    /// One decision for each item, in order.
    pub items: Vec<Decision>,
}

/// Decides about all items at once: all are counted or none is.
///
/// Every item is judged with the whole batch already on its counter, so two items on one counter see each other's cost, whichever comes
/// first. In a batch that fails, an item that is within its limit says so, and its `remaining` is what is left now that the batch's
/// cost is given back; an item over its limit says 0. Two items may bring different rules for one counter: each is judged by its own,
/// and the state takes the form that the last one gives it.
///
/// Cost: allocates, looks up each counter twice. An oracle and a reference, not the hot path.
pub fn evaluate_all(states: &mut BTreeMap<CounterId, CounterState>, items: &[Item], now: Millis) -> Batch {
    let mut totals = BTreeMap::<CounterId, u64>::new();
    for item in items {
        let total = totals.entry(item.counter).or_default();
        *total = total.saturating_add(item.cost);
    }
    let judge =
        |item: &Item, cost| states.get(&item.counter).copied().unwrap_or_default().decide(&item.rule, cost, now);
    let judged: Vec<(CounterState, Decision)> =
        items.iter().map(|item| judge(item, totals.get(&item.counter).copied().unwrap_or_default())).collect();
    if !judged.iter().all(|(_, decision)| decision.allowed) {
        let given_back = |(item, (_, decision)): (&Item, &(CounterState, Decision))| {
            if decision.allowed { judge(item, 0).1 } else { *decision }
        };
        return Batch { passed: false, items: items.iter().zip(&judged).map(given_back).collect() };
    }
    for (item, (state, _)) in items.iter().zip(&judged) {
        if totals.get(&item.counter).is_some_and(|total| *total > 0) {
            states.insert(item.counter, *state);
        }
    }
    Batch { passed: true, items: judged.into_iter().map(|(_, decision)| decision).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter_id::Subject;
    use crate::limit::{Algorithm, Limit};
    use proptest::prelude::*;

    const NOW: Millis = Millis(5_000);

    fn item(name: &str, count: i64, cost: u64) -> Item {
        let counter = CounterId::limit("team-a", name, Subject::Namespace, 1_000);
        Item { counter, rule: Rule::sliding(Limit::new(count, 1_000).unwrap()), cost }
    }

    fn verdicts(batch: &Batch) -> Vec<(bool, u64)> {
        batch.items.iter().map(|decision| (decision.allowed, decision.remaining)).collect()
    }

    #[test]
    fn all_or_nothing() {
        let mut states = BTreeMap::new();
        let batch = evaluate_all(&mut states, &[item("a", 5, 2), item("b", 1, 2)], NOW);
        assert!(!batch.passed && states.is_empty());
        assert_eq!(verdicts(&batch), [(true, 5), (false, 0)], "a's cost is given back");
        let batch = evaluate_all(&mut states, &[item("a", 5, 2), item("b", 1, 1)], NOW);
        assert!(batch.passed);
        assert_eq!(verdicts(&batch), [(true, 3), (true, 0)]);
    }

    #[test]
    fn items_on_one_counter_see_each_other() {
        let mut states = BTreeMap::new();
        let twice = [item("a", 3, 2), item("a", 3, 2)];
        assert_eq!(verdicts(&evaluate_all(&mut states, &twice, NOW)), [(false, 0), (false, 0)]);
        let mixed = [item("a", 9, 2), item("a", 3, 2)];
        assert_eq!(verdicts(&evaluate_all(&mut states, &mixed, NOW)), [(true, 9), (false, 0)], "each by its own limit");
        assert!(states.is_empty());
        let batch = evaluate_all(&mut states, &[item("a", 3, 1), item("a", 3, 1), item("a", 3, 0)], NOW);
        assert_eq!(verdicts(&batch), [(true, 1), (true, 1), (true, 1)]);
        assert_eq!(verdicts(&evaluate_all(&mut states, &[item("a", 3, 2)], NOW)), [(false, 0)], "2 were counted, once");
    }

    #[test]
    fn nothing_passes_and_counts_nothing() {
        let mut states = BTreeMap::new();
        assert_eq!(evaluate_all(&mut states, &[], NOW), Batch { passed: true, items: vec![] });
        assert!(
            evaluate_all(&mut states, &[item("a", 3, 0)], NOW).passed && states.is_empty(),
            "a peek makes no counter"
        );
    }

    proptest! {
        #[test]
        fn a_batch_is_a_single_request_or_nothing(
            batches in prop::collection::vec((prop::collection::vec((0..4_usize, 0..3_usize, 0..4_u64), 0..5), 0..700_i64), 1..30),
        ) {
            let algorithms = [Algorithm::SlidingWindow, Algorithm::FixedWindow, Algorithm::Gcra { burst: Some(4) }];
            let (mut states, mut now) = (BTreeMap::new(), 0);
            for (batch, step) in batches {
                now += step;
                // A name has one algorithm. Limits differ on one counter, but not those of a bucket: it leaks by its rule's.
                let items: Vec<Item> = batch.iter().map(|(name, count, cost)| {
                    let count = if *name == 2 { 2 } else { *count };
                            let mut item = item(["a", "b", "c", "d"][*name], 3 + i64::try_from(count).unwrap(), *cost);
                    item.rule.algorithm = algorithms[*name % 3];
                    item
                }).collect();
                let before = states.clone();
                let outcome = evaluate_all(&mut states, &items, Millis(now));
                prop_assert_eq!(outcome.passed, outcome.items.iter().all(|decision| decision.allowed));
                if !outcome.passed {
                    prop_assert_eq!(&states, &before);
                    continue;
                }
                // One by one, the same requests pass too and leave the same counts.
                let mut one_by_one = before;
                for item in &items {
                    prop_assert!(evaluate_all(&mut one_by_one, std::slice::from_ref(item), Millis(now)).passed);
                }
                prop_assert_eq!(&states, &one_by_one);
            }
        }
    }
}
