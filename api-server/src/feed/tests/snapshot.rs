//! What a feed keeps on the disk, and starts from again.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::registry::{Kind, Object, Source};
use crate::snapshot::{Recorder, Snapshot, Wish};

/// A feed with its mirror, on the snapshot in a directory. Time is what a test says.
struct Kept {
    feed: Feed,
    mirror: Mirror,
    freshness: Freshness,
    recorder: Recorder,
}

fn sources() -> Vec<Source> {
    KINDS.iter().map(|kind| Source { kind: *kind, namespace: None }).collect()
}

fn number_of(kind: Kind) -> usize {
    KINDS.iter().position(|other| *other == kind).unwrap()
}

impl Kept {
    async fn start(directory: &Path) -> Self {
        Self::start_with(directory, &sources()).await
    }

    async fn start_with(directory: &Path, sources: &[Source]) -> Self {
        let index = Arc::new(Index::default());
        let feed = Feed {
            index: index.clone(),
            readiness: Readiness::default(),
            metrics: Arc::default(),
            balances: Arc::new(Balances::in_memory()),
            progress: Arc::default(),
        };
        feed.progress.begin(sources, clock::now());
        let mut freshness = Freshness::new(clock::now(), Some(3_600_000));
        let mut mirror = Mirror::new(index, sources.len());
        let snapshot = Snapshot::open(directory).unwrap();
        let recorder = feed.load(snapshot, sources, &mut mirror, &mut freshness).await.unwrap();
        Self { feed, mirror, freshness, recorder }
    }

    async fn take(&mut self, events: Vec<(usize, Event)>) {
        let listed: Vec<usize> =
            events.iter().filter(|(_, event)| matches!(event, Event::Listed)).map(|(source, _)| *source).collect();
        let batch = events.into_iter().map(|(source, event)| (source, Ok(event))).collect();
        let changes = self.feed.take(&mut self.mirror, batch);
        self.recorder.record(changes, &listed).await;
    }

    /// A whole listing with these objects.
    async fn list(&mut self, objects: &[Object]) {
        let restarted = (0..KINDS.len()).map(|source| (source, Event::Restarted));
        let applied = objects.iter().map(|object| (number_of(object.kind()), Event::Applied(object.clone())));
        let listed = (0..KINDS.len()).map(|source| (source, Event::Listed));
        self.take(restarted.chain(applied).chain(listed).collect()).await;
    }

    async fn apply(&mut self, change: &Change) {
        let event = match change {
            Change::Put(object) => (number_of(object.kind()), Event::Applied(object.clone())),
            Change::Delete(object) => (number_of(object.kind()), Event::Deleted(object.key())),
        };
        self.take(vec![event]).await;
    }

    fn judge(&mut self, now: Millis) -> Standing {
        self.feed.judge(&mut self.freshness, &self.mirror, now);
        self.feed.progress.standing()
    }

    /// As at SIGTERM.
    async fn stop(self) -> Arc<Index> {
        let (progress, now) = (self.feed.progress.clone(), clock::now());
        let heads = || self.feed.heads();
        self.recorder.close(progress.known_until(now), heads).await;
        self.feed.index
    }

    fn is_valid(&self, plain: &str) -> Option<bool> {
        let namespace = self.feed.index.namespace("n")?;
        self.feed.index.key(namespace, &KeyHash::of(plain), |found| found.record.enabled)
    }
}

#[derive(Clone, Debug)]
enum Change {
    Put(Object),
    Delete(Object),
}

fn object(kind: Kind, name: &str, spec: Value) -> Object {
    let value = json!({
        "apiVersion": "keyplane.dev/v1alpha1", "kind": kind.as_str(),
        "metadata": {"name": name, "namespace": "n", "uid": format!("uid-{name}"), "generation": 3, "resourceVersion": "12",
            "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"tier": "gold"},
            "annotations": {"note": "verification reads no annotation"}},
        "spec": spec,
    });
    Object::from_value(kind, value).unwrap()
}

