//! When what is written, and that it follows from what changed.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::decide::tests::{labelled, object};
use super::super::object::{Kind, Object, Place};
use super::{COUNTS, Change, Ledger, PASS, SETTLING, Write};

const KINDS: [Kind; 7] = [
    Kind::ApiKey,
    Kind::RateLimit,
    Kind::RateLimitOverride,
    Kind::Keyspace,
    Kind::Identity,
    Kind::KeyRole,
    Kind::KeyPermission,
];

fn seen(name: &str, object: Object) -> Change {
    Change::Seen { namespace: "team-a".into(), name: name.into(), object: Box::new(object) }
}

fn gone(kind: Kind, name: &str) -> Change {
    Change::Gone { kind, namespace: "team-a".into(), name: name.into() }
}

fn gold(name: &str, gold: bool) -> Object {
    labelled(Kind::ApiKey, name, 1, if gold { json!({"plan": "gold"}) } else { json!({}) }, json!({"keyspace": "pay"}))
}

fn limit() -> Object {
    let applies_to = json!({"keySelector": {"matchLabels": {"plan": "gold"}}});
    object(Kind::RateLimit, "gold", 1, json!({"limit": 1, "window": "1s", "appliesTo": applies_to}))
}

/// A ledger that knows these, with all that follows written.
fn settled(objects: Vec<(&str, Object)>) -> Ledger {
    let mut ledger = Ledger::default();
    for kind in KINDS {
        ledger.observe(Change::Listing(kind), Duration::ZERO);
    }
    let any = !objects.is_empty();
    for (name, object) in objects {
        ledger.observe(seen(name, object), Duration::ZERO);
    }
    assert_eq!(ledger.next_turn(), None, "before everything is listed nothing is decided");
    for kind in KINDS {
        ledger.observe(Change::Listed(kind), Duration::ZERO);
    }
    assert_eq!(ledger.next_turn(), any.then_some(SETTLING));
    write_all(&mut ledger, SETTLING);
    ledger
}

/// What is looked at and what is written at this time; everything succeeds.
fn turn(ledger: &mut Ledger, now: Duration) -> (Vec<Place>, Vec<Write>) {
    let (mut looked_at, mut writes) = (Vec::new(), Vec::new());
    let time = Time(Timestamp::from_second(i64::try_from(now.as_secs()).unwrap()).unwrap());
    for (namespace, place) in ledger.due(now) {
        if let Some(write) = ledger.write(&namespace, &place, now, &time) {
            ledger.written(write.clone(), now);
            writes.push(write);
        }
        looked_at.push(place);
    }
    (looked_at, writes)
}

fn write_all(ledger: &mut Ledger, now: Duration) -> Vec<String> {
    turn(ledger, now).1.iter().map(|write| format!("{} {}", write.place.kind.as_str(), write.place.name)).collect()
}

#[test]
fn one_change_among_twenty_thousand_keys_is_looked_at_and_written_alone() {
    let names: Vec<String> = (0..20_000).map(|number| format!("key-{number:05}")).collect();
    let mut objects: Vec<(&str, Object)> = names.iter().map(|name| (name.as_str(), gold(name, false))).collect();
    objects.push(("pay", object(Kind::Keyspace, "pay", 1, json!({}))));
    objects.push(("gold", limit()));
    let mut ledger = settled(objects);
    let now = Duration::from_secs(100);
    ledger.observe(seen("key-00007", gold("key-00007", true)), now);
    let (looked_at, writes) = turn(&mut ledger, now + SETTLING);
    let places: Vec<_> = looked_at.iter().map(|place| (place.kind, &*place.name)).collect();
    assert_eq!(places, [(Kind::ApiKey, "key-00007"), (Kind::RateLimit, "gold"), (Kind::Keyspace, "pay")]);
    assert_eq!(writes.len(), 1);
    assert_eq!(writes[0].patch["status"]["matchedKeys"], 1);
    assert_eq!(writes[0].patch["status"]["sample"], json!(["key-00007"]));
    assert_eq!(ledger.next_turn(), None, "nothing is left to do");
}

#[test]
fn changes_of_a_namespace_are_gathered_and_a_second_turn_waits() {
    let mut ledger = settled(vec![]);
    let now = Duration::from_secs(100);
    ledger.observe(seen("pay", object(Kind::Keyspace, "pay", 1, json!({}))), now);
    ledger.observe(seen("a", object(Kind::KeyRole, "a", 1, json!({}))), now + SETTLING / 2);
    assert_eq!(ledger.next_turn(), Some(now + SETTLING));
    assert_eq!(write_all(&mut ledger, now + SETTLING), ["Keyspace pay", "KeyRole a"]);
    ledger.observe(seen("b", object(Kind::KeyRole, "b", 1, json!({}))), now + SETTLING);
    assert_eq!(ledger.next_turn(), Some(now + SETTLING + PASS));
    assert_eq!(write_all(&mut ledger, now + PASS), Vec::<String>::new(), "too soon");
    assert_eq!(write_all(&mut ledger, now + SETTLING + PASS), ["KeyRole b"]);
}

