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
