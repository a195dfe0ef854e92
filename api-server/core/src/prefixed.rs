//! Keys of the form `prefix_short_long` that were imported as the SHA-256 of their long token alone.
//!
//! Such a key can't be found by the hash of the whole key, because nobody knows that hash before the key is first presented. Until then
//! it is found under a *lookup hash*, made of the migration that it came with and the hash of its long token:
//!
//! ```text
//! spec.key.prefixedHash  { sha256, migrationId }  -> lookup hash -> record
//! presented with a migrationId: SHA-256(long token), migrationId -> lookup hash
//! ```

use sha2::{Digest, Sha256};

use crate::hash::KeyHash;

/// Begins what a lookup hash is made of. No text begins with this byte, so no key has a lookup hash as its own: knowing the hash of a long
/// token is not enough to make a key that is found.
const DOMAIN: &[u8] = b"\xffkeyplane/prefixed-hash/1";

/// Characters of the short token that `start` shows.
const START_LENGTH: usize = 4;

/// A key presented with a migration: how to find it there, and what to show of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefixed {
    /// Under which it is found.
    pub lookup: KeyHash,
    /// What people recognise it by: the prefix and the first four characters of the short token, which is no secret.
    pub start: Box<str>,
}

/// A key that does not have the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("with a migrationId the key must have the form prefix_short_long")]
pub struct NotPrefixed;

impl Prefixed {
    /// Takes a presented key apart, from the right: the prefix may hold underscores, the two tokens can't. Cost: two SHA-256.
    ///
    /// # Errors
    /// When the key has fewer than three parts, or nothing behind its last underscore.
    pub fn read(plain: &str, migration_id: &str) -> Result<Self, NotPrefixed> {
        let (head, long) = plain.rsplit_once('_').ok_or(NotPrefixed)?;
        let (prefix, short) = head.rsplit_once('_').ok_or(NotPrefixed)?;
        if long.is_empty() {
            return Err(NotPrefixed);
        }
        let lookup = lookup(migration_id, KeyHash::of(long));
        let start = prefix.chars().chain(['_']).chain(short.chars().take(START_LENGTH)).collect();
        Ok(Self { lookup, start })
    }
}

/// Under which hash a key is found that was imported with this migration as the hash of its long token.
pub fn lookup(migration_id: &str, long_token: KeyHash) -> KeyHash {
    // The last part has a fixed length, so the parts can't be cut in another way.
    let digest = Sha256::new().chain_update(DOMAIN).chain_update(migration_id).chain_update(long_token.as_bytes());
    KeyHash::from_bytes(digest.finalize().into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(plain: &str) -> Result<(KeyHash, String), NotPrefixed> {
        Prefixed::read(plain, "seam").map(|key| (key.lookup, key.start.into()))
    }

    #[test]
    fn the_long_token_stands_behind_the_last_underscore() {
        // Key and digest of the README of seamapi/prefixed-api-key.
        let documented = "d70d981d87b449c107327c2a2afbf00d4b58070d6ba571aac35d7ea3e7c79f37";
        let expected = lookup("seam", KeyHash::parse(documented).unwrap());
        let whole = "mycompany_BRTRKFsL_51FwqftsmMDHHbJAMEXXHCgG";
        assert_eq!(read(whole), Ok((expected, "mycompany_BRTR".to_owned())));
    }

    #[test]
    fn the_prefix_may_hold_underscores() {
        let long = lookup("seam", KeyHash::of("long"));
        for (key, start) in
            [("p_short_long", "p_shor"), ("a_b_c_sh_long", "a_b_c_sh"), ("__long", "_"), ("é_ßøåéü_long", "é_ßøåé")]
        {
            assert_eq!(read(key), Ok((long, start.to_owned())), "{key}");
        }
    }

    #[test]
    fn fewer_than_three_parts_are_none() {
        for key in ["", "long", "_long", "prefix_long", "prefix_short_", "_"] {
            assert_eq!(read(key), Err(NotPrefixed), "{key}");
        }
    }

    #[test]
    fn migrations_do_not_meet_and_a_lookup_hash_is_no_hash_of_a_text() {
        let long = KeyHash::of("long");
        assert_ne!(lookup("seam", long), lookup("team", long));
        assert_ne!(lookup("seam", long), long);
        assert!(String::from_utf8(DOMAIN.to_vec()).is_err());
    }

    proptest! {
        #[test]
        fn agrees_with_splitting_at_every_underscore(plain in "[ab_]{0,12}") {
            let parts: Vec<&str> = plain.split('_').collect();
            let long = parts.last().copied().unwrap_or_default();
            let expected = if parts.len() < 3 || long.is_empty() { Err(NotPrefixed) } else { Ok(lookup("m", KeyHash::of(long))) };
            prop_assert_eq!(Prefixed::read(&plain, "m").map(|key| key.lookup), expected);
        }
    }
}
