use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::index::Index;

fn object(kind: &str, name: &str, created: u32, body: Value) -> Object {
    let mut value = json!({
        "apiVersion": "keyplane.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "n", "uid": format!("uid-{name}-{created}"),
            "creationTimestamp": format!("2026-01-01T00:00:{created:02}Z")},
    });
    value.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    Object::from_value(Kind::parse(kind).unwrap(), value).unwrap()
}

fn api_key(name: &str, created: u32, plain: &str, rest: Value) -> Object {
    let mut spec = json!({"key": {"hash": {"sha256": KeyHash::of(plain).to_hex()}}});
    spec.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    object("ApiKey", name, created, json!({ "spec": spec }))
}

fn role(name: &str, created: u32, role: &str, permissions: &[&str]) -> Object {
    object("KeyRole", name, created, json!({"spec": {"name": role, "permissions": permissions}}))
}

/// A fold with one source, and the index that it writes.
struct World {
    fold: Fold,
    index: Index,
}

impl World {
    fn new() -> Self {
        let mut world = Self { fold: Fold::new(1), index: Index::default() };
        world.events([Event::Restarted, Event::Listed]);
        world
    }

    fn events(&mut self, events: impl IntoIterator<Item = Event>) {
        let mut changes = Vec::new();
        for event in events {
            self.fold.apply(0, event, &mut changes);
        }
        self.index.apply(changes);
    }

    fn put(&mut self, object: Object) {
        self.events([Event::Applied(object)]);
    }

    fn delete(&mut self, object: &Object) {
        self.events([Event::Deleted(object.key())]);
    }

    /// The object that a plain key finds, and its permissions.
    fn find(&mut self, plain: &str) -> Option<(String, Vec<String>)> {
        let (namespace, _) = self.fold.namespaces.number("n");
        self.index.key(namespace, &KeyHash::of(plain), |found| {
            let permissions = found.record.permissions().iter().map(ToString::to_string).collect();
            (found.record.object_name().to_owned(), permissions)
        })
    }

    fn owner(&mut self, plain: &str) -> Option<String> {
        self.find(plain).map(|found| found.0)
    }
}

#[test]
fn of_two_keys_with_one_hash_the_older_is_served_and_the_younger_inherits() {
    for younger_first in [false, true] {
        let (old, young) = (api_key("z-old", 1, "k", json!({})), api_key("a-young", 2, "k", json!({})));
        let mut world = World::new();
        let order = if younger_first { [young.clone(), old.clone()] } else { [old.clone(), young] };
        for object in order {
            world.put(object);
        }
        assert_eq!(world.owner("k").as_deref(), Some("z-old"));
        world.delete(&old);
        assert_eq!(world.owner("k").as_deref(), Some("a-young"));
    }
}

#[test]
fn an_object_made_again_under_its_name_is_younger() {
    let mut world = World::new();
    world.put(api_key("a", 1, "k", json!({})));
    world.put(api_key("b", 2, "k", json!({})));
    world.put(api_key("a", 3, "k", json!({})));
    assert_eq!(world.owner("k").as_deref(), Some("b"));
}

#[test]
fn a_key_that_changes_its_hash_leaves_the_former() {
    let mut world = World::new();
    world.put(api_key("a", 1, "before", json!({})));
    world.put(api_key("a", 1, "after", json!({})));
    assert_eq!(world.owner("before"), None);
    assert_eq!(world.owner("after").as_deref(), Some("a"));
    assert_eq!(world.index.key_count(), 1);
}

#[test]
fn both_hashes_of_an_overlap_are_served_and_the_former_has_an_end() {
    let mut world = World::new();
    let status = json!({
        "current": {"sha256": KeyHash::of("new").to_hex(), "issuedAt": "2026-01-01T00:00:00Z"},
        "previous": {"sha256": KeyHash::of("old").to_hex(), "validUntil": "1970-01-01T00:00:07Z"},
    });
    world.put(object("ApiKey", "a", 1, json!({"spec": {}, "status": status})));
    let (namespace, _) = world.fold.namespaces.number("n");
    let end = |plain: &str| world.index.key(namespace, &KeyHash::of(plain), |e| e.valid_until.map(|t| t.0));
    assert_eq!((end("new"), end("old")), (Some(None), Some(Some(7000))));
}

