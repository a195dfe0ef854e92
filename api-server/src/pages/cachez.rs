//! `/cachez`: what the index holds. Equal digests on two pods prove equal content.

use serde::Serialize;
use zpages::{Lines, Page, PageKind};

use super::{GROUP, VERSIONS, or_dash};
use crate::feed::Progress;
use crate::index::{self, Count, Index, Inventory};

/// The page.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cachez {
    /// Every watch was listed once.
    complete: bool,
    /// The newest `resourceVersion` among the objects that came.
    revision: Option<String>,
    /// Of everything below: keys, root keys and named limits.
    digest: String,
    keys: u64,
    bytes: u64,
    root_keys: u64,
    named_limits: u64,
    shards: Shards,
    namespaces: Vec<Namespace>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shards {
    count: usize,
    /// Without a key.
    empty: usize,
    /// Keys in the fullest one.
    largest: usize,
    /// Keys a shard, on average.
    load: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Namespace {
    name: String,
    digest: String,
    keys: u64,
    bytes: u64,
    keyspaces: Vec<Keyspace>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Keyspace {
    id: String,
    name: String,
    digest: String,
    keys: u64,
    bytes: u64,
}

impl Cachez {
    pub(super) fn read(index: &Index, progress: &Progress) -> Self {
        Self::of(&index.inventory(), progress.read().0, progress.revision())
    }

    pub(super) fn of(inventory: &Inventory, complete: bool, revision: Option<u64>) -> Self {
        let mut total = Count::default();
        let namespaces = inventory.namespaces.iter().map(|index::Namespace { name, keyspaces }| {
            let mut sum = Count::default();
            let keyspaces = keyspaces.iter().map(|(keyspace, count)| {
                sum.add(count);
                Keyspace {
                    id: keyspace.id.to_string(),
                    name: keyspace.name.to_string(),
                    digest: count.digest.to_string(),
                    keys: count.keys,
                    bytes: count.bytes,
                }
            });
            let keyspaces = keyspaces.collect();
            total.add(&sum);
            Namespace {
                name: name.to_string(),
                digest: sum.digest.to_string(),
                keys: sum.keys,
                bytes: sum.bytes,
                keyspaces,
            }
        });
        let namespaces = namespaces.collect();
        let shards = &inventory.shards;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let load = total.keys as f64 / shards.count.max(1) as f64;
        Self {
            complete,
            revision: revision.map(|revision| revision.to_string()),
            digest: (total.digest + inventory.rest).to_string(),
            keys: total.keys,
            bytes: total.bytes,
            root_keys: inventory.root_keys,
            named_limits: inventory.named_limits,
            shards: Shards {
                count: shards.count,
                empty: shards.empty,
                largest: shards.largest,
                // Two digits tell enough.
                load: (load * 100.0).round() / 100.0,
            },
            namespaces,
        }
    }
}

impl Page for Cachez {
    const KIND: &'static PageKind = &PageKind { group: GROUP, kind: "Cachez", versions: &VERSIONS };

    fn text(&self) -> String {
        let mut lines = Lines::new();
        lines.fact("Complete", self.complete);
        lines.fact("Revision", or_dash(self.revision.as_ref()));
        lines.fact("Digest", &self.digest);
        lines.fact("Keys", format!("{}, about {} bytes", self.keys, self.bytes));
        lines.fact("Root keys", self.root_keys);
        lines.fact("Named limits", self.named_limits);
        let Shards { count, empty, largest, load } = &self.shards;
        lines.fact("Shards", format!("{count}, {empty} empty, {largest} keys in the largest, load {load}"));
        let rows = self.namespaces.iter().flat_map(|namespace| {
            let all = Keyspace {
                id: "*".to_owned(),
                name: "*".to_owned(),
                digest: namespace.digest.clone(),
                keys: namespace.keys,
                bytes: namespace.bytes,
            };
            let row = |it: &Keyspace| {
                let (keys, bytes) = (it.keys.to_string(), it.bytes.to_string());
                [namespace.name.clone(), it.name.clone(), it.id.clone(), keys, bytes, it.digest.clone()]
            };
            std::iter::once(row(&all)).chain(namespace.keyspaces.iter().map(row)).collect::<Vec<_>>()
        });
        lines.table(["NAMESPACE", "KEYSPACE", "ID", "KEYS", "BYTES", "DIGEST"], rows);
        lines.into_text()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use keyplane_core::hash::KeyHash;

    use super::*;
    use crate::feed::{KINDS, Mirror};
    use crate::registry::{Event, Kind, Object};

    fn object(kind: Kind, name: &str, spec: &serde_json::Value) -> Event {
        let metadata = serde_json::json!({"name": name, "namespace": "team-a", "uid": name, "generation": 1});
        let json = serde_json::json!({"apiVersion": "keyplane.dev/v1alpha1", "kind": kind.as_str(), "metadata": metadata, "spec": spec});
        Event::Applied(Object::from_json(kind, json.to_string().as_bytes()).unwrap())
    }

    fn key(name: &str) -> Event {
        let hash = serde_json::json!({"sha256": KeyHash::of(name).to_hex()});
        let spec = serde_json::json!({"key": {"hash": hash}, "roles": ["editor"], "externalId": "acme"});
        object(Kind::ApiKey, name, &spec)
    }

    /// The digests of an index that was told these objects, first those of the listing and then the changes, one by one.
    fn digests(listed: Vec<Event>, changes: Vec<Event>, asked_between: bool) -> Vec<String> {
        let index = Arc::new(Index::default());
        let mut mirror = Mirror::new(index.clone(), KINDS.len());
        let source = |event: &Event| match event {
            Event::Applied(object) => KINDS.iter().position(|kind| *kind == object.kind()).unwrap(),
            _ => unreachable!("only objects are told"),
        };
        let sources = || 0..KINDS.len();
        mirror.apply(sources().map(|number| (number, Event::Restarted)));
        mirror.apply(listed.into_iter().map(|event| (source(&event), event)));
        mirror.apply(sources().map(|number| (number, Event::Listed)));
        let digest = || Cachez::of(&index.inventory(), true, None).digest;
        let mut seen: Vec<String> = asked_between.then(digest).into_iter().collect();
        for change in changes {
            mirror.apply([(source(&change), change)]);
            seen.extend(asked_between.then(digest));
        }
        seen.push(digest());
        seen
    }

    #[test]
    fn what_keys_share_is_in_the_digest_and_the_way_to_it_is_not() {
        let role =
            |permission: &str| object(Kind::KeyRole, "editor", &serde_json::json!({"permissions": [permission]}));
        let identity = |tier: &str| {
            object(Kind::Identity, "acme", &serde_json::json!({"externalId": "acme", "meta": {"tier": tier}}))
        };
        let listed = || vec![key("one"), key("two"), role("invoices.read"), identity("gold")];
        let changes = || vec![role("invoices.write"), identity("silver"), role("invoices.read"), identity("gold")];
        let seen = digests(listed(), changes(), true);
        let [first, role_changed, both_changed, role_back, back, last] = &*seen else { panic!("{seen:?}") };
        assert_eq!([first, first], [back, last]);
        let mut different = vec![first, role_changed, both_changed, role_back];
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), 4, "{seen:?}");
        let other_way = vec![identity("silver"), role("invoices.write"), key("two"), key("one")];
        assert_eq!(digests(other_way, Vec::new(), false), std::slice::from_ref(both_changed));
    }
}
