//! Each page in each form, compared with a file: programs read these forms, so a change of one is a decision.

use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use keyplane_core::counter_id::{CounterId, Subject};
use keyplane_core::fingerprint::Fingerprint;
use keyplane_core::limit::{Algorithm, Limit, Rule};
use keyplane_core::plan::{Configured, Scope, Terms};
use keyplane_core::record::{IdentityRecord, KeyRecord, PermissionList, Place, ServedHash};
use keyplane_core::time::Millis;
use tower::ServiceExt;
use zpages::{Page, ZPages};

use super::{GROUP, cachez, eventz, feedz, keyz, limitz};
use crate::counters::{Held, Hot, Refused};
use crate::credits;
use crate::events::{SinkState, Stats};
use crate::feed::{Origin, Progress, Standing};
use crate::index::{Count, Inventory, Keyspace, Namespace, Shards};
use crate::registry::{Event, Kind, Object, Source};
use crate::snapshot::Status;

/// 2026-11-21T12:00:00Z.
pub(super) const NOW: Millis = Millis(1_795_262_400_000);

/// Asks for the page as a client would, and compares all of the answer that is the page's own.
async fn compare<P: Page>(name: &str, page: impl Fn() -> P + Send + Sync + 'static) {
    let router = ZPages::new("keyplane-api-server", "0.1.0").group(GROUP).page("/page", "a page", page).router();
    let kind = P::KIND.kind;
    for (extension, accept) in [
        ("txt", "text/plain".to_owned()),
        ("json", format!("application/json;g={GROUP};v=v1alpha1;as={kind};pretty=1")),
        ("yaml", format!("application/yaml;g={GROUP};v=v1alpha1;as={kind}")),
    ] {
        let request = Request::builder().uri("/page").header("accept", accept).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200, "{name}");
        let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        if extension != "txt" {
            assert_eq!(content_type, format!("application/{extension};g={GROUP};v=v1alpha1;as={kind}"));
        }
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let got = String::from_utf8(body.to_vec()).unwrap();
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("src/pages/golden/{name}.{extension}"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &got).unwrap();
        }
        let wanted = std::fs::read_to_string(&file).unwrap_or_default();
        let what =
            "look whether the page should change, then write it anew with UPDATE=1 cargo test -p keyplane-api-server";
        assert_eq!(got, wanted, "{}: {what}", file.display());
    }
}

#[tokio::test]
async fn cachez_is_the_golden_one() {
    let count = |keys: u64, entry: &str| Count { keys, bytes: keys * 310, digest: Fingerprint::of("golden", &entry) };
    let keyspace = |name: &str| Keyspace { name: name.into(), id: format!("api_{name}").into() };
    let namespace = |name: &str, keyspaces| Namespace { name: name.into(), keyspaces };
    let inventory = move || Inventory {
        namespaces: vec![
            namespace("team-a", vec![(keyspace("default"), count(2, "a")), (keyspace("payments"), count(40, "b"))]),
            namespace("team-b", vec![(keyspace("default"), count(1, "c"))]),
        ],
        rest: Fingerprint::of("golden", &"rest"),
        root_keys: 3,
        named_limits: 2,
        shards: Shards { count: 16, empty: 4, largest: 7 },
    };
    compare("cachez", move || cachez::Cachez::of(&inventory(), true, Some(4711))).await;
}

#[tokio::test]
async fn feedz_is_the_golden_one() {
    let page = || {
        let progress = Progress::default();
        let source = |kind, namespace: Option<&str>| Source { kind, namespace: namespace.map(str::to_owned) };
        let sources = [source(Kind::ApiKey, None), source(Kind::RootKey, Some("team-a")), source(Kind::KeyRole, None)];
        progress.begin(&sources, NOW.plus(-90_000));
        let mut key = keyplane_api::ApiKey::new("a", keyplane_api::ApiKeySpec::default());
        key.metadata.resource_version = Some("4711".to_owned());
        let mut batch = progress.batch(NOW.plus(-60_000));
        for event in [Event::Restarted, Event::Applied(Object::from(key)), Event::Listed] {
            batch.event(0, &event);
        }
        batch.event(1, &Event::Restarted);
        batch.event(1, &Event::Listed);
        drop(batch);
        progress.batch(NOW.plus(-12_500)).error(1, "failed to watch RootKey objects: connection refused");
        progress.serves(Standing::Serving { from: Origin::Registry, as_of: NOW.plus(-12_500) });
        let status = Status::golden(std::path::Path::new("/var/lib/keyplane/snapshot.redb"), NOW.plus(-30_000));
        feedz::Feedz::read(&progress, Some(&status), NOW)
    };
    compare("feedz", page).await;
}