#[test]
fn a_role_changes_its_keys_whenever_it_comes() {
    let mut world = World::new();
    let viewer = role("viewer", 1, "viewer", &["read"]);
    world.put(api_key("a", 1, "k", json!({"permissions": ["own"], "roles": ["viewer", "unknown"]})));
    assert_eq!(world.find("k").unwrap().1, ["own"]);
    world.put(viewer.clone());
    assert_eq!(world.find("k").unwrap().1, ["own", "read"]);
    world.put(role("viewer", 1, "viewer", &["own", "list"]));
    assert_eq!(world.find("k").unwrap().1, ["own", "list"]);
    world.delete(&viewer);
    assert_eq!(world.find("k").unwrap().1, ["own"]);
}

/// The limits of a key in the order in which they shadow each other: name and count.
fn limits(world: &mut World, plain: &str) -> Vec<(String, u64)> {
    let (namespace, _) = world.fold.namespaces.number("n");
    let found = world.index.key(namespace, &KeyHash::of(plain), |entry| {
        let limits = entry.record.limits();
        limits.unshadowed().map(|limit| (limit.name.to_string(), limit.rule.limit.count())).collect()
    });
    found.unwrap()
}

fn rate_limit(name: &str, created: u32, spec: Value) -> Object {
    let mut whole = json!({"limit": 10, "window": "60s", "autoApply": true});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    object("RateLimit", name, created, json!({ "spec": whole }))
}

fn labelled(mut key: Object, plan: &str) -> Object {
    key.metadata_mut().labels = Some([("plan".to_owned(), plan.to_owned())].into());
    key
}

#[test]
fn a_rate_limit_takes_its_keys_whenever_it_comes() {
    let mut world = World::new();
    world.put(labelled(api_key("gold", 1, "gold", json!({})), "gold"));
    world.put(labelled(api_key("free", 1, "free", json!({})), "free"));
    world.put(api_key("elsewhere", 1, "elsewhere", json!({"keyspace": "other"})));
    let for_gold = rate_limit(
        "requests",
        1,
        json!({"appliesTo": {"keyspaces": ["default"], "keySelector": {"matchLabels": {"plan": "gold"}}}}),
    );
    world.put(for_gold.clone());
    let requests = [("requests".to_owned(), 10)];
    assert_eq!(limits(&mut world, "gold"), requests);
    assert_eq!((limits(&mut world, "free"), limits(&mut world, "elsewhere")), (vec![], vec![]));
    world.put(labelled(api_key("free", 1, "free", json!({})), "gold"));
    assert_eq!(limits(&mut world, "free"), requests, "a label is enough");
    world.delete(&for_gold);
    assert_eq!(limits(&mut world, "gold"), []);
}

#[test]
fn of_two_rate_limits_with_one_name_the_older_stands_and_nearer_ones_shadow_both() {
    let everyone = || json!({"appliesTo": {"keySelector": {}}, "name": "requests"});
    let with_limit = |limit: u32| {
        let mut spec = everyone();
        spec["limit"] = limit.into();
        spec
    };
    let mut world = World::new();
    world.put(rate_limit("younger", 2, with_limit(2)));
    world.put(rate_limit("older", 1, with_limit(1)));
    world.put(api_key("bare", 1, "bare", json!({})));
    world.put(api_key("acme", 1, "acme", json!({"externalId": "acme"})));
    let own = json!([{"name": "requests", "limit": 4, "window": "60s"}]);
    world.put(api_key("own", 1, "own", json!({"externalId": "acme", "rateLimits": own})));
    let identity = json!({"externalId": "acme", "rateLimits": [{"name": "requests", "limit": 3, "window": "60s"}]});
    world.put(object("Identity", "acme", 1, json!({ "spec": identity })));
    for (plain, expected) in [("bare", 1), ("acme", 3), ("own", 4)] {
        assert_eq!(limits(&mut world, plain), [("requests".to_owned(), expected)], "{plain}");
    }
}