#[test]
fn a_count_waits_unless_it_leaves_or_reaches_nothing() {
    let mut ledger = settled(vec![("pay", object(Kind::Keyspace, "pay", 1, json!({})))]);
    let begun = Duration::from_secs(100);
    ledger.observe(seen("a", gold("a", false)), begun);
    let written = begun + SETTLING;
    assert_eq!(write_all(&mut ledger, written), ["Keyspace pay"], "from 0");
    ledger.observe(seen("b", gold("b", false)), written + PASS);
    assert_eq!(write_all(&mut ledger, written + PASS * 2), Vec::<String>::new());
    assert_eq!(ledger.next_turn(), Some(written + COUNTS), "later");
    ledger.observe(seen("c", gold("c", false)), written + PASS * 3);
    assert_eq!(write_all(&mut ledger, written + PASS * 4), Vec::<String>::new());
    let (_, writes) = turn(&mut ledger, written + COUNTS);
    assert_eq!(writes.iter().map(|write| write.patch["status"]["keys"].clone()).collect::<Vec<Value>>(), [json!(3)]);
    for name in ["a", "b", "c"] {
        ledger.observe(gone(Kind::ApiKey, name), written + COUNTS + PASS);
    }
    assert_eq!(write_all(&mut ledger, written + COUNTS + PASS * 2), ["Keyspace pay"], "to 0");
}

#[test]
fn what_the_watch_tells_of_our_own_write_is_no_news_and_an_edit_is() {
    let mut ledger = settled(vec![]);
    let now = Duration::from_secs(100);
    let keyspace = object(Kind::Keyspace, "pay", 1, json!({}));
    ledger.observe(seen("pay", keyspace.clone()), now);
    let (_, writes) = turn(&mut ledger, now + SETTLING);
    let mut told = keyspace.clone();
    told.shown = writes[0].shown.clone();
    ledger.observe(seen("pay", told.clone()), now + PASS);
    assert_eq!(ledger.next_turn(), None);
    told.shown.counts.keys = Some(7_000);
    ledger.observe(seen("pay", told), now + PASS);
    assert_eq!(write_all(&mut ledger, now + PASS * 3), ["Keyspace pay"], "healed at once");
    let mut next = keyspace;
    next.shown = writes[0].shown.clone();
    next.generation = Some(4);
    ledger.observe(seen("pay", next), now + PASS * 4);
    assert_eq!(write_all(&mut ledger, now + PASS * 6), ["Keyspace pay"], "the observed generation");
}

#[test]
fn what_a_new_listing_does_not_name_is_gone() {
    let role = || object(Kind::KeyRole, "editor", 1, json!({}));
    let key = || object(Kind::ApiKey, "a", 1, json!({"roles": ["editor"]}));
    let mut ledger = settled(vec![("editor", role()), ("a", key())]);
    let now = Duration::from_secs(100);
    ledger.observe(Change::Listing(Kind::KeyRole), now);
    assert_eq!(ledger.next_turn(), None, "an interrupted listing says nothing");
    ledger.observe(Change::Listed(Kind::KeyRole), now);
    let (_, writes) = turn(&mut ledger, now + SETTLING);
    assert_eq!(writes.len(), 1);
    assert_eq!(writes[0].patch["status"]["conditions"][0]["reason"], "RoleNotFound");
    ledger.observe(seen("editor", role()), now + PASS);
    assert_eq!(write_all(&mut ledger, now + PASS * 3), ["ApiKey a", "KeyRole editor"], "found again");
}

#[test]
fn names_mean_nothing_in_other_namespaces() {
    let mut ledger = settled(vec![("a", object(Kind::ApiKey, "a", 1, json!({})))]);
    let now = Duration::from_secs(100);
    let role = Box::new(object(Kind::KeyRole, "editor", 1, json!({})));
    ledger.observe(Change::Seen { namespace: "team-b".into(), name: "editor".into(), object: role }, now);
    ledger.observe(seen("a", object(Kind::ApiKey, "a", 1, json!({"roles": ["editor"]}))), now);
    let (_, writes) = turn(&mut ledger, now + SETTLING);
    let key = writes.iter().find(|write| write.place.kind == Kind::ApiKey).unwrap();
    assert_eq!(key.patch["status"]["conditions"][0]["reason"], "RoleNotFound");
}

