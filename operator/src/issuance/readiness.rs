//! Whether a key is ready, and when to look again: pure, from its material and what surrounds it.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use keyplane_api::KeySource;
use keyplane_api::condition::reason;

use super::claims::Claimant;
use super::decide::Material;

/// A foreign Secret is not watched (that would be an informer on all Secrets), so it is read again this often.
const FOREIGN_SECRET: Duration = Duration::from_secs(60);
/// While it is missing or unusable a person is probably waiting.
const UNUSABLE_SECRET: Duration = Duration::from_secs(10);
/// The longest wait for `expires`; after it the remaining time is looked at again.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

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
}

/// Decides the Ready condition. The first trouble of this order is shown: the key itself, its hash, its end, its keyspace.
///
/// A key whose keyspace does not exist is issued and served like any other; only its condition says so until the Keyspace appears.
pub(super) fn ready(material: &Material, around: Surroundings<'_>, now: Timestamp) -> Ready {
    let refuse = |reason, message| Ready { holds: false, reason, message };
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
    let message = match around.source {
        KeySource::PrefixedHash(key) => format!(
            "the key is verified when the request names migrationId `{}`; a server that has seen it so verifies it without, a pod of a cluster until it restarts",
            key.migration_id
        ),
        _ => "the key is issued and can be verified".to_owned(),
    };
    Ready { holds: true, reason: reason::ISSUED, message }
}

/// When to look again without having been told of a change.
pub(super) fn look_again(
    source: &KeySource,
    ready: &Ready,
    expires: Option<&Time>,
    now: Timestamp,
) -> Option<Duration> {
    let secret_trouble = [reason::SECRET_MISSING, reason::SECRET_MALFORMED].contains(&ready.reason);
    let secret = match source {
        KeySource::SecretRef(_) if secret_trouble => Some(UNUSABLE_SECRET),
        KeySource::SecretRef(_) => Some(FOREIGN_SECRET),
        // Ours are watched; one restored by hand may have another type and is not.
        KeySource::Generate(_) if secret_trouble => Some(FOREIGN_SECRET),
        KeySource::Generate(_) | KeySource::Hash(_) | KeySource::PrefixedHash(_) => None,
    };
    let end = expires.and_then(|expires| Duration::try_from(expires.0.duration_since(now)).ok());
    // A little after the end, so that the clock has certainly passed it.
    let end = end.filter(|left| !left.is_zero()).map(|left| (left + Duration::from_millis(10)).min(LONGEST));
    [secret, end].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyplane_api::{GenerateKey, PrefixedHashKey, SecretKeyRef};
    use keyplane_core::hash::KeyHash;

    use super::super::decide::Known;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn known() -> Material {
        Material::Known(Known { hash: KeyHash::of("k"), issued_at: None, start: None, secret_name: None })
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
        let trouble = Material::Trouble { reason: reason::SECRET_MISSING, message: "gone".to_owned(), keep: true };
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
        let missing = Ready { holds: false, reason: reason::SECRET_MISSING, message: String::new() };
        let reference = KeySource::SecretRef(SecretKeyRef { name: "s".to_owned(), key: "k".to_owned() });
        let generate = KeySource::Generate(GenerateKey::default());
        assert_eq!(look_again(&generate, &fine, None, at(0)), None);
        assert_eq!(look_again(&reference, &fine, None, at(0)), Some(FOREIGN_SECRET));
        assert_eq!(look_again(&reference, &missing, None, at(0)), Some(UNUSABLE_SECRET));
        let (soon, far) = (Time(at(30)), Time(at(400_000)));
        assert_eq!(look_again(&reference, &fine, Some(&soon), at(0)), Some(Duration::from_millis(30_010)));
        assert_eq!(look_again(&generate, &fine, Some(&far), at(0)), Some(LONGEST));
        assert_eq!(look_again(&generate, &fine, Some(&soon), at(31)), None, "over already");
    }
}