#[test]
fn an_override_counts_for_its_key_and_can_be_named() {
    let mut world = World::new();
    world.put(api_key("acme", 1, "k", json!({"externalId": "acme.eu"})));
    world.put(rate_limit("requests", 1, json!({"appliesTo": {"keySelector": {}}, "overrides": [{"identifier": "acme.*", "limit": 20, "window": "60s"}]})));
    assert_eq!(limits(&mut world, "k"), [("requests".to_owned(), 20)]);
    let exact = object(
        "RateLimitOverride",
        "o",
        1,
        json!({"spec": {"rateLimit": "requests", "identifier": "acme.eu", "limit": 30, "window": "60s"}}),
    );
    world.put(exact.clone());
    assert_eq!(limits(&mut world, "k"), [("requests".to_owned(), 30)], "exact before pattern");
    let (namespace, _) = world.fold.namespaces.number("n");
    let named = world.index.limits(namespace).unwrap();
    let limit = named.get("requests").unwrap();
    assert_eq!(limit.overrides.lookup("acme.eu").unwrap().1.limit.count(), 30);
    assert!(named.get(&limit.id).is_some(), "by its id, too");
    world.delete(&exact);
    assert_eq!(limits(&mut world, "k"), [("requests".to_owned(), 20)]);
}

#[test]
fn an_unreadable_object_is_not_served() {
    let mut world = World::new();
    let key = api_key("a", 1, "k", json!({}));
    world.put(key.clone());
    world.events([Event::Unreadable(key.key(), "what is this".to_owned())]);
    assert_eq!(world.owner("k"), None);
}

#[test]
fn what_a_new_listing_does_not_name_is_gone() {
    let mut world = World::new();
    world.put(api_key("a", 1, "a", json!({})));
    world.put(api_key("b", 1, "b", json!({})));
    world.events([Event::Restarted, Event::Applied(api_key("b", 1, "b", json!({})))]);
    assert_eq!(world.owner("a").as_deref(), Some("a"), "a listing under way takes nothing away");
    world.events([Event::Listed]);
    assert_eq!((world.owner("a"), world.owner("b").as_deref()), (None, Some("b")));
}

#[test]
fn a_listing_that_repeats_what_is_known_changes_nothing() {
    let mut world = World::new();
    world.put(role("viewer", 1, "viewer", &["read"]));
    let own = json!([{"name": "requests", "limit": 4, "window": "60s"}]);
    let key =
        labelled(api_key("a", 1, "k", json!({"externalId": "acme", "roles": ["viewer"], "rateLimits": own})), "gold");
    world.put(key.clone());
    world.put(rate_limit("gold", 1, json!({"appliesTo": {"keySelector": {"matchLabels": {"plan": "gold"}}}})));
    let mut changes = Vec::new();
    for event in [Event::Restarted, Event::Applied(key.clone())] {
        world.fold.apply(0, event, &mut changes);
    }
    assert!(changes.is_empty(), "{changes:?}");
    world.fold.apply(0, Event::Applied(labelled(key, "free")), &mut changes);
    assert_eq!(changes.len(), 1, "another label is another limit");
}

#[test]
fn keys_with_the_same_permissions_share_them() {
    let mut world = World::new();
    world.put(role("viewer", 1, "viewer", &["read"]));
    for name in ["a", "b"] {
        let own = json!([{"name": "requests", "limit": 4, "window": "60s"}]);
        let rest = json!({"externalId": "acme", "permissions": ["own"], "roles": ["viewer"], "rateLimits": own});
        world.put(api_key(name, 1, name, rest));
    }
    let (namespace, _) = world.fold.namespaces.number("n");
    let record = |plain: &str| world.index.key(namespace, &KeyHash::of(plain), |found| found.record.clone()).unwrap();
    let (a, b) = (record("a"), record("b"));
    assert!(Arc::ptr_eq(&a.place, &b.place) && Arc::ptr_eq(&a.permission_set, &b.permission_set));
    assert!(Arc::ptr_eq(a.identity.as_ref().unwrap(), b.identity.as_ref().unwrap()));
    assert!(Arc::ptr_eq(&a.own_limits()[0].terms, &b.own_limits()[0].terms));
}

#[test]
fn nothing_is_served_before_every_source_is_listed() {
    let (mut fold, mut changes) = (Fold::new(2), Vec::new());
    for event in [Event::Restarted, Event::Applied(api_key("a", 1, "k", json!({}))), Event::Listed] {
        fold.apply(0, event, &mut changes);
    }
    assert!(changes.is_empty() && !fold.is_complete());
    fold.apply(1, Event::Restarted, &mut changes);
    fold.apply(1, Event::Listed, &mut changes);
    assert!(changes.len() == 1 && fold.is_complete());
}

