//! Whether a key is ready, and when to look again: pure, from its material and what surrounds it.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use keyplane_api::KeySource;
use keyplane_api::condition::reason;

use super::claims::Claimant;
use super::decide::Material;
use super::rotation::Turn;

/// A foreign Secret is not watched (that would be an informer on all Secrets), so it is read again this often.
const FOREIGN_SECRET: Duration = Duration::from_secs(60);
/// While it is missing or unusable a person is probably waiting.
const UNUSABLE_SECRET: Duration = Duration::from_secs(10);
/// The longest wait for a moment such as `expires`; after it the remaining time is looked at again.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// How long before its end people are told that a key expires soon, the longest first; and how that is said.
const EXPIRES_SOON: [(SignedDuration, &str); 3] = [
    (SignedDuration::from_hours(7 * 24), "7 days"),
    (SignedDuration::from_hours(24), "24 hours"),
    (SignedDuration::from_hours(1), "1 hour"),
];

/// The reason for a caller's key that no request can present as it must be.
const NOT_SUPPORTED: &str = "PrefixedHashNotSupported";

/// What surrounds a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    /// Where the key comes from.
    pub(super) source: &'a KeySource,
    /// Whether a request that presents the key can name a migration.
    pub(super) names_migration: bool,
    /// The keyspace that is named and does not exist.
    pub missing_keyspace: Option<&'a str>,
    /// An older object with the same hash, and whether its name may be said here.
    pub older: Option<&'a Claimant>,
    /// The namespace of the object itself.
    pub namespace: &'a str,
    /// `spec.expires`.
    pub expires: Option<&'a Time>,
    /// When the object was made.
    pub created: Timestamp,
}

/// The Ready condition in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ready {
    /// Whether it is the case.
    pub holds: bool,
    /// Its reason.
    pub reason: &'static str,
    /// Its message.
    pub message: String,
    /// How the message ends when the key expires soon. It changes at each of the three times, so that each is said once.
    pub expires_soon: Option<String>,
}

/// Decides the Ready condition. The first trouble of this order is shown: the key itself, its hash, its end, its keyspace.
///
/// A key whose keyspace does not exist is issued and served like any other; only its condition says so until the Keyspace appears.
pub(super) fn ready(material: &Material, around: Surroundings<'_>, now: Timestamp) -> Ready {
    let refuse = |reason, message| Ready { holds: false, reason, message, expires_soon: None };
    if let Material::Trouble { reason, message, .. } = material {
        return refuse(reason, message.clone());
    }
    if let (KeySource::PrefixedHash(_), false) = (around.source, around.names_migration) {
        // Saying "issued" would be saying more than is so.
        let message = "spec.key.prefixedHash is found only by a request that names a migration, which a caller's root key never does; import the hash of the whole key as spec.key.hash".to_owned();
        return refuse(NOT_SUPPORTED, message);
    }
    if let Some(older) = around.older {
        // Not naming the other namespace: an error must not tell what exists elsewhere.
        let which =
            if older.namespace == around.namespace { format!("`{}`", older.name) } else { "another object".to_owned() };
        let message = format!(
            "{which} is older and has the same key, so that one is served and this one is not; use another key here"
        );
        return refuse(reason::DUPLICATE_HASH, message);
    }
    if let Some(expires) = around.expires.filter(|expires| expires.0 <= now) {
        return refuse(
            reason::EXPIRED,
            format!("the key expired at {}; set spec.expires to a later time or remove it", expires.0),
        );
    }
    if let Some(keyspace) = around.missing_keyspace {
        let message = format!(
            "the key is issued and works, but there is no Keyspace `{keyspace}` in this namespace; create it, its settings apply from then on"
        );
        return refuse(reason::KEYSPACE_NOT_FOUND, message);
    }
    let mut message = match around.source {
        KeySource::PrefixedHash(key) => format!(
            "the key is verified when the request names migrationId `{}`; a server that has seen it so verifies it without, a pod of a cluster until it restarts",
            key.migration_id
        ),
        _ => "the key is issued and can be verified".to_owned(),
    };
    let expires_soon = expires_soon(around.expires, around.created, now);
    message.extend(expires_soon.as_deref());
    Ready { holds: true, reason: reason::ISSUED, message, expires_soon }
}

