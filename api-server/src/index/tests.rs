use std::collections::HashMap as Oracle;

use super::*;

fn put(namespace: NamespaceId, hash: KeyHash, id: &str) -> Change {
    entry(namespace, "team-a", hash, id)
}

fn entry(namespace: NamespaceId, name: &str, hash: KeyHash, id: &str) -> Change {
    let mut record = KeyRecord::bare(id, name.into(), id, "api_1");
    record.hash = Some(hash);
    Change::PutKey(KeyEntry { namespace, hash, record: Arc::new(record) })
}

fn find(index: &Index, namespace: NamespaceId, hash: &KeyHash) -> Option<String> {
    index.key(namespace, hash, |entry| entry.record.id().to_owned())
}

#[test]
fn one_hash_in_two_namespaces_is_two_keys() {
    let (index, mut namespaces) = (Index::default(), Namespaces::default());
    let ((a, _), (b, _)) = (namespaces.number("team-a"), namespaces.number("team-b"));
    assert_eq!(namespaces.number("team-a").0, a);
    let hash = KeyHash::of("the same key");
    index.apply(vec![put(a, hash, "of-a"), put(b, hash, "of-b")]);
    assert_eq!(find(&index, a, &hash).as_deref(), Some("of-a"));
    assert_eq!(find(&index, b, &hash).as_deref(), Some("of-b"));
    index.apply(vec![Change::RemoveKey(a, hash)]);
    assert_eq!(find(&index, a, &hash), None);
    assert_eq!(find(&index, b, &hash).as_deref(), Some("of-b"));
}

#[test]
fn a_namespace_is_known_by_name_from_its_first_key_on() {
    let index = Index::default();
    let entry =
        |namespace: u32, name: &str, hash: &str| entry(NamespaceId(namespace), name, KeyHash::of(hash), "key_1");
    assert_eq!(index.namespace("team-a"), None);
    index.apply(vec![entry(0, "team-a", "1"), entry(1, "team-b", "2"), entry(0, "team-a", "3")]);
    index.apply(vec![entry(2, "team-c", "4"), Change::RemoveKey(NamespaceId(0), KeyHash::of("1"))]);
    let numbers = ["team-a", "team-b", "team-c", "team-d"].map(|name| index.namespace(name));
    assert_eq!(numbers, [Some(NamespaceId(0)), Some(NamespaceId(1)), Some(NamespaceId(2)), None]);
}

#[test]
fn changes_of_one_batch_keep_their_order() {
    let index = Index::default();
    let (namespace, hash) = (NamespaceId(0), KeyHash::of("k"));
    index.apply(vec![put(namespace, hash, "first"), Change::RemoveKey(namespace, hash), put(namespace, hash, "last")]);
    assert_eq!(find(&index, namespace, &hash).as_deref(), Some("last"));
    assert_eq!(index.key_count(), 1);
}

#[test]
fn a_reader_keeps_its_snapshot_while_the_writer_swaps() {
    let index = Index::default();
    let (namespace, hash) = (NamespaceId(0), KeyHash::of("k"));
    index.apply(vec![put(namespace, hash, "before")]);
    let seen = index.key(namespace, &hash, |entry| {
        index.apply(vec![put(namespace, hash, "after")]);
        entry.record.id().to_owned()
    });
    assert_eq!(seen.as_deref(), Some("before"));
    assert_eq!(find(&index, namespace, &hash).as_deref(), Some("after"));
}

proptest::proptest! {
    #[test]
    fn agrees_with_a_plain_map(steps in proptest::collection::vec((0..3_u32, 0..20_u8, proptest::option::of(0..9_u8)), 0..200), batch in 1..20_usize) {
        let (index, mut oracle) = (Index::default(), Oracle::new());
        let mut changes = Vec::new();
        for (namespace, key, value) in steps {
            let (namespace, hash) = (NamespaceId(namespace), KeyHash::of(&key.to_string()));
            changes.push(if let Some(value) = value {
                oracle.insert((namespace, hash), value.to_string());
                put(namespace, hash, &value.to_string())
            } else {
                oracle.remove(&(namespace, hash));
                Change::RemoveKey(namespace, hash)
            });
        }
        for chunk in changes.chunks(batch) {
            index.apply(chunk.to_vec());
        }
        proptest::prop_assert_eq!(index.key_count(), oracle.len());
        for ((namespace, hash), id) in oracle {
            proptest::prop_assert_eq!(find(&index, namespace, &hash), Some(id));
        }
    }
}
