use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use keyplane_core::counter_id::Subject;
use keyplane_core::limit::{Algorithm, Limit, Rule, evaluate_all};
use proptest::prelude::*;

use super::*;
use crate::index::{NamespaceId, Namespaces};

/// The account of everything that is not about accounts.
fn anyone() -> Account {
    Account::of_namespace(namespaces()[0])
}

fn namespaces() -> [NamespaceId; 3] {
    let mut numbers = Namespaces::default();
    ["team-a", "team-b", "team-c"].map(|name| numbers.number(name).0)
}

fn item(name: &str, count: i64, cost: u64) -> Item {
    let counter = CounterId::limit("team-a", name, Subject::Namespace, 1_000);
    Item { counter, rule: Rule::sliding(Limit::new(count, 1_000).unwrap()), cost }
}

proptest! {
    #[test]
    fn agrees_with_the_sequential_oracle(
        // Back by at most 40 s in all, which is less than what is kept; forward by as much as makes a sweep forget.
        batches in prop::collection::vec((prop::collection::vec((0..4_usize, 0..3_i64, 0..4_u64), 0..5), prop_oneof![8 => -1_000..1_000_i64, 1 => Just(70_000_i64)], any::<bool>()), 1..40),
    ) {
        let algorithms = [Algorithm::SlidingWindow, Algorithm::FixedWindow, Algorithm::Gcra { burst: Some(4) }];
        let (local, mut states, mut now) = (Local::default(), BTreeMap::new(), 100_000);
        for (batch, step, sweep) in batches {
            now += step;
            let items: Vec<Item> = batch.iter().map(|(name, count, cost)| {
                let mut item = item(["a", "b", "c", "d"][*name], 3 + count, *cost);
                item.rule.algorithm = algorithms[*name % 3];
                item
            }).collect();
            // Forgetting what no longer matters must not show.
            if sweep {
                (0..SHARDS).for_each(|round| local.sweep(round, Millis(now)));
            }
            let expected = evaluate_all(&mut states, &items, Millis(now));
            prop_assert_eq!(local.evaluate(anyone(), &items, Millis(now)), Ok(expected));
        }
    }
}

#[test]
fn sixteen_threads_are_admitted_exactly_to_the_limit() {
    const LIMIT: i64 = 1_000;
    let (local, admitted) = (Arc::new(Local::default()), Arc::new(AtomicUsize::new(0)));
    std::thread::scope(|scope| {
        for thread in 0..16_usize {
            let (local, admitted) = (local.clone(), admitted.clone());
            scope.spawn(move || {
                for _ in 0..200 {
                    // Every thread names the two counters in another order: locks taken in that order would lock up.
                    let (shared, other) = (item("shared", LIMIT, 1), item("other", i64::MAX, 1));
                    let batch = if thread % 2 == 0 { [shared, other] } else { [other, shared] };
                    if local.evaluate(anyone(), &batch, Millis(500)).unwrap().passed {
                        admitted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(admitted.load(Ordering::Relaxed), usize::try_from(LIMIT).unwrap());
    // What failed with the shared counter was not counted on the other one.
    let peek = local.evaluate(anyone(), &[item("other", i64::MAX, 0)], Millis(500)).unwrap();
    assert_eq!(peek.items[0].remaining, i64::MAX as u64 - LIMIT as u64);
}

#[test]
fn a_flood_of_identifiers_is_bounded_and_strict_and_known_counters_go_on() {
    let local = Local::with_capacity(SHARDS * 4);
    let known = item("known", 10, 1);
    assert!(local.evaluate(anyone(), &[known], Millis(0)).unwrap().passed);
    let flood = |now| {
        (0..20_000)
            .filter(|n| local.evaluate(anyone(), &[item(&format!("flood-{n}"), 10, 1)], Millis(now)).unwrap().passed)
            .count()
    };
    let admitted = flood(0);
    let held = local.held();
    assert!(admitted <= SHARDS * 4 && held.counters <= SHARDS * 4 && held.refused.full > 0, "{admitted} {held:?}");
    assert!(local.evaluate(anyone(), &[known], Millis(1)).unwrap().passed, "a known counter goes on");
    // Their time over, they make room for others.
    assert!(flood(5_000 + KEEP_MS) > 0);
    assert!(local.held().forgotten > 0);
}

#[test]
fn a_sweep_forgets_what_is_over_and_nothing_else() {
    let local = Local::default();
    local.evaluate(anyone(), &[item("old", 10, 1)], Millis(0)).unwrap();
    let later = Millis(5_000 + KEEP_MS);
    local.evaluate(anyone(), &[item("new", 10, 1)], later).unwrap();
    (0..SHARDS).for_each(|round| local.sweep(round, later));
    let held = local.held();
    assert_eq!((held.counters, held.forgotten, held.refused), (1, 1, Refused::default()));
}

/// How many of so many new counters the account is given.
fn begun(local: &Local, account: Account, name: &str, count: usize) -> usize {
    let begin = |n| local.evaluate(account, &[item(&format!("{name}-{n}"), 10, 1)], Millis(0)).unwrap().passed;
    (0..count).filter(|n| begin(*n)).count()
}

#[test]
fn no_namespace_takes_the_table_from_the_others() {
    const CAPACITY: usize = SHARDS * 100;
    let [a, b, c] = namespaces().map(Account::of_namespace);
    let local = Local::with_capacity(CAPACITY);
    assert!(local.evaluate(a, &[item("known", 10, 1)], Millis(0)).unwrap().passed);
    let share = begun(&local, a, "a", 2 * CAPACITY);
    assert!((CAPACITY * 78 / 100..CAPACITY * 82 / 100).contains(&share), "alone it has four fifths: {share}");
    // The second flood gets four fifths of what the first left, and there is still room for a third namespace.
    assert!(begun(&local, b, "b", 2 * CAPACITY) > CAPACITY / 8);
    assert_eq!(begun(&local, c, "c", 100), 100);
    let Refused { full, namespace, key } = local.held().refused;
    assert!(full == 0 && namespace > 0 && key == 0);
    assert!(local.evaluate(a, &[item("known", 10, 1)], Millis(0)).unwrap().passed, "what is known goes on");
    // What is over is off the account.
    let later = Millis(5_000 + KEEP_MS);
    (0..SHARDS).for_each(|round| local.sweep(round, later));
    assert!(begun(&local, a, "a", 100) == 100 && local.held().counters == 100);
}

#[test]
fn no_key_takes_the_share_of_its_namespace() {
    let [namespace, ..] = namespaces();
    let (greedy, other) = (Account::of_key(namespace, 1), Account::of_key(namespace, 2));
    let local = Local::with_capacities(SHARDS * 100, 50);
    assert_eq!(begun(&local, greedy, "greedy", 1_000), 50);
    assert_eq!((begun(&local, other, "other", 20), local.held().refused.key), (20, 950));
    assert_eq!(begun(&local, greedy, "greedy", 50), 50, "its counters go on");
    let later = Millis(5_000 + KEEP_MS);
    (0..SHARDS).for_each(|round| local.sweep(round, later));
    assert_eq!(begun(&local, greedy, "again", 1_000), 50);
}

#[test]
fn a_counter_takes_the_bytes_that_the_bound_counts_on() {
    assert_eq!(size_of::<(CounterId, Counter)>() + 1, 65);
    let local = Local::with_capacity(SHARDS * 1_000);
    begun(&local, anyone(), "flood", SHARDS * 1_000);
    let Held { counters, bytes, .. } = local.held();
    assert!(counters * 65 <= bytes && bytes <= SHARDS * 1_000 * 65 * 100 / 44, "{counters} in {bytes} bytes");
}