fn api_key(name: &str, more: Value) -> Object {
    let mut spec = json!({"key": {"hash": {"sha256": KeyHash::of(name).to_hex()}}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object(Kind::ApiKey, name, spec)
}

/// One of each kind, and two keys that need all of them.
fn everything() -> Vec<Object> {
    vec![
        api_key(
            "one",
            json!({"roles": ["editor"], "externalId": "acme", "keyspace": "payments", "credits": {"remaining": 9}}),
        ),
        api_key("two", json!({"enabled": false, "meta": {"plan": "pro"}})),
        object(
            Kind::RootKey,
            "root",
            json!({"permissions": ["api.*.verify_key"], "key": {"hash": {"sha256": KeyHash::of("root").to_hex()}}}),
        ),
        object(Kind::Keyspace, "payments", json!({"allowedCidrs": ["192.0.2.0/24"]})),
        object(Kind::Identity, "acme", json!({"externalId": "acme", "meta": {"a": 1}})),
        object(Kind::KeyRole, "editor", json!({"permissions": ["a.b", "c.d"]})),
        object(
            Kind::RateLimit,
            "requests",
            json!({"limit": 10, "window": "60s", "appliesTo": {"keySelector": {"matchLabels": {"tier": "gold"}}}}),
        ),
        object(
            Kind::RateLimitOverride,
            "vip",
            json!({"rateLimit": "requests", "identifier": "vip", "limit": 100, "window": "60s"}),
        ),
    ]
}

/// What the index says, without how it lies.
fn content(index: &Index) -> String {
    let inventory = index.inventory();
    format!("{:?} {:?} {} {}", inventory.namespaces, inventory.rest, inventory.root_keys, inventory.named_limits)
}

/// The index of a feed that has no snapshot and is told the same.
fn oracle(objects: &[Object]) -> String {
    let index = Arc::new(Index::default());
    let mut mirror = Mirror::new(index.clone(), KINDS.len());
    mirror.apply((0..KINDS.len()).map(|source| (source, Event::Restarted)));
    mirror.apply(objects.iter().map(|object| (number_of(object.kind()), Event::Applied(object.clone()))));
    mirror.apply((0..KINDS.len()).map(|source| (source, Event::Listed)));
    content(&index)
}

#[tokio::test]
async fn what_was_kept_is_there_again_and_served_only_after_a_silence() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = Kept::start(directory.path()).await;
    assert!(!first.judge(clock::now()).is_served(), "there is nothing yet");
    first.list(&everything()).await;
    let mut now = clock::now();
    assert_eq!(first.judge(now), Standing::Serving { from: Origin::Registry, as_of: now });
    assert!(first.feed.readiness.is_ready());
    assert_eq!(content(&*first.stop().await), oracle(&everything()));

    let mut again = Kept::start(directory.path()).await;
    assert_eq!(content(&again.feed.index), oracle(&everything()));
    assert!(matches!(again.judge(now), Standing::Waiting { snapshot: Some(_) }));
    assert!(!again.feed.readiness.is_ready(), "the registry may still answer");
    now = clock::now().plus(freshness::GRACE);
    let Standing::Serving { from: Origin::Snapshot, as_of } = again.judge(now) else {
        panic!("{:?}", again.judge(now))
    };
    assert!(again.feed.readiness.is_ready());
    assert!(again.feed.readiness.index_warning(now).unwrap().contains("serving from the snapshot of"));
    now = as_of.plus(3_600_001);
    assert!(matches!(again.judge(now), Standing::TooOld { .. }));
    assert!(!again.feed.readiness.has_index(), "and verifications are told so");
    // What was never listed again is not written again: its age stays.
    again.stop().await;
    let mut third = Kept::start(directory.path()).await;
    assert!(matches!(third.judge(clock::now()), Standing::Waiting { snapshot: Some(at) } if at == as_of));
}

#[tokio::test]
async fn a_listing_over_the_snapshot_replaces_it_exactly_and_nothing_good_is_missing_on_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = Kept::start(directory.path()).await;
    let mut before = everything();
    before.push(api_key("stays", json!({})));
    before.push(api_key("goes", json!({})));
    first.list(&before).await;
    first.stop().await;

    let after: Vec<Object> = [api_key("stays", json!({"displayName": "changed"})), api_key("comes", json!({}))]
        .into_iter()
        .chain(everything().into_iter().filter(|object| object.kind() != Kind::KeyRole))
        .collect();
    let mut again = Kept::start(directory.path()).await;
    let restarted = (0..KINDS.len()).map(|source| (source, Event::Restarted));
    let applied = after.iter().map(|object| (number_of(object.kind()), Event::Applied(object.clone())));
    let listed = (0..KINDS.len()).map(|source| (source, Event::Listed));
    for event in restarted.chain(applied).chain(listed).collect::<Vec<_>>() {
        again.take(vec![event]).await;
        assert_eq!((again.is_valid("stays"), again.is_valid("one")), (Some(true), Some(true)));
        assert_eq!(again.is_valid("two"), Some(false), "what is revoked stays so");
    }
    assert_eq!((again.is_valid("goes"), again.is_valid("comes")), (None, Some(true)));
    assert_eq!(content(&*again.stop().await), oracle(&after));
    let third = Kept::start(directory.path()).await;
    assert_eq!(content(&third.feed.index), oracle(&after), "and so it is on the disk");
}