#[tokio::test]
async fn limitz_is_the_golden_one() {
    let page = || {
        let refused = Refused { full: 0, namespace: 5, key: 1 };
        let held = Held { counters: 12, bytes: 4096, refused, forgotten: 7 };
        let id = CounterId::limit("team-a", "requests", Subject::Identifier("203.0.113.7"), 60_000);
        let hottest = [Hot { count: 99, forget_at: NOW.plus(120_000), id }];
        limitz::Limitz::of(held, 4_000_000, &hottest, Some(credits::Held { balances: 3, refused: 0 }))
    };
    compare("limitz", page).await;
}

#[tokio::test]
async fn eventz_is_the_golden_one() {
    let sink = SinkState { name: "count", wants_events: false, last_error: None };
    let failing = SinkState { name: "clickhouse", wants_events: true, last_error: Some("no route".to_owned()) };
    let stats = Stats {
        queued: 12,
        capacity: 1024,
        flushed: 5000,
        dropped: [3, 0],
        last_flush: Some(NOW.plus(-500)),
        sinks: vec![sink, failing],
    };
    compare("eventz", move || eventz::Eventz::read(&stats)).await;
}

/// A key with everything that the page shows, and with secrets that it must not.
pub(super) fn key() -> KeyRecord {
    let place = Place {
        namespace: "team-a".into(),
        keyspace: "payments".into(),
        keyspace_id: "api_payments".into(),
        allowed: None,
    };
    let permissions = PermissionList {
        permissions: ["invoices.read", "invoices.write"].map(Arc::from).into(),
        own: 1,
        roles: ["editor"].map(Arc::from).into(),
    };
    let meta = serde_json::value::RawValue::from_string(r#"{"tier":"gold"}"#.to_owned()).unwrap();
    let (place, permissions) = (Arc::new(place), Arc::new(permissions.into()));
    let mut record = KeyRecord::new("key_1", "acme-production", Some("ACME"), Some(&meta), place, permissions);
    record.identity = Some(Arc::new(IdentityRecord::bare("id_1", "acme")));
    record.hash = Some(keyplane_core::hash::KeyHash::of("the key"));
    let former =
        ServedHash { hash: keyplane_core::hash::KeyHash::of("before"), valid_until: Some(NOW.plus(3_600_000)) };
    record.former = Some(Box::new(former));
    record.expires = Some(NOW.plus(86_400_000));
    let limit = Limit::new(100, 60_000).unwrap();
    let rule = Rule { limit, algorithm: Algorithm::SlidingWindow };
    let terms = Arc::new(Terms { name: "requests".into(), rule, auto_apply: true });
    let configured = Configured::new("rl_1", terms, Scope::Key, record.owner());
    record.set_own_limits(vec![configured]);
    record
}

#[tokio::test]
async fn keyz_is_the_golden_one_and_holds_no_hash() {
    let (index, counters) = (Arc::new(crate::index::Index::default()), crate::counters::Local::default());
    let record = Arc::new(key());
    let (namespace, _) = crate::index::Namespaces::default().number("team-a");
    let hashes: Vec<_> = record.hashes().map(|served| served.hash).collect();
    let put = |hash| crate::index::Change::PutKey(crate::index::KeyEntry { namespace, hash, record: record.clone() });
    index.apply(hashes.iter().map(|hash| put(*hash)).collect());
    let read = move || keyz::Keyz::read("key_1", &index, &counters, None, NOW).unwrap();
    let shown = serde_json::to_string(&read()).unwrap() + &read().text();
    for hash in hashes {
        for digits in [hexadecimal(hash.as_bytes()), hexadecimal(&hash.as_bytes()[..4])] {
            assert!(!shown.contains(&digits), "{shown}");
        }
    }
    compare("keyz", read).await;
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
