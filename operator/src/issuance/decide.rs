//! Which key an object stands for: pure, from its source, what its status says already, and the Secret that was found.
//!
//! The rules that matter:
//! - A key is generated only when the status names no current key *and* there is no Secret of its name. A Secret that is ours is hashed
//!   again instead, which heals a crash between Secret and status without a second key.
//! - A hash that was issued stays served (`keep`) when its Secret is lost or was edited, until its stated end: revoking is done with the
//!   object itself. Whether another key is issued then, and all of rotation: `generated.rs`.
//! - `secretRef`: a Secret or entry that is missing may be an accident, the hash stays. A Secret whose content is no usable key is its
//!   owner's word that the earlier key is not the key any more, so the hash is dropped: the strict side.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use keyplane_api::condition::reason;
use keyplane_api::{CurrentKey, KeySource, PrefixedHashKey, default_secret_name};
use keyplane_core::hash::KeyHash;
use keyplane_core::key::{PlainKey, PlainKeyError};

use super::generated::{Issue, generated};
use super::kind::{KeyKind, StatusView};
use super::rotation::{Turn, Wish};

/// A Secret as it was found.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// There is none of the name.
    Absent,
    /// There is one.
    Present(Box<Held>),
}

/// What is in a Secret.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// It has the object's uid as owner.
    pub ours: bool,
    /// When it was made.
    pub created: Option<Time>,
    /// Which version of it this is.
    pub resource_version: Option<String>,
    /// The entry with the key, read; `None` when there is no such entry.
    pub key: Option<Result<PlainKey, PlainKeyError>>,
    /// The entry `previousKey`, likewise.
    pub previous: Option<Result<PlainKey, PlainKeyError>>,
    /// The entry `keyId`.
    pub key_id: Option<String>,
    /// The hash of the key that the one in it replaced, as a rotation wrote it.
    pub replaces: Option<String>,
    /// The request for which the key in it was issued.
    pub request: Option<String>,
}

/// What the object's key is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Material {
    /// Make a key into a Secret: the first one, or the next.
    Issue(Issue),
    /// The key is known.
    Known(Known),
    /// Only the hash of the key's long token is known. The whole key's hash becomes known to whoever sees its first use, not here: what the
    /// status says of it stays.
    Prefixed {
        /// The hash of the long token.
        long_token: KeyHash,
        /// Under which hash verify pods find the key.
        lookup: KeyHash,
    },
    /// The key cannot be read. `keep`: the hash that was issued stays served.
    Trouble {
        /// Reason of the Ready condition.
        reason: &'static str,
        /// What happened and what to do.
        message: String,
        /// Whether what the status says already stays there.
        keep: bool,
        /// Where a key that stays stands in its rotations.
        turn: Turn,
    },
}

impl Material {
    /// Whether this takes a generated key that was issued for lost or for replaced. What the copy from the watch says of it may be
    /// older than its Secret; only if the Secret holds the very key that the copy names is the copy as new as it must be.
    pub(super) fn departs_from(&self, source: &KeySource, status: StatusView<'_>) -> bool {
        let (KeySource::Generate(_), Some(current)) = (source, status.current) else { return false };
        !matches!(self, Self::Known(known) if KeyHash::parse(&current.sha256) == Ok(known.hash))
    }
}

/// A key that is known by its hash.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    /// Its hash.
    pub hash: KeyHash,
    /// When it was issued; `None`: first seen just now.
    pub issued_at: Option<Time>,
    /// Its first characters, where they are known.
    pub start: Option<String>,
    /// The Secret that holds it.
    pub secret_name: Option<String>,
    /// Where it stands in its rotations; empty for a key that was not generated.
    pub turn: Turn,
}

/// The Secret and the entry to read for this object; `None`: no Secret is involved.
pub(super) fn secret_to_read<K: KeyKind>(key: &K, name: &str) -> Option<(String, String)> {
    match key.source() {
        KeySource::Generate(generate) => {
            // Where the key was put counts, even if the spec names another Secret by now: the plain key is only there.
            let issued = key.status().current.and(key.status().secret_name);
            let secret_name = issued.map(str::to_owned).or_else(|| generate.secret_name.clone());
            let secret_name = secret_name.unwrap_or_else(|| default_secret_name(name));
            Some((secret_name, keyplane_api::SECRET_DATA_KEY.to_owned()))
        }
        KeySource::SecretRef(reference) => Some((reference.name.clone(), reference.key.clone())),
        KeySource::Hash(_) | KeySource::PrefixedHash(_) => None,
    }
}

