//! Each reason by the YAML that leads to it.

use std::sync::Arc;
use std::time::Duration;

use keyplane_api::condition::{ConditionStatus, READY, REFERENCES_RESOLVED};
use keyplane_api::{ApiKey, Identity, KeyPermission, KeyRole, Keyspace, RateLimit, RateLimitOverride};
use serde_json::{Value, json};

use super::super::namespace::Namespace;
use super::super::object::{Kept, Kind, Object, Place, kept};
use super::super::status::Verdict;
use super::verdict;

/// An object as the API server sends it, `created` seconds after the epoch.
pub(in crate::references) fn object(kind: Kind, name: &str, created: u32, spec: Value) -> Object {
    labelled(kind, name, created, json!({}), spec)
}

pub(in crate::references) fn labelled(kind: Kind, name: &str, created: u32, labels: Value, spec: Value) -> Object {
    let value = json!({
        "metadata": {
            "name": name, "namespace": "team-a", "uid": format!("uid-{name}-{created}"), "generation": 3, "labels": labels,
            "creationTimestamp": format!("2026-01-01T00:{:02}:{:02}Z", created / 60, created % 60),
        },
        "spec": spec,
    });
    match kind {
        Kind::ApiKey => read::<ApiKey>(value),
        Kind::RateLimit => read::<RateLimit>(value),
        Kind::RateLimitOverride => read::<RateLimitOverride>(value),
        Kind::Keyspace => read::<Keyspace>(value),
        Kind::Identity => read::<Identity>(value),
        Kind::KeyRole => read::<KeyRole>(value),
        Kind::KeyPermission => read::<KeyPermission>(value),
    }
}

fn read<K: Kept>(value: Value) -> Object {
    kept(&serde_json::from_value::<K>(value).unwrap())
}

struct World(Namespace);

impl World {
    fn new(objects: &[(Kind, &str, u32, Value)]) -> Self {
        let mut world = Self(Namespace::default());
        for (kind, name, created, spec) in objects {
            world.put(*kind, name, *created, spec.clone());
        }
        world
    }

    fn put(&mut self, kind: Kind, name: &str, created: u32, spec: Value) {
        self.0.put(&Arc::from(name), object(kind, name, created, spec));
        self.0.take_dirty(Duration::ZERO);
    }

    fn remove(&mut self, kind: Kind, name: &str) {
        self.0.remove(&Place { kind, name: name.into() });
        self.0.take_dirty(Duration::ZERO);
    }

    fn verdict(&self, kind: Kind, name: &str) -> Verdict {
        verdict("team-a", &self.0, &Place { kind, name: name.into() }).unwrap()
    }

    /// Whether the condition is the case, its reason and its message; `-` if there is none.
    fn said(&self, kind: Kind, name: &str, type_: &str) -> (bool, &'static str, String) {
        let found = self.verdict(kind, name).conditions.into_iter().find(|condition| condition.type_ == type_);
        found.map_or((true, "-", String::new()), |condition| {
            assert_eq!(condition.observed_generation, Some(3));
            (condition.status == ConditionStatus::True, condition.reason, condition.message)
        })
    }

    fn ready(&self, kind: Kind, name: &str, holds: bool, reason: &str, words: &[&str]) {
        let (is, why, message) = self.said(kind, name, READY);
        assert_eq!((is, why), (holds, reason), "{name}: {message}");
        for word in words {
            assert!(message.contains(word), "{name}: {word} is missing in: {message}");
        }
    }
}

