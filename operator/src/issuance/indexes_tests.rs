use super::*;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use keyplane_api::Guarded;
use keyplane_api::{ApiKey, ApiKeySpec, HashKey, PrefixedHashKey, RootKey, RootKeySpec};
use kube::runtime::reflector::store;

fn source(plain: &str) -> KeySource {
    KeySource::Hash(HashKey { sha256: KeyHash::of(plain).to_hex() })
}

fn placed<K: KeyKind>(mut key: K, namespace: &str, second: i64) -> Watched<K> {
    let meta = key.meta_mut();
    meta.namespace = Some(namespace.to_owned());
    meta.uid = Some(format!("{namespace}/{}", meta.name.clone().unwrap()));
    meta.creation_timestamp = Some(Time(Timestamp::from_second(second).unwrap()));
    Guarded(Ok(key))
}

fn api_key(namespace: &str, name: &str, second: i64, keyspace: &str) -> Watched<ApiKey> {
    let spec = ApiKeySpec { key: source("same"), keyspace: keyspace.to_owned(), ..ApiKeySpec::default() };
    placed(ApiKey::new(name, spec), namespace, second)
}

fn root_key(namespace: &str, name: &str, second: i64) -> Watched<RootKey> {
    let spec = RootKeySpec { key: source("same"), ..RootKeySpec::default() };
    placed(RootKey::new(name, spec), namespace, second)
}

fn names<K: KeyKind>(references: &[Reference<K>]) -> Vec<String> {
    references.iter().map(|reference| reference.name.clone()).collect()
}

#[test]
fn a_change_gives_a_turn_to_the_object_and_to_those_whose_claim_it_decides() {
    let (indexes, _pokes) = Indexes::<ApiKey>::new(&[Scope::Cluster], Deadlines::default());
    let (store, _writer) = store();
    let observe = |event| names(&indexes.observe(event, &Scope::Cluster, &store));
    assert_eq!(observe(Event::Apply(api_key("n", "young", 9, "default"))), ["young"]);
    assert_eq!(observe(Event::Apply(api_key("m", "elsewhere", 1, "default"))), ["elsewhere"]);
    assert_eq!(observe(Event::Apply(api_key("n", "old", 1, "default"))), ["old", "young"]);
    assert_eq!(observe(Event::Delete(api_key("n", "old", 1, "default"))), ["young"]);
}

#[test]
fn a_keyspace_knows_its_keys_until_they_go() {
    let (indexes, _pokes) = Indexes::<ApiKey>::new(&[Scope::Cluster], Deadlines::default());
    let (store, _writer) = store();
    let observe = |event| indexes.observe(event, &Scope::Cluster, &store);
    observe(Event::Apply(api_key("n", "a", 1, "pay")));
    observe(Event::Apply(api_key("n", "b", 2, "pay")));
    observe(Event::Apply(api_key("m", "c", 3, "pay")));
    let mut members = names(&indexes.members("n", "pay"));
    members.sort();
    assert_eq!(members, ["a", "b"]);
    observe(Event::Delete(api_key("n", "a", 1, "pay")));
    assert_eq!(names(&indexes.members("n", "pay")), ["b"]);
    // A new list without them: they were deleted unseen.
    observe(Event::InitDone);
    assert_eq!(names(&indexes.members("n", "pay")), Vec::<String>::new());
    assert!(indexes.members.lock().unwrap().is_empty());
}

#[test]
fn scopes_tell_each_other_and_never_prune_each_other() {
    let (one, two) = (Scope::Namespace("one".to_owned()), Scope::Namespace("two".to_owned()));
    let (indexes, mut pokes) = Indexes::<RootKey>::new(&[one.clone(), two.clone()], Deadlines::default());
    let (mine, mut writer) = store();
    let (empty, _other) = store();
    let young = root_key("one", "young", 9);
    writer.apply_watcher_event(&Event::Apply(young.clone()));
    indexes.observe(Event::Apply(young.clone()), &one, &mine);
    assert_eq!(names(&indexes.observe(Event::Apply(root_key("two", "old", 1)), &two, &empty)), ["old"]);
    assert_eq!(pokes[0].try_recv().map(|poked| poked.name), Ok("young".to_owned()), "told through its own scope");

    let young = young.0.unwrap();
    let older = || indexes.older(&young, KeyHash::of("same")).map(|who| who.name);
    indexes.observe(Event::InitDone, &one, &mine);
    assert_eq!(older(), Some("old".to_owned()), "the list of one scope says nothing of another");
    indexes.observe(Event::InitDone, &two, &empty);
    assert_eq!(older(), None, "its own list does");
    assert_eq!(pokes[0].try_recv().map(|poked| poked.name), Ok("young".to_owned()));
}

#[test]
fn one_long_token_of_one_migration_is_one_key() {
    let (indexes, _pokes) = Indexes::<ApiKey>::new(&[Scope::Cluster], Deadlines::default());
    let (store, _writer) = store();
    let imported = |name: &str, second: i64, migration: &str| {
        let prefixed = PrefixedHashKey { sha256: KeyHash::of("long").to_hex(), migration_id: migration.to_owned() };
        let spec = ApiKeySpec { key: KeySource::PrefixedHash(prefixed), ..ApiKeySpec::default() };
        placed(ApiKey::new(name, spec), "n", second)
    };
    let (young, other) = (imported("young", 9, "seam"), imported("other", 9, "another"));
    for object in [young.clone(), imported("old", 1, "seam"), other.clone()] {
        indexes.observe(Event::Apply(object), &Scope::Cluster, &store);
    }
    let older = |object: Watched<ApiKey>| {
        let key = object.0.unwrap();
        indexes.older(&key, claimed_hash(&key).unwrap()).map(|who| who.name)
    };
    assert_eq!(older(young), Some("old".to_owned()));
    assert_eq!(older(other), None);
}