#[tokio::test]
async fn a_state_between_two_listings_is_never_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = Kept::start(directory.path()).await;
    first.list(&everything()).await;
    first.stop().await;
    let mut again = Kept::start(directory.path()).await;
    again.take(vec![(0, Event::Restarted), (0, Event::Listed)]).await;
    again.take(vec![(6, Event::Restarted), (6, Event::Applied(api_key("half", json!({}))))]).await;
    again.stop().await;
    assert_eq!(content(&Kept::start(directory.path()).await.feed.index), oracle(&everything()));
}

#[tokio::test]
async fn a_snapshot_of_other_namespaces_is_not_used_and_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = Kept::start(directory.path()).await;
    first.list(&everything()).await;
    first.stop().await;
    let others: Vec<Source> =
        sources().into_iter().map(|source| Source { namespace: Some("m".to_owned()), ..source }).collect();
    let mut again = Kept::start_with(directory.path(), &others).await;
    assert!(!again.judge(clock::now().plus(60_000)).is_served());
    assert_eq!(again.is_valid("one"), None);
}

#[tokio::test]
async fn the_file_is_for_the_process_alone_and_has_no_second_reader() {
    let directory = tempfile::tempdir().unwrap();
    let inside = directory.path().join("made");
    let first = Kept::start(&inside).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&inside.join("snapshot.redb")), mode(&inside)), (0o600, 0o700));
    let error = Snapshot::open(&inside).err().unwrap().to_string();
    assert!(error.contains("--snapshot-dir"), "{error}");
    first.stop().await;
}

/// The bytes of a small snapshot, orderly closed.
async fn bytes_of_one(directory: &Path) -> Vec<u8> {
    let mut kept = Kept::start(directory).await;
    kept.list(&everything()).await;
    kept.stop().await;
    std::fs::read(directory.join("snapshot.redb")).unwrap()
}

/// What a feed serves from this file: all of it, or nothing.
async fn all_or_nothing(bytes: &[u8], what: &str) -> bool {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("snapshot.redb"), bytes).unwrap();
    let mut kept = Kept::start(directory.path()).await;
    let served = kept.judge(clock::now().plus(freshness::GRACE)).is_served();
    let wanted = if served { oracle(&everything()) } else { content(&Index::default()) };
    assert_eq!(content(&kept.feed.index), wanted, "{what}");
    // And whatever it was, it is a snapshot after the next listing.
    kept.list(&everything()).await;
    kept.stop().await;
    assert_eq!(content(&Kept::start(directory.path()).await.feed.index), oracle(&everything()), "{what}, made anew");
    served
}

#[tokio::test]
async fn a_file_that_was_cut_is_used_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let whole = bytes_of_one(directory.path()).await;
    assert!(all_or_nothing(&whole, "whole").await);
    // Every byte of the header, where layout and commits are; then about the pages.
    let pages = (1..whole.len() / 4096).step_by(40).flat_map(|page| [page * 4096 - 1, page * 4096, page * 4096 + 1]);
    for end in (0..320).step_by(24).chain(pages) {
        assert!(!all_or_nothing(&whole[..end], &format!("cut at {end} of {}", whole.len())).await, "cut at {end}");
    }
}