fn limit(more: Value) -> Value {
    let mut spec = json!({"limit": 10, "window": "60s"});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

fn exception(limit: &str, identifier: &str) -> Value {
    json!({"rateLimit": limit, "identifier": identifier, "limit": 0, "window": "1s"})
}

#[test]
fn of_two_objects_with_one_name_the_older_is_used_and_both_name_the_other() {
    for (kind, spec, what) in [
        (Kind::RateLimit, limit(json!({"name": "requests"})), "name `requests`"),
        (Kind::Identity, json!({"externalId": "acme"}), "externalId `acme`"),
        (Kind::KeyRole, json!({"name": "editor"}), "name `editor`"),
        (Kind::KeyPermission, json!({"slug": "invoices.read"}), "slug `invoices.read`"),
    ] {
        let mut world = World::new(&[(kind, "young", 2, spec.clone()), (kind, "old", 1, spec)]);
        world.ready(kind, "old", true, "NameShared", &["`young`", what]);
        world.ready(kind, "young", false, "DuplicateName", &["`old`", what]);
        world.remove(kind, "old");
        world.ready(kind, "young", true, "InUse", &[what]);
    }
}

#[test]
fn a_key_names_what_is_missing_and_has_no_condition_while_nothing_is() {
    let mut world = World::new(&[(Kind::ApiKey, "a", 1, json!({"keyspace": "pay", "roles": ["editor", "reader"]}))]);
    let said = |world: &World| world.said(Kind::ApiKey, "a", REFERENCES_RESOLVED);
    let (holds, reason, message) = said(&world);
    assert_eq!((holds, reason), (false, "KeyspaceNotFound"));
    assert!(["`pay`", "`editor`", "`reader`"].iter().all(|name| message.contains(name)), "{message}");
    world.put(Kind::Keyspace, "pay", 2, json!({}));
    world.put(Kind::KeyRole, "e", 2, json!({"name": "editor"}));
    let (holds, reason, message) = said(&world);
    assert_eq!((holds, reason), (false, "RoleNotFound"));
    assert!(message.contains("`reader`") && !message.contains("`editor`"), "{message}");
    world.put(Kind::KeyRole, "reader", 2, json!({}));
    assert_eq!(said(&world).1, "-", "nothing to say");
    let bare = World::new(&[(Kind::ApiKey, "a", 1, json!({"externalId": "nobody", "permissions": ["no.object"]}))]);
    assert_eq!(bare.verdict(Kind::ApiKey, "a").conditions, [], "neither needs an object, nor does `default`");
}

#[test]
fn a_key_that_once_named_something_missing_says_when_it_no_longer_does() {
    let mut key = object(Kind::ApiKey, "a", 1, json!({}));
    let shown = json!({"type": "ReferencesResolved", "status": "False", "reason": "RoleNotFound", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    key.shown.conditions.push(serde_json::from_value(shown).unwrap());
    let mut world = World::new(&[]);
    world.0.put(&"a".into(), key);
    assert_eq!(world.said(Kind::ApiKey, "a", REFERENCES_RESOLVED).1, "Resolved");
}

#[test]
fn a_limit_counts_its_keys_and_shows_the_first_few() {
    let mut world = World::new(&[
        (
            Kind::RateLimit,
            "gold",
            1,
            limit(json!({"appliesTo": {"keyspaces": ["pay"], "keySelector": {"matchLabels": {"plan": "gold"}}}})),
        ),
        (Kind::RateLimit, "named", 1, limit(json!({}))),
    ]);
    for number in (0..9).rev() {
        let name = format!("key-{number}");
        let key = labelled(Kind::ApiKey, &name, 1, json!({"plan": "gold"}), json!({"keyspace": "pay"}));
        world.0.put(&name.into(), key);
    }
    for (name, labels, spec) in [
        ("blue", json!({"plan": "blue"}), json!({"keyspace": "pay"})),
        ("elsewhere", json!({"plan": "gold"}), json!({})),
    ] {
        world.0.put(&name.into(), labelled(Kind::ApiKey, name, 1, labels, spec));
    }
    world.0.take_dirty(Duration::ZERO);
    let counts = world.verdict(Kind::RateLimit, "gold").counts;
    assert_eq!((counts.keys, counts.overrides), (Some(9), Some(0)));
    assert_eq!(counts.sample, ["key-0", "key-1", "key-2", "key-3", "key-4"]);
    world.remove(Kind::ApiKey, "key-2");
    world.put(Kind::ApiKey, "key-0", 1, json!({"keyspace": "pay"}));
    let counts = world.verdict(Kind::RateLimit, "gold").counts;
    assert_eq!((counts.keys, counts.sample.join(" ")), (Some(7), "key-1 key-3 key-4 key-5 key-6".to_owned()));
    assert_eq!(world.verdict(Kind::RateLimit, "named").counts.keys, Some(0), "only for who names it");
    let (_, reason, message) = world.said(Kind::RateLimit, "gold", REFERENCES_RESOLVED);
    assert!(reason == "KeyspaceNotFound" && message.contains("`pay`"), "{reason}: {message}");
    world.ready(Kind::RateLimit, "gold", true, "InUse", &[]);
}

#[test]
fn a_limit_that_is_not_used_takes_no_keys() {
    let spec = limit(json!({"name": "requests", "appliesTo": {"keySelector": {}}}));
    let world = World::new(&[
        (Kind::ApiKey, "a", 1, json!({})),
        (Kind::RateLimit, "old", 1, spec.clone()),
        (Kind::RateLimit, "young", 2, spec),
    ]);
    let keys = |name| world.verdict(Kind::RateLimit, name).counts.keys;
    assert_eq!((keys("old"), keys("young")), (Some(1), Some(0)));
    let id = |name| world.verdict(Kind::RateLimit, name).id;
    assert_eq!(
        (id("old"), id("young")),
        (Some(keyplane_api::limit_record::rate_limit_id("team-a", "requests")), id("old"))
    );
}

#[test]
fn a_limit_that_no_rule_can_be_made_of_says_so() {
    let world = World::new(&[(Kind::RateLimit, "a", 1, json!({"limit": 1, "window": "1ms"}))]);
    world.ready(Kind::RateLimit, "a", false, "InvalidSpec", &["1000 ms"]);
    let overrides = limit(json!({"overrides": [{"identifier": "jane", "limit": -1, "window": "1s"}]}));
    let world = World::new(&[(Kind::RateLimit, "a", 1, overrides)]);
    world.ready(Kind::RateLimit, "a", false, "OverridesNotInUse", &["`jane`"]);
}

#[test]
fn each_way_in_which_an_override_is_not_used_is_named() {
    let inside = json!({"overrides": [
        {"identifier": "jane", "limit": 1, "window": "1s"}, {"identifier": "*x*", "limit": 1, "window": "1s"}]});
    let mut world = World::new(&[
        (Kind::RateLimitOverride, "orphan", 1, exception("gone", "a")),
        (Kind::RateLimitOverride, "inside", 1, exception("requests", "jane")),
        (Kind::RateLimitOverride, "joe-1", 1, exception("requests", "joe")),
        (Kind::RateLimitOverride, "joe-2", 2, exception("requests", "joe")),
        (Kind::RateLimitOverride, "narrow", 1, exception("requests", "acme*")),
        (Kind::RateLimitOverride, "wide", 2, exception("requests", "*acme*")),
        (Kind::RateLimitOverride, "behind", 2, exception("requests", "x*")),
        (
            Kind::RateLimitOverride,
            "bad",
            2,
            json!({"rateLimit": "requests", "identifier": "b", "limit": -1, "window": "1s"}),
        ),
        (Kind::RateLimit, "requests", 3, limit(inside)),
    ]);
    let of = Kind::RateLimitOverride;
    world.ready(of, "orphan", false, "RateLimitNotFound", &["`gone`"]);
    world.ready(of, "inside", false, "DuplicateIdentifier", &["`jane`", "spec"]);
    world.ready(of, "joe-1", true, "InUse", &["`joe`"]);
    world.ready(of, "joe-2", false, "DuplicateIdentifier", &["`joe-1`"]);
    world.ready(of, "narrow", false, "Shadowed", &["`*acme*`", "`wide`"]);
    world.ready(of, "wide", true, "InUse", &[]);
    world.ready(of, "behind", false, "Shadowed", &["`*x*`", "spec"]);
    world.ready(of, "bad", false, "InvalidSpec", &["-1"]);
    let named = ["`inside`", "`joe-2`", "`narrow`", "`behind`", "`bad`"];
    world.ready(Kind::RateLimit, "requests", true, "InUse", &named);
    assert_eq!(world.verdict(Kind::RateLimit, "requests").counts.overrides, Some(9), "used or not");

    // As the messages say.
    world.put(Kind::RateLimit, "requests", 3, limit(json!({})));
    world.put(Kind::RateLimit, "gone", 3, limit(json!({})));
    world.remove(of, "joe-1");
    world.remove(of, "wide");
    for name in ["orphan", "inside", "joe-2", "narrow", "behind"] {
        world.ready(of, name, true, "InUse", &[]);
    }
    let (_, _, message) = world.said(Kind::RateLimit, "requests", READY);
    assert!(message.ends_with("not used: `bad`"), "{message}");
}

#[test]
fn an_override_in_a_limit_can_stand_behind_an_object() {
    let inside = json!({"overrides": [{"identifier": "acme*", "limit": 1, "window": "1s"}]});
    let mut world = World::new(&[
        (Kind::RateLimit, "requests", 1, limit(inside)),
        (Kind::RateLimitOverride, "wide", 2, exception("requests", "*acme*")),
    ]);
    world.ready(Kind::RateLimit, "requests", false, "OverridesNotInUse", &["`acme*`", "`wide`"]);
    world.remove(Kind::RateLimitOverride, "wide");
    world.ready(Kind::RateLimit, "requests", true, "InUse", &[]);
}

#[test]
fn keyspaces_and_identities_count_who_names_them() {
    let world = World::new(&[
        (Kind::ApiKey, "a", 1, json!({"keyspace": "pay", "externalId": "acme"})),
        (Kind::ApiKey, "b", 1, json!({"keyspace": "pay"})),
        (Kind::Keyspace, "pay", 1, json!({})),
        (Kind::Keyspace, "default", 1, json!({})),
        (Kind::Identity, "first", 1, json!({"externalId": "acme"})),
        (Kind::Identity, "second", 2, json!({"externalId": "acme"})),
    ]);
    let keys = |kind, name| world.verdict(kind, name).counts.keys;
    assert_eq!((keys(Kind::Keyspace, "pay"), keys(Kind::Keyspace, "default")), (Some(2), Some(0)));
    assert_eq!((keys(Kind::Identity, "first"), keys(Kind::Identity, "second")), (Some(1), Some(0)));
    let id = world.verdict(Kind::Keyspace, "pay").id;
    assert_eq!(id, Some(keyplane_api::record::keyspace_id("team-a", "pay")));
    world.ready(Kind::Keyspace, "pay", true, "InUse", &[]);
}

#[test]
fn a_long_list_is_cut() {
    let roles: Vec<String> = (0..9).map(|number| format!("role-{number}")).collect();
    let world = World::new(&[(Kind::ApiKey, "a", 1, json!({"roles": roles}))]);
    let (_, _, message) = world.said(Kind::ApiKey, "a", REFERENCES_RESOLVED);
    assert!(message.contains("`role-4` and 4 more") && !message.contains("role-5"), "{message}");
}

#[test]
fn ids_of_roles_come_from_the_uid_unless_the_api_made_them() {
    let mut world = World::new(&[(Kind::KeyRole, "role-0123456789abcdef", 1, json!({}))]);
    let id = |world: &World| world.verdict(Kind::KeyRole, "role-0123456789abcdef").id.unwrap();
    assert_ne!(id(&world), "role_0123456789abcdef", "a person's object doesn't choose its id");
    let labels = json!({"app.kubernetes.io/managed-by": "keyplane-api"});
    let made = labelled(Kind::KeyRole, "role-0123456789abcdef", 2, labels, json!({}));
    world.0.put(&"role-0123456789abcdef".into(), made);
    assert_eq!(id(&world), "role_0123456789abcdef");
}
