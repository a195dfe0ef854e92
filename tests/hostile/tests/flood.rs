//! Strangers who send a million different texts make the server hold no more than it says.

use keyplane_api_server::counters::Local;
use keyplane_api_server::engine::{Found, LimitRequest, Permissions, Request};
use keyplane_core::hash::KeyHash;
use keyplane_core::plan::Requested;
use keyplane_core::time::Millis;
use keyplane_core::verify::Code;
use keyplane_hostile::world::{BARE_KEY, NAMESPACE, ROOT, World};

/// A million where it takes seconds; without optimisation, enough to fill everything that has a bound.
const MANY: usize = if cfg!(debug_assertions) { 60_000 } else { 1_000_000 };
/// Below what is sent, and above what one key may have. The real table holds 4 million.
const CAPACITY: usize = 50_000;
/// What a table of so many counters takes at the most: 65 bytes each, and the table up to 56 % empty.
const TABLE_BYTES: usize = CAPACITY * 65 * 100 / 44;
/// An hour, so that nothing is over while the flood lasts.
const WINDOW: i64 = 3_600_000;
const NOW: Millis = Millis(1_800_000_000_000);

/// Bytes of memory of this process.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    assert!(resident > 0, "/proc/self/statm is `{pages}`");
    resident * 4096
}

/// Tests of one process run side by side and share its memory: all floods are one test.
#[test]
fn a_million_of_anything_takes_no_more_memory_than_is_said() {
    let world = World::start(Local::with_capacity(CAPACITY));
    let caller = world.engine.caller(ROOT, NOW).unwrap();

    // Keys that don't exist, root keys that don't, and queries on them.
    let keys = |round: usize| {
        for n in 0..MANY {
            let plain = format!("bad-{round}-{n}");
            let query = format!("permission.{n} AND b");
            let request = Request { permissions: Some(Permissions::Text(&query)), ..Request::new(KeyHash::of(&plain)) };
            assert_eq!(
                world.engine.verify(&caller, &request, &mut Found::default(), NOW).unwrap().code,
                Code::NotFound
            );
            assert!(world.engine.caller(&plain, NOW).is_err());
        }
    };
    keys(0);
    let before = resident();
    keys(1);
    let grown = resident().saturating_sub(before);
    assert!(grown < 4 * 1024 * 1024, "{MANY} bad keys take {grown} bytes");
    assert_eq!(world.counters.held().counters, 0);

    // A good key, each time with another query: what is parsed is kept up to 16 MiB.
    let before = resident();
    for n in 0..MANY {
        let query = format!("permission.{n} AND {}", "b".repeat(500));
        let request = Request { permissions: Some(Permissions::Text(&query)), ..Request::new(KeyHash::of(BARE_KEY)) };
        assert_eq!(
            world.engine.verify(&caller, &request, &mut Found::default(), NOW).unwrap().code,
            Code::InsufficientPermissions
        );
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 * 1024 * 1024, "{MANY} queries take {grown} bytes");

    // A good key that makes up limits, as a holder can in v1: its own share, and no more.
    for n in 0..MANY {
        let name = format!("made-up-{n}");
        let limits = [Requested { name: &name, cost: 1, limit: Some(10), window_ms: Some(WINDOW) }];
        let request = Request { limits: &limits, ..Request::new(KeyHash::of(BARE_KEY)) };
        world.engine.verify_for_anyone(NAMESPACE, &request, &mut Found::default(), NOW).unwrap();
    }
    let held = world.counters.held();
    assert!(held.counters == 10_000 && held.refused.key > 0, "{held:?}");

    // Identifiers: four fifths of the table, and strictness beyond.
    let limit = |identifier: &str| {
        let request = LimitRequest { name: "flood", identifier, limit: 10, window_ms: WINDOW, cost: 1 };
        world.engine.rate_limit(&caller, &[request], NOW).unwrap().0
    };
    assert!(limit("known"));
    let admitted = (0..MANY).filter(|n| limit(&format!("user-{n}"))).count();
    let held = world.counters.held();
    assert!(admitted < CAPACITY && held.counters <= CAPACITY * 82 / 100, "{admitted} {held:?}");
    assert!(held.bytes <= TABLE_BYTES && held.refused.namespace > 0, "{held:?}");
    assert!(limit("known"), "who was known before the flood goes on");

    // Their time over, a sweep gives all of it back.
    let later = Millis(NOW.0 + 3 * WINDOW);
    (0..256).for_each(|round| world.counters.sweep(round, later));
    let held = world.counters.held();
    assert!(held.counters == 0 && held.bytes < TABLE_BYTES / 50, "{held:?}");
}