#[tokio::test]
async fn a_file_with_broken_bytes_is_used_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let whole = bytes_of_one(directory.path()).await;
    let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    let mut refused = 0;
    for at in used.iter().step_by(used.len() / 60) {
        let mut broken = whole.clone();
        broken[*at] ^= 0x55;
        refused += usize::from(!all_or_nothing(&broken, &format!("byte {at}")).await);
    }
    assert!(refused > 4, "{refused}");
}

#[tokio::test]
async fn what_a_disk_does_not_take_in_time_is_given_up_and_made_anew_later() {
    let directory = tempfile::tempdir().unwrap();
    let mut kept = Kept::start(directory.path()).await;
    kept.list(&everything()).await;
    let taken = kept.recorder.take_all_room().await;
    tokio::time::pause();
    kept.apply(&Change::Put(api_key("lost", json!({})))).await;
    tokio::time::resume();
    assert_eq!(kept.is_valid("lost"), Some(true), "the index does not wait");
    drop(taken);
    let now = clock::now();
    let tick = |kept: &mut Kept, now: Millis| {
        kept.recorder.tick(now, Some(now), || crate::snapshot::heads(sources().iter().map(|source| (source, None))))
    };
    assert_eq!(tick(&mut kept, now), Wish::None);
    assert_eq!(tick(&mut kept, now.plus(299_999)), Wish::None);
    assert_eq!(tick(&mut kept, now.plus(300_000)), Wish::ListAgain);
    let objects: Vec<Object> = everything().into_iter().chain([api_key("lost", json!({}))]).collect();
    kept.list(&objects).await;
    kept.stop().await;
    assert_eq!(content(&Kept::start(directory.path()).await.feed.index), oracle(&objects));
}

fn change() -> impl Strategy<Value = Change> {
    let kinds = prop_oneof![
        (0..4_usize, any::<bool>(), 0..3_usize).prop_map(|(name, enabled, role)| {
            api_key(
                &format!("key-{name}"),
                json!({"enabled": enabled, "roles": [format!("role-{role}")], "externalId": "acme"}),
            )
        }),
        (0..3_usize, 0..3_usize).prop_map(|(name, permission)| {
            object(Kind::KeyRole, &format!("role-{name}"), json!({"permissions": [format!("p.{permission}")]}))
        }),
        (0..2_usize).prop_map(|plan| object(
            Kind::Identity,
            "acme",
            json!({"externalId": "acme", "meta": {"plan": plan}})
        )),
    ];
    (kinds, 0..4_u8).prop_map(|(object, dice)| if dice == 0 { Change::Delete(object) } else { Change::Put(object) })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Runs of a pod, each with a listing and changes behind it, orderly ended; some without the registry.
    #[test]
    fn the_snapshot_is_what_the_registry_held(runs in proptest::collection::vec(
        (any::<bool>(), proptest::collection::vec(change(), 0..12)), 1..5,
    )) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let mut held: std::collections::BTreeMap<_, Object> = std::collections::BTreeMap::new();
            let mut kept_of = held.clone();
            let mut has_snapshot = false;
            for (heard, changes) in runs {
                let mut kept = Kept::start(directory.path()).await;
                let of_before: Vec<Object> = kept_of.values().cloned().collect();
                assert_eq!(kept.mirror.is_complete(), has_snapshot);
                assert_eq!(content(&kept.feed.index), oracle(&of_before), "from the snapshot");
                if heard {
                    kept.list(&held.values().cloned().collect::<Vec<_>>()).await;
                    has_snapshot = true;
                }
                for change in &changes {
                    match change {
                        Change::Put(object) => drop(held.insert(object.key(), object.clone())),
                        Change::Delete(object) => drop(held.remove(&object.key())),
                    }
                    if heard {
                        kept.apply(change).await;
                    }
                }
                if heard {
                    kept_of.clone_from(&held);
                    assert_eq!(content(&kept.feed.index), oracle(&held.values().cloned().collect::<Vec<_>>()), "live");
                }
                kept.stop().await;
            }
        });
    }
}