#[test]
fn a_root_key_is_unique_in_all_namespaces() {
    let root = |namespace: &str, created| {
        let spec = json!({"key": {"hash": {"sha256": KeyHash::of("r").to_hex()}}});
        let mut object = object("RootKey", "r", created, json!({ "spec": spec }));
        object.metadata_mut().namespace = Some(namespace.to_owned());
        object
    };
    let mut world = World::new();
    world.put(root("young", 2));
    world.put(root("old", 1));
    assert_eq!(&*world.index.caller(&KeyHash::of("r")).unwrap().record.namespace, "old");
    world.delete(&root("old", 1));
    assert_eq!(&*world.index.caller(&KeyHash::of("r")).unwrap().record.namespace, "young");
}

#[derive(Clone, Debug)]
enum Step {
    Key { name: u8, created: u8, plain: u8, roles: Vec<u8> },
    Role { name: u8, created: u8, role: u8, permission: u8 },
    DeleteKey(u8),
    DeleteRole(u8),
    Relist,
}

fn step() -> impl Strategy<Value = Step> {
    let small = || 0..4_u8;
    prop_oneof![
        4 => (small(), small(), small(), proptest::collection::vec(0..3_u8, 0..3))
            .prop_map(|(name, created, plain, roles)| Step::Key { name, created, plain, roles }),
        2 => (small(), small(), 0..3_u8, 0..5_u8).prop_map(|(name, created, role, permission)| Step::Role { name, created, role, permission }),
        1 => small().prop_map(Step::DeleteKey),
        1 => small().prop_map(Step::DeleteRole),
        1 => Just(Step::Relist),
    ]
}

proptest! {
    /// The oracle looks at the objects that are left, in one go, and knows nothing of the order in which they came.
    #[test]
    fn the_index_depends_on_the_objects_only(steps in proptest::collection::vec(step(), 0..40)) {
        let mut world = World::new();
        let mut objects: BTreeMap<ObjectKey, Object> = BTreeMap::new();
        for step in steps {
            let object = match step {
                Step::Key { name, created, plain, roles } => {
                    let roles: Vec<String> = roles.iter().map(|r| format!("r{r}")).collect();
                    Some(api_key(&format!("k{name}"), created.into(), &plain.to_string(), json!({"permissions": ["own"], "roles": roles})))
                }
                Step::Role { name, created, role: r, permission } => {
                    Some(role(&format!("o{name}"), created.into(), &format!("r{r}"), &[&format!("p{permission}")]))
                }
                Step::DeleteKey(name) => {
                    let key = ObjectKey { kind: Kind::ApiKey, namespace: "n".into(), name: format!("k{name}") };
                    objects.remove(&key);
                    world.events([Event::Deleted(key)]);
                    None
                }
                Step::DeleteRole(name) => {
                    let key = ObjectKey { kind: Kind::KeyRole, namespace: "n".into(), name: format!("o{name}") };
                    objects.remove(&key);
                    world.events([Event::Deleted(key)]);
                    None
                }
                Step::Relist => {
                    let listing = objects.values().cloned().map(Event::Applied);
                    world.events(std::iter::once(Event::Restarted).chain(listing).chain([Event::Listed]));
                    None
                }
            };
            if let Some(object) = object {
                objects.insert(object.key(), object.clone());
                world.put(object);
            }
        }

        let age = |object: &Object| (record::seniority(object.metadata()), object.key());
        for plain in 0..4_u8 {
            let plain = plain.to_string();
            let hash = KeyHash::of(&plain).to_hex();
            let claims = |object: &Object| matches!(object, Object::ApiKey(key) if serde_json::to_value(&key.spec.key).unwrap()["hash"]["sha256"] == hash);
            let owner = objects.values().filter(|o| claims(o)).min_by_key(|o| age(o));
            let expected = owner.map(|owner| {
                let Object::ApiKey(key) = owner else { unreachable!() };
                let mut permissions = vec!["own".to_owned()];
                for wanted in &key.spec.roles {
                    let named = |object: &&Object| matches!(object, Object::KeyRole(role) if record::role(role).0 == wanted);
                    if let Some(Object::KeyRole(role)) = objects.values().filter(named).min_by_key(|o| age(o)) {
                        permissions.extend(role.spec.permissions.iter().filter(|p| !permissions.contains(p)).cloned().collect::<Vec<_>>());
                    }
                }
                (owner.key().name, permissions)
            });
            prop_assert_eq!(world.find(&plain), expected);
        }
        let held = objects.keys().filter(|key| key.kind == Kind::ApiKey).count();
        prop_assert_eq!(world.fold.keys(), held);
    }
}
