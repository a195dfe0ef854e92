use std::sync::atomic::AtomicUsize;

use keyplane_core::credits::{Due, Opening, Refill, refill_due};
use proptest::prelude::*;

use super::*;

const DAY: i64 = 86_400_000;

fn record(key: &str, remaining: u64) -> CreditsRecord {
    let opening = Opening { remaining, set_at: None };
    CreditsRecord { counter: CounterId::credits("team-a", key), opening, refill: None, created: None, generation: 0 }
}

fn open(directory: &tempfile::TempDir) -> Balances {
    Balances::open(directory.path()).unwrap()
}

/// Spends, waiting for the disk as a wire does. `Err`: insufficient.
fn spend(balances: &Balances, credits: &CreditsRecord, cost: u64, now: Millis) -> Result<u64, u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    loop {
        match balances.spend(credits, cost, now) {
            Outcome::Spent { remaining } => return Ok(remaining),
            Outcome::Insufficient { remaining } => return Err(remaining),
            Outcome::NotYet(wait) => runtime.block_on(wait.flushed()),
        }
    }
}

#[test]
fn sixteen_threads_spend_exactly_what_there_is() {
    let directory = tempfile::tempdir().unwrap();
    for balances in [Balances::in_memory(), open(&directory)] {
        let (credits, spent) = (record("k", 20_000), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for thread in 0..16_usize {
                let (balances, credits, spent) = (&balances, &credits, &spent);
                scope.spawn(move || {
                    // Those with a higher cost are refused first; all end when nothing is left for a cost of 1.
                    for cost in (1..=1 + thread % 3).rev() {
                        while spend(balances, credits, cost as u64, Millis(0)).is_ok() {
                            spent.fetch_add(cost, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(spent.load(Ordering::Relaxed), 20_000);
        assert_eq!(balances.peek(&credits, Millis(0)), 0);
    }
}

#[test]
fn a_cost_of_zero_is_always_spent_and_spends_nothing() {
    let balances = Balances::in_memory();
    let credits = record("k", 1);
    assert_eq!(spend(&balances, &credits, 0, Millis(0)), Ok(1));
    assert_eq!(balances.held().balances, 0, "asking holds nothing");
    assert_eq!(spend(&balances, &credits, 2, Millis(0)), Err(1));
    assert_eq!(spend(&balances, &credits, 1, Millis(0)), Ok(0));
    assert_eq!(spend(&balances, &credits, 0, Millis(0)), Ok(0));
    assert_eq!(spend(&balances, &credits, 1, Millis(0)), Err(0));
}

#[test]
fn keys_have_balances_of_their_own() {
    let balances = Balances::in_memory();
    let keys: Vec<CreditsRecord> = (0..1_000).map(|number| record(&format!("key-{number}"), number)).collect();
    for _ in 0..2 {
        for (number, credits) in keys.iter().enumerate().skip(2) {
            assert!(spend(&balances, credits, 1, Millis(0)).is_ok(), "{number}");
        }
    }
    let left: Vec<u64> = keys.iter().map(|credits| balances.peek(credits, Millis(0))).collect();
    assert!(left.iter().enumerate().skip(2).all(|(number, left)| *left == number as u64 - 2));
    assert_eq!(balances.held(), Held { balances: 998, refused: 0 });
}

#[test]
fn an_orderly_stop_loses_nothing_and_ends_spending() {
    let directory = tempfile::tempdir().unwrap();
    let credits = CreditsRecord { refill: Refill::monthly(500, 31).ok(), ..record("k", 1_000) };
    for left in [997, 994, 991] {
        let balances = open(&directory);
        assert_eq!(spend(&balances, &credits, 3, Millis(0)), Ok(left));
        balances.close().unwrap();
        assert!(matches!(balances.spend(&credits, 1, Millis(0)), Outcome::NotYet(_)), "nothing more may be given");
        assert_eq!(balances.peek(&credits, Millis(0)), left);
        balances.close().unwrap();
    }
    assert_eq!(open(&directory).held().balances, 1);
}

#[test]
fn one_process_at_a_time_has_the_journal() {
    let directory = tempfile::tempdir().unwrap();
    let _first = open(&directory);
    let refused = Balances::open(directory.path()).err().unwrap().to_string();
    assert!(refused.contains("in use by another process") && refused.contains("--data-dir"), "{refused}");
}

#[test]
fn a_key_that_is_gone_for_a_day_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (gone, stays) = (record("gone", 10), record("stays", 10));
    let balances = open(&directory);
    for credits in [&gone, &stays] {
        assert_eq!(spend(&balances, credits, 4, Millis(0)), Ok(6));
    }
    balances.gone([gone.counter, record("unknown", 1).counter].into_iter(), Millis(0));
    balances.forget_gone(Millis(DAY - 1));
    assert_eq!(balances.held().balances, 2, "not yet");
    balances.forget_gone(Millis(DAY));
    assert_eq!(balances.held().balances, 1);
    balances.close().unwrap();
    drop(balances);
    let balances = open(&directory);
    assert_eq!((balances.held().balances, balances.peek(&stays, Millis(0))), (1, 6));
    assert_eq!(spend(&balances, &gone, 4, Millis(DAY)), Ok(6), "another key of that id starts afresh");
}

#[test]
fn a_key_that_returns_is_not_given_its_opening_again() {
    let directory = tempfile::tempdir().unwrap();
    let credits = record("k", 10);
    let balances = open(&directory);
    assert_eq!(spend(&balances, &credits, 4, Millis(0)), Ok(6));
    balances.gone([credits.counter].into_iter(), Millis(0));
    assert_eq!(spend(&balances, &credits, 1, Millis(1)), Ok(5), "a request that found the key before it was gone");
    balances.there([credits.counter].into_iter());
    balances.forget_gone(Millis(2 * DAY));
    assert_eq!(spend(&balances, &credits, 1, Millis(2 * DAY)), Ok(4));
    balances.gone([credits.counter].into_iter(), Millis(3 * DAY));
    balances.close().unwrap();
    drop(balances);
    // Gone while no one looked: the day begins when the keys are known.
    let balances = open(&directory);
    balances.all_gone(Millis(9 * DAY));
    balances.forget_gone(Millis(10 * DAY - 1));
    assert_eq!(balances.peek(&credits, Millis(9 * DAY)), 4);
    balances.there([credits.counter].into_iter());
    balances.forget_gone(Millis(99 * DAY));
    assert_eq!(balances.peek(&credits, Millis(99 * DAY)), 4);
}

#[test]
fn memory_is_bounded_and_known_balances_go_on() {
    let balances = Balances { max_per_shard: 2, ..Balances::in_memory() };
    let known = record("known", 10);
    assert_eq!(spend(&balances, &known, 1, Millis(0)), Ok(9));
    for number in 0..5_000 {
        let _ = spend(&balances, &record(&format!("key-{number}"), 10), 1, Millis(0));
    }
    let held = balances.held();
    assert!(held.balances == 512 && held.refused > 0, "{held:?}");
    assert_eq!(spend(&balances, &known, 1, Millis(0)), Ok(8));
}

/// Shows a new opening to the balance, as the next verification does, and lets the disk know of it.
fn notice(balances: &Balances, credits: &CreditsRecord, now: Millis) {
    assert!(matches!(balances.spend(credits, u64::MAX, now), Outcome::Insufficient { .. }));
    while !balances.table.shard(credits.counter).get(credits.counter).unwrap().is_written() {
        std::thread::yield_now();
    }
}

/// One key as its owner would keep the books: no blocks, no disk.
struct Books {
    left: u64,
    considered: Millis,
}

impl Books {
    fn refill(&mut self, refill: Option<Refill>, now: Millis) {
        match refill.map_or(Due::No, |refill| refill_due(self.left, self.considered, refill, now)) {
            Due::No => {}
            Due::Enough => self.considered = now,
            Due::Set(amount) => (self.left, self.considered) = (amount, now),
        }
    }

    fn spend(&mut self, cost: u64) -> Result<u64, u64> {
        self.left = self.left.checked_sub(cost).ok_or(self.left)?;
        Ok(self.left)
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Spend(u64),
    Pass(i64),
    Write(u64),
    Mark,
    Restart,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => prop_oneof![0..4_u64, 0..60_u64].prop_map(Step::Spend),
        2 => prop_oneof![0..DAY, 20 * DAY..40 * DAY, -DAY..0].prop_map(Step::Pass),
        1 => (0..3_000_u64).prop_map(Step::Write),
        1 => Just(Step::Mark),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn agrees_with_the_books(
        steps in steps(),
        opening in prop_oneof![0..40_u64, 0..3_000_u64],
        refill in prop_oneof![Just(None), (1..500_i64).prop_map(|amount| Refill::daily(amount).ok()), (1..500_i64, 1..=31_i64).prop_map(|(amount, day)| Refill::monthly(amount, day).ok())],
    ) {
        let directory = tempfile::tempdir().unwrap();
        let (mut credits, mut now) = (CreditsRecord { refill, ..record("k", opening) }, Millis(400 * DAY));
        let (mut balances, mut books) = (open(&directory), None::<Books>);
        for step in steps {
            match step {
                Step::Spend(cost) => {
                    let books = books.get_or_insert(Books { left: credits.opening.remaining, considered: now });
                    books.refill(credits.refill, now);
                    let outcome = spend(&balances, &credits, cost.max(1), now);
                    prop_assert_eq!(outcome, books.spend(cost.max(1)));
                    prop_assert_eq!(spend(&balances, &credits, 0, now), Ok(books.left));
                    if outcome.is_err() {
                        notice(&balances, &credits, now);
                    }
                }
                Step::Pass(millis) => now = now.plus(millis),
                Step::Write(remaining) => {
                    // Before the first spending nothing is held that could be set.
                    if credits.opening.remaining != remaining && books.is_some() {
                        books = Some(Books { left: remaining, considered: now });
                    }
                    credits.opening.remaining = remaining;
                    credits.generation += 1;
                    let _ = books.as_ref().map(|_| notice(&balances, &credits, now));
                }
                Step::Mark => {
                    credits.opening.set_at = Some(Millis(credits.generation));
                    credits.generation += 1;
                    books = books.map(|_| Books { left: credits.opening.remaining, considered: now });
                    let _ = books.as_ref().map(|_| notice(&balances, &credits, now));
                }
                Step::Restart => {
                    balances.close().unwrap();
                    drop(balances);
                    balances = open(&directory);
                }
                Step::Crash => {
                    drop(balances);
                    balances = open(&directory);
                    if let Some(books) = &mut books {
                        books.refill(credits.refill, now);
                        let after = balances.peek(&credits, now);
                        let bound = (books.left * 3 / 32).clamp(2, 6_144);
                        prop_assert!(after <= books.left && books.left - after <= bound, "{} {after}", books.left);
                        // The rest is the owner's loss.
                        books.left = after;
                    }
                }
            }
        }
    }
}
