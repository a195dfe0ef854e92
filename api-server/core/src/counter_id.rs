//! Which counter a limit or a balance of credits runs on.

use std::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// Sets these hashes apart from every other use of SHA-256, and one version of the layout from the next.
const DOMAIN: &[u8] = b"keyplane counter 1";

/// 128 bits that name a counter: the first half of SHA-256 of namespace, limit name, subject and window.
///
/// The limit's *value* and its algorithm are no part of it, so a changed limit goes on with the running count; another window starts
/// another counter. Every part is written with its length, so no choice of names can make two counters one; and as identifiers come
/// from strangers, the hash is one that nobody can find collisions of (64 bits of work for half of SHA-256).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterId([u8; 16]);

/// Whose counter it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject<'a> {
    /// One key, by its id.
    Key(&'a str),
    /// All keys of one identity, by its id.
    Identity(&'a str),
    /// All keys of one keyspace, by its id.
    Keyspace(&'a str),
    /// All keys of the namespace.
    Namespace,
    /// An identifier that a caller of `ratelimit.limit` or a gateway chose.
    Identifier(&'a str),
}

impl CounterId {
    /// The counter of a limit. Cost: about 100 ns for names of usual length (two blocks of SHA-256); compute it once where the parts
    /// are known beforehand.
    pub fn limit(namespace: &str, name: &str, subject: Subject<'_>, window_ms: i64) -> Self {
        Self::of(b'l', namespace, name, subject, window_ms)
    }

    /// The counter of a key's credits. Cost as for [`Self::limit`].
    pub fn credits(namespace: &str, key_id: &str) -> Self {
        Self::of(b'c', namespace, "", Subject::Key(key_id), 0)
    }

    /// The counter that [`Self::as_bytes`] was written down for.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes, uniformly spread.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The first eight bytes as a number, for shards and tables.
    pub fn prefix(&self) -> u64 {
        self.0.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
    }

    fn of(what: u8, namespace: &str, name: &str, subject: Subject<'_>, window_ms: i64) -> Self {
        let (whose, subject) = match subject {
            Subject::Key(id) => (b'k', id),
            Subject::Identity(id) => (b'i', id),
            Subject::Keyspace(id) => (b's', id),
            Subject::Namespace => (b'n', ""),
            Subject::Identifier(text) => (b'f', text),
        };
        let mut hash = Sha256::new_with_prefix(DOMAIN);
        hash.update([what, whose]);
        hash.update(window_ms.to_le_bytes());
        for text in [namespace, name, subject] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        let digest: [u8; 32] = hash.finalize().into();
        Self(digest.first_chunk().copied().unwrap_or_default())
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for CounterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for CounterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CounterId({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Counters are shared between pods and kept across restarts: a new value here means that all of them start from 0.
    #[test]
    fn golden_values() {
        let id = CounterId::limit("team-a", "requests", Subject::Key("key_4f9k2m7q1x8w3z5a"), 60_000);
        assert_eq!(format!("{id:?}"), "CounterId(70736b8347b4bbdb578947ee0820ddde)");
        assert_eq!(
            format!("{:?}", CounterId::credits("team-a", "key_4f9k2m7q1x8w3z5a")),
            "CounterId(744095c1c0090dd7e2253e5b5432a294)"
        );
    }

    #[test]
    fn no_two_counters_are_one() {
        let subjects = [
            Subject::Key("a"),
            Subject::Identity("a"),
            Subject::Keyspace("a"),
            Subject::Identifier("a"),
            Subject::Identifier("aa"),
            Subject::Identifier(""),
            Subject::Namespace,
        ];
        let mut seen = BTreeSet::new();
        for namespace in ["a", "ab", "a-b", "a:b"] {
            for name in ["b-a", "ba", "a", "", "credits", "b:a"] {
                for subject in subjects {
                    for window in [0, 1_000, 60_000] {
                        assert!(
                            seen.insert(CounterId::limit(namespace, name, subject, window)),
                            "{namespace} {name} {subject:?}"
                        );
                    }
                }
            }
            assert!(seen.insert(CounterId::credits(namespace, "a")));
        }
    }
}
