//! The root key that a connection presents again and again: its SHA-256 is worked out once.
//!
//! A caller keeps its connection and sends its root key with each request, so half of the hashing of a verification is the same hashing. What a
//! connection remembers is a keyed 128-bit hash of the last `Authorization` header and the SHA-256 of its root key, never the key. **It decides nothing**: the SHA-256 is looked
//! up for each request, so a caller that is revoked is turned away by its next request. The keyed hash is SipHash-2-4 under a random key of this
//! process, so nobody can make a text that passes for another one's root key but by guessing 128 bits against a server that is asked for each.

use std::fmt;
use std::sync::{LazyLock, Mutex, PoisonError};

use keyplane_core::hash::KeyHash;
use siphasher::sip128::SipHasher24;

/// See the module. Requests of one connection share it; those of HTTP/2 may come from several threads.
#[derive(Default)]
pub(super) struct KnownCaller(Mutex<Option<(u128, KeyHash)>>);

impl KnownCaller {
    /// The SHA-256 of the root key in this header, as `read` finds it: `None` for a text that can't be a key. Cost: a keyed hash of the header,
    /// which is an eighth of SHA-256 in software, and an uncontended lock.
    pub(super) fn hash<E>(
        &self,
        header: &[u8],
        read: impl FnOnce() -> Result<Option<KeyHash>, E>,
    ) -> Result<Option<KeyHash>, E> {
        // Without randomness nothing is remembered.
        let Some(secret) = &*SECRET else { return read() };
        let fingerprint = SipHasher24::new_with_key(secret).hash(header).as_u128();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, hash)) = *known
            && of == fingerprint
        {
            return Ok(Some(hash));
        }
        let hash = read()?;
        if let Some(hash) = hash {
            *known = Some((fingerprint, hash));
        }
        Ok(hash)
    }
}

/// Says nothing of what is remembered.
impl fmt::Debug for KnownCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KnownCaller(_)")
    }
}

/// The key of the keyed hash: of this process, for as long as it runs.
static SECRET: LazyLock<Option<[u8; 16]>> = LazyLock::new(|| {
    let mut secret = [0; 16];
    getrandom::fill(&mut secret).ok().map(|()| secret)
});

#[cfg(test)]
mod tests {
    use keyplane_core::key;

    use super::*;

    #[test]
    fn it_is_always_the_hash_of_what_was_presented_now() {
        let (caller, mut read) = (KnownCaller::default(), 0);
        let steps = [
            ("one", 1),
            ("one", 1),
            ("two", 2),
            ("one", 3),
            ("", 4),
            ("", 5),
            ("one", 5),
            ("onf", 6),
            ("a\nb", 7),
            ("one", 8),
        ];
        for (token, reads) in steps {
            let mut hash = || {
                read += 1;
                Ok::<_, ()>(key::presented(token))
            };
            assert_eq!(caller.hash(token.as_bytes(), &mut hash), Ok(key::presented(token)), "{token:?}");
            assert_eq!(read, reads, "{token:?}");
        }
        assert_eq!(caller.hash(b"bad", || Err("bad")), Err("bad"));
        assert!(caller.0.lock().unwrap().is_some_and(|(_, hash)| hash == KeyHash::of("one")));
    }

    #[test]
    fn what_it_remembers_is_not_shown() {
        assert_eq!(format!("{:?}", KnownCaller::default()), "KnownCaller(_)");
    }
}