/// Decides for one object. `secret` is what [`secret_to_read`] led to, `kind` the word for messages.
pub(super) fn material(
    kind: &str,
    source: &KeySource,
    status: StatusView<'_>,
    wish: Wish<'_>,
    secret: Option<(&str, &str, Found)>,
    now: Timestamp,
) -> Material {
    match (source, secret) {
        (KeySource::Hash(hash), _) => from_spec(&hash.sha256, "spec.key.hash.sha256", status.current),
        (KeySource::PrefixedHash(key), _) => prefixed(key),
        (KeySource::Generate(_), Some((name, _, found))) => generated(kind, name, status, wish, found, now),
        (KeySource::SecretRef(_), Some((name, entry, found))) => brought(kind, name, entry, status, found),
        // Not reached: both sources lead to a Secret.
        (KeySource::Generate(_) | KeySource::SecretRef(_), None) => {
            trouble(reason::SECRET_MISSING, "the Secret was not looked for".to_owned(), true)
        }
    }
}

fn from_spec(sha256: &str, field: &str, current: Option<&CurrentKey>) -> Material {
    match KeyHash::parse(sha256) {
        Ok(hash) => Material::Known(known(hash, current, None, None, None)),
        Err(error) => trouble(reason::INVALID_SPEC, format!("{field}: {error}"), false),
    }
}

fn prefixed(key: &PrefixedHashKey) -> Material {
    match KeyHash::parse(&key.sha256) {
        Ok(long_token) => {
            Material::Prefixed { long_token, lookup: keyplane_core::prefixed::lookup(&key.migration_id, long_token) }
        }
        Err(error) => trouble(reason::INVALID_SPEC, format!("spec.key.prefixedHash.sha256: {error}"), false),
    }
}

fn brought(kind: &str, name: &str, entry: &str, status: StatusView<'_>, found: Found) -> Material {
    let kept = if status.current.is_some() {
        "; the key that was in it stays valid until then, disable or delete this object to revoke it"
    } else {
        ""
    };
    let key = match found {
        Found::Absent => {
            let message = format!(
                "Secret `{name}` of spec.key.secretRef does not exist in this namespace; create it with the key in entry `{entry}`{kept}"
            );
            return trouble(reason::SECRET_MISSING, message, true);
        }
        Found::Present(held) => held.key,
    };
    match key {
        None => trouble(
            reason::SECRET_MISSING,
            format!(
                "Secret `{name}` has no entry `{entry}`, which spec.key.secretRef names; add it with the key{kept}"
            ),
            true,
        ),
        Some(Err(error)) => trouble(
            reason::SECRET_MALFORMED,
            format!(
                "entry `{entry}` of Secret `{name}` is not a usable key: {error}; no key of this {kind} is valid until it is"
            ),
            false,
        ),
        Some(Ok(key)) => Material::Known(known(key.hash(), status.current, None, Some(shown_start(&key)), Some(name))),
    }
}

/// Keeps the time of issue while the hash stays the same; a new hash gets `fresh`.
pub(super) fn known(
    hash: KeyHash,
    current: Option<&CurrentKey>,
    fresh: Option<Time>,
    start: Option<String>,
    secret_name: Option<&str>,
) -> Known {
    let same = current.filter(|current| KeyHash::parse(&current.sha256) == Ok(hash));
    let issued_at = same.map(|current| current.issued_at.clone()).or(fresh);
    Known { hash, issued_at, start, secret_name: secret_name.map(str::to_owned), turn: Turn::default() }
}

pub(super) fn trouble(reason: &'static str, message: String, keep: bool) -> Material {
    Material::Trouble { reason, message, keep, turn: Turn::default() }
}

/// The longest prefix, with its underscore, that is shown of a key that somebody brought; generated ones have no longer one.
const LONGEST_PREFIX: usize = 17;
/// At least this many characters of such a key stay hidden.
const LEAST_HIDDEN: usize = 12;

/// What is shown of a key that somebody brought. Its last underscore may be anywhere in the secret part, so a long "prefix" is not
/// taken for one: then the first four characters are shown.
fn shown_start(key: &PlainKey) -> String {
    let (start, length) = (key.start(), key.expose().chars().count());
    let shown = start.chars().count();
    if shown <= LONGEST_PREFIX + 4 && length - shown >= LEAST_HIDDEN {
        return start;
    }
    key.expose().chars().take(4).collect()
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
