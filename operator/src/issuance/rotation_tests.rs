use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn rotation(every: &str, overlap: &str) -> Rotation {
    Rotation { every: every.parse().unwrap(), overlap: overlap.parse().unwrap() }
}

fn wish<'a>(rotation: &'a Rotation, annotation: Option<&'a str>) -> Wish<'a> {
    Wish { rotation: Some(rotation), expires: None, annotation }
}

fn current(issued: i64) -> CurrentKey {
    CurrentKey { sha256: "new".to_owned(), issued_at: Time(at(issued)) }
}

fn previous(end: i64) -> PreviousKey {
    PreviousKey { sha256: "old".to_owned(), valid_until: Time(at(end)) }
}

fn end(turn: &Turn) -> Option<i64> {
    turn.previous.as_ref().map(|previous| previous.valid_until.0.as_second())
}

fn next(turn: &Turn) -> Option<i64> {
    turn.next.as_ref().map(|next| next.0.as_second())
}

#[test]
fn a_status_has_whole_seconds_and_no_overlap_is_shorter_than_it_was_said() {
    let now = Timestamp::from_millisecond(10_700).unwrap();
    let spec = rotation("1h", "1500ms");
    let turn = begun(wish(&spec, None), Some("old"), None, now);
    assert_eq!(issued_at(now).0, at(10));
    assert_eq!((end(&turn), next(&turn)), (Some(13), Some(3610)), "12.2 s rounded up");
    let again = standing(
        wish(&spec, None),
        &CurrentKey { issued_at: issued_at(now), ..current(0) },
        turn.previous.as_ref(),
        None,
        now,
    );
    assert_eq!(again, turn, "read back it is the same, so nothing is written");
}

#[test]
fn without_an_overlap_the_replaced_key_ends_at_once() {
    let turn = begun(wish(&rotation("1h", "0s"), None), Some("old"), None, at(10));
    assert_eq!((end(&turn), next(&turn)), (None, Some(3610)));
}

#[test]
fn a_key_without_rotation_rotates_by_request_with_a_day_of_overlap() {
    let asks = Wish { annotation: Some("1"), ..Wish::default() };
    let standing = |wish, handled| standing(wish, &current(10), None, handled, at(20));
    assert_eq!(due(Wish::default(), &standing(Wish::default(), None), at(20)), None);
    assert_eq!(due(asks, &standing(asks, None), at(20)), Some(Cause::Request));
    assert_eq!(due(asks, &standing(asks, Some("1")), at(20)), None, "handled");
    assert_eq!(due(asks, &standing(asks, Some("0")), at(20)), Some(Cause::Request));
    assert_eq!(due(Wish::default(), &standing(Wish::default(), Some("1")), at(20)), None, "taken away");
    assert_eq!(end(&begun(asks, Some("old"), None, at(20))), Some(20 + 86_400 + 1));
}

#[test]
fn a_long_request_is_kept_as_its_hash() {
    let long = "x".repeat(LONGEST_REQUEST + 1);
    let of = |annotation| Wish { annotation: Some(annotation), ..Wish::default() };
    assert_eq!(of(&long).request(), Some(KeyHash::of(&long).to_hex()));
    assert!(!of(&long).asks(Some(&KeyHash::of(&long).to_hex())));
    assert_eq!(of("2026-11-21").request().as_deref(), Some("2026-11-21"));
}

#[test]
fn a_rotation_waits_for_the_end_of_the_overlap_before_it() {
    let spec = rotation("60s", "30s");
    let asks = wish(&spec, Some("1"));
    let turn = |now| standing(asks, &current(10), Some(&previous(41)), None, at(now));
    assert_eq!((next(&turn(20)), turn(20).deferred, due(asks, &turn(20), at(20))), (Some(41), true, None));
    assert_eq!(due(asks, &turn(41), at(41)), None, "until the very second is over");
    assert_eq!(due(asks, &turn(42), at(42)), Some(Cause::Request));
    let later = standing(wish(&spec, None), &current(10), Some(&previous(500)), None, at(80));
    assert_eq!(end(&later), None, "the spec says 30 s by now, so it is over");
}

#[test]
fn a_shorter_overlap_counts_at_once_and_a_longer_one_for_the_next() {
    let turn = |overlap: &str| {
        standing(wish(&rotation("24h", overlap), None), &current(10), Some(&previous(100)), None, at(20))
    };
    assert_eq!(end(&turn("30s")), Some(41));
    assert_eq!(end(&turn("10h")), Some(100));
    assert_eq!(end(&turn("0s")), None);
    let taken_away = standing(Wish::default(), &current(10), Some(&previous(100)), None, at(20));
    assert_eq!(end(&taken_away), Some(100), "the promise of a rotation that is taken away stays");
}

#[test]
fn after_an_outage_there_is_one_rotation_and_none_after_the_end() {
    let spec = rotation("60s", "30s");
    let missed = standing(wish(&spec, None), &current(10), None, None, at(10_000));
    assert_eq!(due(wish(&spec, None), &missed, at(10_000)), Some(Cause::Schedule));
    assert_eq!(next(&begun(wish(&spec, None), Some("new"), None, at(10_000))), Some(10_060));
    let expires = Time(at(50));
    let ends = Wish { expires: Some(&expires), ..wish(&spec, None) };
    assert_eq!(next(&standing(ends, &current(10), None, None, at(20))), None, "it expires before");
    assert!(ends.replaces_lost(None, at(20)) && !ends.replaces_lost(None, at(50)));
}

#[test]
fn a_clock_that_went_back_delays_and_nothing_else() {
    let spec = rotation("60s", "30s");
    let ahead = standing(wish(&spec, None), &current(1_000), Some(&previous(1_031)), None, at(10));
    assert_eq!((end(&ahead), next(&ahead), due(wish(&spec, None), &ahead, at(10))), (Some(1_031), Some(1_060), None));
}

#[test]
fn times_beyond_the_calendar_are_its_end() {
    let spec = rotation("999999h", "999998h");
    let turn = begun(wish(&spec, None), Some("old"), None, Timestamp::MAX);
    assert!(turn.next.is_some() && turn.previous.is_some());
}
