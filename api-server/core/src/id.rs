//! The ids that HTTP clients see: stable, opaque, a short prefix and sixteen characters.
//!
//! An object that a person wrote gets its id from its uid, so it keeps the id for life and no one chooses it. An object that the HTTP
//! API made carries the id in its name (`key-4f9k…` for `key_4f9k…`), because the id must be known before the object exists.

use std::fmt;
use std::ops::Deref;

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};

/// Characters after the underscore: 80 bits in base 32. Two of a million ids collide with a probability below 1 in 10^12.
const LENGTH: usize = 16;

/// What an id names; gives the prefix of the written id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An `ApiKey`: `key_…`.
    Key,
    /// A `RootKey`: `rk_…`.
    RootKey,
    /// A `Keyspace`, which Unkey calls an API: `api_…`.
    Keyspace,
    /// An `Identity`: `id_…`.
    Identity,
    /// A `KeyRole`: `role_…`.
    Role,
    /// A `KeyPermission`: `perm_…`.
    Permission,
    /// A `RateLimit`, which Unkey calls a namespace: `rlns_…`.
    RateLimit,
    /// A `RateLimitOverride`: `rlor_…`.
    Override,
    /// A limit of one key or one identity: `rl_…`.
    Limit,
}

impl Kind {
    /// The prefix before the underscore.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::RootKey => "rk",
            Self::Keyspace => "api",
            Self::Identity => "id",
            Self::Role => "role",
            Self::Permission => "perm",
            Self::RateLimit => "rlns",
            Self::Override => "rlor",
            Self::Limit => "rl",
        }
    }
}

/// The id of the object with this uid. The same uid gives unrelated ids for two kinds.
pub fn from_uid(kind: Kind, uid: &str) -> String {
    derive(kind, &[uid])
}

/// The id of something that exists without an object of its own, such as the keyspace `default` or an identity that is only an
/// external id: from its namespace and its name.
pub fn from_name(kind: Kind, namespace: &str, name: &str) -> String {
    derive(kind, &[namespace, name])
}

/// The id that an object made by the HTTP API carries in its name (`key-4f9k…` is `key_4f9k…`); `None` for any other name.
pub fn from_object_name(kind: Kind, name: &str) -> Option<String> {
    let rest = name.strip_prefix(kind.prefix())?.strip_prefix('-')?;
    let well_formed = rest.len() == LENGTH && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    well_formed.then(|| format!("{}_{rest}", kind.prefix()))
}

/// The name under which the HTTP API stores the object with this id: the reverse of [`from_object_name`].
pub fn to_object_name(id: &str) -> String {
    id.replacen('_', "-", 1)
}

/// A new id from 10 bytes of the operating system's randomness.
pub fn from_entropy(kind: Kind, entropy: [u8; 10]) -> String {
    write(kind, &entropy)
}

/// An id in place: 24 bytes without an allocation, for records of which there are millions. Reads as text.
///
/// Every id of this module fits (21 characters at most); of a longer text the first 23 bytes are kept. The bytes stand at the beginning of a
/// word, where their check for text takes eight of them at once: it is made each time that an id is read.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C, align(8))]
pub struct Id {
    bytes: [u8; 23],
    length: u8,
}

impl From<&str> for Id {
    fn from(text: &str) -> Self {
        let mut bytes = [0; 23];
        let length = (0..=bytes.len()).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        for (place, byte) in bytes.iter_mut().zip(text.bytes().take(length)) {
            *place = byte;
        }
        Self { bytes, length: u8::try_from(length).unwrap_or_default() }
    }
}

impl Deref for Id {
    type Target = str;

    fn deref(&self) -> &str {
        let text = self.bytes.get(..self.length.into()).unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

fn derive(kind: Kind, parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    digest.update(kind.prefix().as_bytes());
    for part in parts {
        // The length goes in front, so that no two lists of parts read the same.
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part.as_bytes());
    }
    write(kind, &digest.finalize()[..10])
}

fn write(kind: Kind, bytes: &[u8]) -> String {
    let mut text = BASE32_NOPAD.encode(bytes).to_ascii_lowercase();
    text.truncate(LENGTH);
    format!("{}_{text}", kind.prefix())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0d0c9a53-7f0b-4ee3-9a52-5f2b8ab0f1c2";

    #[test]
    fn ids_are_stable_for_ever() {
        // A golden value: clients store ids, so this must never change.
        assert_eq!(from_uid(Kind::Key, UID), "key_x6ryi73g2kan2s4w");
    }

    #[test]
    fn ids_of_two_kinds_share_nothing_but_their_form() {
        let (key, api) = (from_uid(Kind::Key, UID), from_uid(Kind::Keyspace, UID));
        assert_ne!(key.split_once('_').map(|p| p.1), api.split_once('_').map(|p| p.1));
        assert!(key.len() == 4 + LENGTH && api.len() == 4 + LENGTH);
    }

    #[test]
    fn parts_cannot_be_shifted_into_each_other() {
        assert_ne!(from_name(Kind::Keyspace, "ab", "c"), from_name(Kind::Keyspace, "a", "bc"));
    }

    #[test]
    fn an_id_in_place_reads_as_its_text() {
        for text in ["", "rl_4f9k2m7q1x8w3z5a", "rlns_4f9k2m7q1x8w3z5a", "ü"] {
            assert_eq!(&*Id::from(text), text);
        }
        assert_eq!(&*Id::from("twenty-two characters üü"), "twenty-two characters ", "cut between characters");
        assert_eq!(size_of::<Id>(), 24);
    }

    #[test]
    fn an_object_name_and_its_id_turn_into_each_other() {
        let id = from_entropy(Kind::Key, *b"0123456789");
        assert_eq!(from_object_name(Kind::Key, &to_object_name(&id)), Some(id));
        for other in ["key-short", "key_4f9k2m7q1x8w3z5a", "api-4f9k2m7q1x8w3z5a", "key-4F9K2M7Q1X8W3Z5A", "acme"] {
            assert_eq!(from_object_name(Kind::Key, other), None, "{other}");
        }
    }
}