/// The times at which a key that ends then is said to expire soon, and how that is said. Not those that were over when the object was made:
/// who makes a key for an hour need not be told that it ends within seven days.
fn soon(expires: Timestamp, created: Timestamp) -> impl Iterator<Item = (Timestamp, &'static str)> {
    EXPIRES_SOON
        .into_iter()
        .filter_map(move |(before, said)| Some((expires.checked_sub(before).ok()?, said)))
        .filter(move |(at, _)| *at > created)
}

fn expires_soon(expires: Option<&Time>, created: Timestamp, now: Timestamp) -> Option<String> {
    let expires = expires?.0;
    let (_, said) = soon(expires, created).filter(|(at, _)| *at <= now).last()?;
    Some(format!("; it expires at {expires}, in less than {said}"))
}

/// When to look again without having been told of a change: at the next of the times at which something about the key changes by itself.
pub(super) fn look_again(around: Surroundings<'_>, ready: &Ready, turn: &Turn, now: Timestamp) -> Option<Duration> {
    let source = around.source;
    let secret_trouble = [reason::SECRET_MISSING, reason::SECRET_MALFORMED].contains(&ready.reason);
    let secret = match source {
        KeySource::SecretRef(_) if secret_trouble => Some(UNUSABLE_SECRET),
        KeySource::SecretRef(_) => Some(FOREIGN_SECRET),
        // Ours are watched; one restored by hand may have another type and is not.
        KeySource::Generate(_) if secret_trouble => Some(FOREIGN_SECRET),
        KeySource::Generate(_) | KeySource::Hash(_) | KeySource::PrefixedHash(_) => None,
    };
    let expires = around.expires.map(|expires| expires.0);
    let warnings = expires.into_iter().flat_map(|expires| soon(expires, around.created)).map(|(at, _)| at);
    let previous = turn.previous.as_ref().map(|key| key.valid_until.0);
    let rotation = turn.next.as_ref().map(|next| next.0);
    let moments = expires.into_iter().chain(warnings).chain(previous).chain(rotation);
    let left = moments.filter_map(|at| Duration::try_from(at.duration_since(now)).ok()).filter(|left| !left.is_zero());
    // A little after the moment, so that the clock has certainly passed it.
    let moment = left.min().map(|left| (left + Duration::from_millis(10)).min(LONGEST));
    secret.into_iter().chain(moment).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyplane_api::{GenerateKey, PrefixedHashKey, PreviousKey, SecretKeyRef};
    use keyplane_core::hash::KeyHash;

    use super::super::decide::Known;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn known() -> Material {
        let turn = Turn::default();
        Material::Known(Known { hash: KeyHash::of("k"), issued_at: None, start: None, secret_name: None, turn })
    }

    static GENERATE: KeySource =
        KeySource::Generate(GenerateKey { secret_name: None, prefix: None, byte_length: None });

    fn around() -> Surroundings<'static> {
        Surroundings {
            source: &GENERATE,
            names_migration: true,
            missing_keyspace: None,
            older: None,
            namespace: "team-a",
            expires: None,
            created: at(0),
        }
    }

    fn older(namespace: &str) -> Claimant {
        Claimant { created: at(1), uid: "u".to_owned(), namespace: namespace.to_owned(), name: "first".to_owned() }
    }

    #[test]
    fn a_key_without_trouble_is_issued() {
        let found = ready(&known(), around(), at(0));
        assert!(found.holds && found.reason == reason::ISSUED);
    }

    #[test]
    fn a_key_imported_by_its_long_token_is_ready_for_requests_that_name_its_migration() {
        let prefixed = PrefixedHashKey { sha256: KeyHash::of("k").to_hex(), migration_id: "seam".to_owned() };
        let source = KeySource::PrefixedHash(prefixed);
        let lookup = KeyHash::of("lookup");
        let material = Material::Prefixed { long_token: KeyHash::of("k"), lookup };
        let of =
            |names_migration| ready(&material, Surroundings { source: &source, names_migration, ..around() }, at(0));
        assert_eq!((of(true).holds, of(true).reason), (true, reason::ISSUED));
        assert!(of(true).message.contains("`seam`"), "{}", of(true).message);
        assert_eq!((of(false).holds, of(false).reason), (false, NOT_SUPPORTED), "a root key");
    }

    #[test]
    fn the_first_trouble_is_shown() {
        let (rival, past) = (older("team-a"), Time(at(5)));
        let trouble = super::super::decide::trouble(reason::SECRET_MISSING, "gone".to_owned(), true);
        let mut all =
            Surroundings { missing_keyspace: Some("pay"), older: Some(&rival), expires: Some(&past), ..around() };
        assert_eq!(ready(&trouble, all, at(10)).reason, reason::SECRET_MISSING);
        assert_eq!(ready(&known(), all, at(10)).reason, reason::DUPLICATE_HASH);
        all.older = None;
        assert_eq!(ready(&known(), all, at(10)).reason, reason::EXPIRED);
        assert_eq!(ready(&known(), all, at(4)).reason, reason::KEYSPACE_NOT_FOUND, "not yet expired");
    }

    #[test]
    fn a_duplicate_names_the_other_only_within_its_namespace() {
        let near = older("team-a");
        assert!(ready(&known(), Surroundings { older: Some(&near), ..around() }, at(0)).message.contains("`first`"));
        let far = older("team-b");
        let message = ready(&known(), Surroundings { older: Some(&far), ..around() }, at(0)).message;
        assert!(!message.contains("first") && !message.contains("team-b"), "{message}");
    }

    #[test]
    fn looks_again_at_the_end_and_at_foreign_secrets() {
        let fine = ready(&known(), around(), at(0));
        let missing = Ready { holds: false, reason: reason::SECRET_MISSING, ..fine.clone() };
        let reference = KeySource::SecretRef(SecretKeyRef { name: "s".to_owned(), key: "k".to_owned() });
        let again = |source: &KeySource, ready: &Ready, expires: Option<&Time>, now: i64| {
            look_again(Surroundings { source, expires, ..around() }, ready, &Turn::default(), at(now))
        };
        assert_eq!(again(&GENERATE, &fine, None, 0), None);
        assert_eq!(again(&reference, &fine, None, 0), Some(FOREIGN_SECRET));
        assert_eq!(again(&reference, &missing, None, 0), Some(UNUSABLE_SECRET));
        let (soon, far) = (Time(at(30)), Time(at(4_000_000)));
        assert_eq!(again(&reference, &fine, Some(&soon), 0), Some(Duration::from_millis(30_010)));
        assert_eq!(again(&GENERATE, &fine, Some(&far), 0), Some(LONGEST));
        assert_eq!(again(&GENERATE, &fine, Some(&soon), 31), None, "over already");
    }

    #[test]
    fn looks_again_when_a_rotation_is_due_and_when_an_overlap_ends() {
        let fine = ready(&known(), around(), at(0));
        let previous = |end| Some(PreviousKey { sha256: String::new(), valid_until: Time(at(end)) });
        let again = |previous, next: i64| {
            let turn = Turn { previous, next: Some(Time(at(next))), ..Turn::default() };
            look_again(around(), &fine, &turn, at(10)).map(|wait| wait.as_millis())
        };
        assert_eq!(again(None, 50), Some(40_010));
        assert_eq!(again(previous(20), 50), Some(10_010));
        assert_eq!(again(None, 10), None, "it is due, and not waited for");
    }

    #[test]
    fn a_key_says_three_times_that_it_expires_soon() {
        const DAY: i64 = 24 * 60 * 60;
        let expires = Time(at(30 * DAY));
        let says = |created: i64, now: i64| {
            let around = Surroundings { expires: Some(&expires), created: at(created), ..around() };
            let ready = ready(&known(), around, at(now));
            assert!(ready.expires_soon.as_ref().is_none_or(|end| ready.message.ends_with(end)));
            let again = look_again(around, &ready, &Turn::default(), at(now))
                .map(|wait| i64::try_from(wait.as_secs()).unwrap());
            (ready.expires_soon.and_then(|text| text.split_once("less than ").map(|(_, said)| said.to_owned())), again)
        };
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(says(0, 23 * DAY - 5), (None, Some(5)));
        assert_eq!(says(0, 23 * DAY), (said("7 days"), Some(DAY)), "and a day later is looked again");
        assert_eq!(says(0, 29 * DAY), (said("24 hours"), Some(23 * 3600)));
        assert_eq!(says(0, 30 * DAY - 3600), (said("1 hour"), Some(3600)));
        assert_eq!(says(25 * DAY, 26 * DAY), (None, Some(DAY)), "made within the seven days");
        assert_eq!(says(25 * DAY, 29 * DAY).0, said("24 hours"));
    }
}
