use super::super::rotation::Cause;
use super::*;
use keyplane_api::{GenerateKey, HashKey, SecretKeyRef};

const PLAIN: &[u8] = b"pay_0123456789abcdef";

fn time(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

fn current(plain: &[u8]) -> CurrentKey {
    CurrentKey { sha256: PlainKey::from_bytes(plain).unwrap().hash().to_hex(), issued_at: time(7) }
}

fn now() -> Timestamp {
    Timestamp::from_second(100).unwrap()
}

fn present(ours: bool, key: Option<&[u8]>) -> Found {
    let key = key.map(PlainKey::from_bytes);
    Found::Present(Box::new(Held { ours, created: Some(time(9)), key, ..Held::default() }))
}

fn holding(ours: bool, plain: &[u8]) -> Found {
    present(ours, Some(plain))
}

fn without_entry(ours: bool) -> Found {
    present(ours, None)
}

fn generate(current: Option<&CurrentKey>, found: Found) -> Material {
    let source = KeySource::Generate(GenerateKey::default());
    let status = StatusView { current, ..StatusView::default() };
    material("ApiKey", &source, status, Wish::default(), Some(("s", "key", found)), now())
}

fn bring(current: Option<&CurrentKey>, found: Found) -> Material {
    let source = KeySource::SecretRef(SecretKeyRef { name: "s".to_owned(), key: "apiKey".to_owned() });
    let status = StatusView { current, ..StatusView::default() };
    material("ApiKey", &source, status, Wish::default(), Some(("s", "apiKey", found)), now())
}

fn in_spec(source: &KeySource) -> Material {
    material("ApiKey", source, StatusView::default(), Wish::default(), None, now())
}

fn reason_and_keep(material: Material) -> (&'static str, bool, String) {
    match material {
        Material::Trouble { reason, message, keep, .. } => (reason, keep, message),
        other => panic!("not trouble: {other:?}"),
    }
}

#[test]
fn a_key_is_generated_only_when_nothing_was_issued_and_no_secret_is_there() {
    let first = Issue { secret_name: "s".to_owned(), cause: Cause::First, replaces: None, over: None };
    assert_eq!(generate(None, Found::Absent), Material::Issue(first));
    let issued = current(PLAIN);
    for (status, found) in [
        (Some(&issued), Found::Absent),
        (Some(&issued), holding(true, b"another-key-entirely")),
        (None, holding(true, PLAIN)),
        (None, holding(false, PLAIN)),
        (None, holding(true, b"short")),
        (None, without_entry(true)),
    ] {
        assert!(!matches!(generate(status, found.clone()), Material::Issue(_)), "{found:?}");
    }
}

#[test]
fn our_own_secret_without_a_status_is_adopted_with_the_time_it_was_made() {
    let Material::Known(known) = generate(None, holding(true, PLAIN)) else { panic!("not adopted") };
    assert_eq!(known.hash, PlainKey::from_bytes(PLAIN).unwrap().hash());
    assert_eq!((known.start.as_deref(), known.issued_at), (Some("pay_0123"), Some(time(9))));
}

#[test]
fn a_foreign_secret_is_left_alone_and_the_message_says_what_to_do() {
    let (reason, keep, message) = reason_and_keep(generate(None, holding(false, PLAIN)));
    assert_eq!((reason, keep), (reason::SECRET_MALFORMED, false));
    assert!(message.contains("spec.key.generate.secretName") && !message.contains("0123"), "{message}");
}

#[test]
fn an_issued_hash_stays_when_its_secret_is_lost_or_edited() {
    let issued = current(PLAIN);
    let (reason, keep, message) = reason_and_keep(generate(Some(&issued), Found::Absent));
    assert_eq!((reason, keep), (reason::SECRET_MISSING, true));
    assert!(message.contains("keyplane.dev/rotate"), "{message}");
    for edited in [holding(true, b"another-key-entirely"), without_entry(true), holding(true, b"short")] {
        let (reason, keep, _) = reason_and_keep(generate(Some(&issued), edited));
        assert_eq!((reason, keep), (reason::SECRET_MALFORMED, true));
    }
}

#[test]
fn a_secret_restored_by_hand_is_as_good_as_ours() {
    let issued = current(PLAIN);
    let Material::Known(known) = generate(Some(&issued), holding(false, PLAIN)) else { panic!("not known") };
    assert_eq!(known.issued_at, Some(time(7)), "the time of issue stays");
}

#[test]
fn a_brought_key_that_is_missing_keeps_the_hash_and_a_malformed_one_drops_it() {
    let issued = current(PLAIN);
    for missing in [Found::Absent, without_entry(false)] {
        let (reason, keep, message) = reason_and_keep(bring(Some(&issued), missing));
        assert_eq!((reason, keep), (reason::SECRET_MISSING, true));
        assert!(message.contains("`s`") && message.contains("`apiKey`"), "{message}");
    }
    let (reason, keep, message) = reason_and_keep(bring(Some(&issued), holding(false, b"0123456789abcdef\n")));
    assert_eq!((reason, keep), (reason::SECRET_MALFORMED, false));
    assert!(message.contains("newline") && !message.contains("0123"), "{message}");
}

#[test]
fn a_changed_brought_key_is_issued_anew() {
    let issued = current(PLAIN);
    let Material::Known(same) = bring(Some(&issued), holding(false, PLAIN)) else { panic!("not known") };
    assert_eq!(same.issued_at, Some(time(7)));
    let Material::Known(changed) = bring(Some(&issued), holding(false, b"another-key-entirely")) else {
        panic!("not known")
    };
    assert_eq!(changed.issued_at, None, "first seen now");
}

#[test]
fn a_brought_key_never_shows_most_of_itself() {
    let start = |plain: &[u8]| shown_start(&PlainKey::from_bytes(plain).unwrap());
    assert_eq!(start(b"pay_0123456789abcdef"), "pay_0123");
    assert_eq!(start(b"0123456789abcdef"), "0123");
    assert_eq!(start(b"0123456789abcdef_x"), "0123", "the last underscore is not always behind a prefix");
    assert_eq!(start(b"a_long_secret_with_many_words_in_it_0123456789abcdef"), "a_lo");
}

#[test]
fn a_hash_comes_from_the_spec_in_either_form() {
    let hash = KeyHash::of("plain");
    for sha256 in [hash.to_hex(), hash.to_base64()] {
        let source = KeySource::Hash(HashKey { sha256 });
        let Material::Known(known) = in_spec(&source) else { panic!("not known") };
        assert_eq!((known.hash, known.start, known.secret_name), (hash, None, None));
    }
    let source = KeySource::Hash(HashKey { sha256: "nonsense".to_owned() });
    let (reason, keep, message) = reason_and_keep(in_spec(&source));
    assert_eq!((reason, keep), (reason::INVALID_SPEC, false));
    assert!(message.contains("spec.key.hash.sha256"), "{message}");
}

#[test]
fn a_prefixed_key_is_imported_under_its_lookup_hash() {
    let imported =
        |sha256: String| KeySource::PrefixedHash(PrefixedHashKey { sha256, migration_id: "seam".to_owned() });
    let long_token = KeyHash::of("long");
    let lookup = keyplane_core::prefixed::lookup("seam", long_token);
    let found = in_spec(&imported(long_token.to_hex()));
    assert_eq!(found, Material::Prefixed { long_token, lookup });
    let nonsense = in_spec(&imported("nonsense".to_owned()));
    let (reason, keep, message) = reason_and_keep(nonsense);
    assert_eq!((reason, keep), (reason::INVALID_SPEC, false));
    assert!(message.contains("spec.key.prefixedHash.sha256"), "{message}");
}
