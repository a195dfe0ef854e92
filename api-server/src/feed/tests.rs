//! What a change of an object must not lose: when the key was last used, and what is left of its credits.

mod snapshot;

use keyplane_api::ApiKey;
use keyplane_core::credits::CreditsRecord;
use keyplane_core::hash::KeyHash;
use keyplane_core::time::Millis;

use super::*;
use crate::credits::Outcome;
use crate::registry::ObjectKey;

struct World {
    feed: Feed,
    mirror: Mirror,
}

fn key(uid: &str, spec: &str) -> Event {
    let yaml = format!(
        "{{apiVersion: keyplane.dev/v1alpha1, kind: ApiKey, metadata: {{name: k, namespace: n, uid: {uid}}}, spec: {{key: {{hash: {{sha256: {}}}}}{spec}}}}}",
        KeyHash::of("k").to_hex()
    );
    Event::Applied(serde_yaml::from_str::<ApiKey>(&yaml).unwrap().into())
}

fn gone() -> Event {
    Event::Deleted(ObjectKey { kind: Kind::ApiKey, namespace: "n".to_owned(), name: "k".to_owned() })
}

impl World {
    /// After a first listing with these objects.
    fn new(listed: Vec<Event>) -> Self {
        let (index, balances) = (Arc::new(Index::default()), Arc::new(Balances::in_memory()));
        let mirror = Mirror::new(index.clone(), 1);
        let feed = Feed {
            index,
            readiness: Readiness::default(),
            metrics: Arc::default(),
            balances,
            progress: Arc::default(),
        };
        let mut world = Self { feed, mirror };
        world.take([vec![Event::Restarted], listed, vec![Event::Listed]].concat());
        world
    }

    fn take(&mut self, events: Vec<Event>) {
        self.feed.take(&mut self.mirror, events.into_iter().map(|event| (0, Ok(event))).collect());
    }

    fn record<R>(&self, read: impl FnOnce(&keyplane_core::record::KeyRecord) -> R) -> Option<R> {
        let namespace = self.feed.index.namespace("n").unwrap();
        self.feed.index.key(namespace, &KeyHash::of("k"), |found| read(found.record))
    }

    fn credits(&self) -> CreditsRecord {
        self.record(|record| record.credits.as_deref().cloned()).flatten().unwrap()
    }

    fn spend(&self, credits: &CreditsRecord) -> u64 {
        match self.feed.balances.spend(credits, 1, Millis(0)) {
            Outcome::Spent { remaining } => remaining,
            other => panic!("{other:?}"),
        }
    }

    /// As the sweeper does after so many days.
    fn days_pass(&self, days: i64) {
        self.feed.balances.forget_gone(clock::now().plus(days * 86_400_000 + 1));
    }
}

#[test]
fn a_changed_key_was_used_when_it_was_and_another_of_its_name_was_not() {
    let mut world = World::new(vec![key("u1", "")]);
    let used = |world: &World| world.record(|record| record.last_used.get()).unwrap();
    world.record(|record| record.last_used.touch(Millis(120_000)));
    assert_eq!(used(&world), Some(Millis(120_000)));
    world.take(vec![key("u1", ", displayName: another")]);
    assert_eq!(used(&world), Some(Millis(120_000)));
    world.take(vec![key("u1", ", displayName: another, enabled: false"), key("u1", "")]);
    assert_eq!(used(&world), Some(Millis(120_000)));
    world.take(vec![key("u2", "")]);
    assert_eq!(used(&world), None, "it was deleted and made again");
}

#[test]
fn a_balance_is_forgotten_a_day_after_its_key_and_not_while_it_has_one() {
    let paid = ", credits: {remaining: 10}";
    let mut world = World::new(vec![key("u1", paid)]);
    let credits = world.credits();
    assert_eq!(world.spend(&credits), 9);
    world.days_pass(2);
    assert_eq!(world.spend(&credits), 8, "the key is there");
    world.take(vec![gone()]);
    world.take(vec![key("u1", paid)]);
    world.days_pass(2);
    assert_eq!(world.spend(&world.credits()), 7, "the same key is there again");
    world.take(vec![key("u2", paid)]);
    assert_eq!(world.spend(&world.credits()), 9, "another key of that name has its own");
    assert_eq!(world.feed.balances.held().balances, 2);
    world.days_pass(1);
    assert_eq!(world.feed.balances.held().balances, 1);
    world.take(vec![Event::Restarted, Event::Listed]);
    world.days_pass(1);
    assert_eq!(world.feed.balances.held().balances, 0, "a listing that does not name it");
}

#[test]
fn a_balance_whose_key_went_while_no_one_looked_is_forgotten_a_day_after_the_start() {
    let world = World::new(vec![key("u1", ", credits: {remaining: 10}")]);
    let credits = world.credits();
    let lost = CreditsRecord { counter: keyplane_core::counter_id::CounterId::credits("n", "lost"), ..credits.clone() };
    let mut started = World::new(Vec::new());
    started.feed.balances = world.feed.balances.clone();
    for credits in [&credits, &lost] {
        world.spend(credits);
    }
    started.mirror = Mirror::new(started.feed.index.clone(), 1);
    started.take(vec![Event::Restarted, key("u1", ", credits: {remaining: 10}"), Event::Listed]);
    started.days_pass(1);
    assert_eq!(world.feed.balances.held().balances, 1);
    assert_eq!(world.spend(&credits), 8);
}