#[test]
fn a_write_that_failed_is_tried_again_and_a_deleted_object_is_not() {
    let mut ledger = settled(vec![]);
    let (now, team): (_, Arc<str>) = (Duration::from_secs(100), "team-a".into());
    ledger.observe(seen("pay", object(Kind::Keyspace, "pay", 1, json!({}))), now);
    let (namespace, place) = ledger.due(now + SETTLING).remove(0);
    let time = Time(Timestamp::UNIX_EPOCH);
    assert!(ledger.write(&namespace, &place, now, &time).is_some());
    ledger.look_again(&team, place.clone(), now + PASS * 5);
    assert_eq!(ledger.next_turn(), Some(now + PASS * 5));
    ledger.observe(seen("a", object(Kind::KeyRole, "a", 1, json!({}))), now + PASS);
    assert_eq!(write_all(&mut ledger, now + PASS * 2), ["KeyRole a"], "others do not wait for it");
    assert_eq!(write_all(&mut ledger, now + PASS * 5), ["Keyspace pay"]);
    ledger.look_again(&team, place, now + PASS * 7);
    ledger.observe(gone(Kind::Keyspace, "pay"), now + PASS * 6);
    assert_eq!(write_all(&mut ledger, now + PASS * 9), Vec::<String>::new());
    ledger.observe(gone(Kind::KeyRole, "a"), now + PASS * 9);
    assert!(ledger.namespaces.is_empty() && ledger.next_turn().is_none(), "nothing is left of an empty namespace");
}

/// One object of a few, in one of a few forms.
fn any_object() -> impl Strategy<Value = (Kind, usize, Object)> {
    (0_usize..6, 0_usize..3, 0_usize..4).prop_map(|(kind, number, form)| {
        let (kind, created) = (KINDS[kind], u32::try_from(number).unwrap());
        let name = format!("o{number}");
        let word = ["a", "b", "*a", "a*"][form];
        let (either, by_number) = (["a", "b"][form % 2], ["a", "b"][number % 2]);
        let roles = &["a", "b"][..=form % 2];
        let spec = match kind {
            Kind::ApiKey => json!({"keyspace": format!("o{form}"), "externalId": "a", "roles": roles}),
            Kind::RateLimit => json!({"name": either, "limit": 1, "window": "1s",
                "appliesTo": {"keySelector": if form < 2 { json!({}) } else { json!({"matchLabels": {"plan": "gold"}}) }},
                "overrides": [{"identifier": word, "limit": 1, "window": "1s"}]}),
            Kind::RateLimitOverride => {
                json!({"rateLimit": by_number, "identifier": word, "limit": 1, "window": "1s"})
            }
            Kind::Identity => json!({"externalId": either}),
            Kind::KeyRole => json!({"name": either}),
            _ => json!({}),
        };
        let labels = if form == 1 { json!({"plan": "gold"}) } else { json!({}) };
        (kind, number, labelled(kind, &name, created, labels, spec))
    })
}

proptest! {
    /// However the objects came to be, what is shown in the end is what is shown when they are just there: no change is
    /// missed. This is what all the marking of what a change touches must give.
    #[test]
    fn the_outcome_does_not_depend_on_the_way(
        steps in prop::collection::vec((any_object(), prop::bool::weighted(0.7), prop::bool::ANY), 1..40),
    ) {
        let mut ledger = settled(vec![]);
        let mut there = std::collections::BTreeMap::new();
        let mut now = Duration::from_secs(100);
        for ((kind, number, object), put, look) in steps {
            let name = format!("o{number}");
            if put {
                // What the object shows is what was written of it.
                let mut object = object;
                let place = Place { kind, name: name.as_str().into() };
                if let Some(entry) = ledger.namespaces.get_mut("team-a").and_then(|objects| objects.get_mut(&place)) {
                    object.shown = entry.object.shown.clone();
                }
                there.insert((kind, name.clone()), object.clone());
                ledger.observe(seen(&name, object), now);
            } else {
                there.remove(&(kind, name.clone()));
                ledger.observe(gone(kind, &name), now);
            }
            if look {
                now += PASS * 2;
                turn(&mut ledger, now);
            }
        }
        now += COUNTS * 2;
        turn(&mut ledger, now);
        let bare = |object: &Object| Object { shown: super::Shown::default(), ..object.clone() };
        let objects: Vec<_> = there.iter().map(|((_, name), object)| (name.as_str(), bare(object))).collect();
        let mut fresh = settled(objects);
        for (kind, name) in there.keys() {
            let place = Place { kind: *kind, name: name.as_str().into() };
            let shown = |ledger: &mut Ledger| {
                let entry = ledger.namespaces.get_mut("team-a").unwrap().get_mut(&place).unwrap();
                let shown = entry.object.shown.clone();
                // A key that had trouble once says that it has none; one that never had says nothing.
                let conditions = shown.conditions.iter().filter(|condition| condition.reason != "Resolved");
                let conditions: Vec<_> = conditions.map(|c| (c.type_.clone(), c.status.clone(), c.reason.clone(), c.message.clone())).collect();
                (shown.id, shown.counts, conditions)
            };
            prop_assert_eq!(shown(&mut ledger), shown(&mut fresh), "{:?} {}", kind, name);
        }
    }
}
