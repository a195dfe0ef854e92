//! Ids of requests: for finding one in logs, and nothing else.

use std::cell::RefCell;

use fastrand::Rng;
use serde::{Serialize, Serializer};

const PREFIX: &[u8; 4] = b"req_";
/// Five bits a character: base 32 of RFC 4648, in lower case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const RANDOM: usize = 16;

thread_local! {
    /// Not for secrets: who sees some ids may know the next.
    static RANDOMNESS: RefCell<Rng> = RefCell::new(seeded());
}

/// `req_` and 16 characters: 80 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestId([u8; PREFIX.len() + RANDOM]);

impl RequestId {
    /// A new one. Cost: about 10 ns; the operating system is asked once a thread.
    pub(crate) fn new() -> Self {
        let (low, high) = RANDOMNESS.with_borrow_mut(|random| (random.u64(..), random.u64(..)));
        let mut bits = u128::from(high) << 64 | u128::from(low);
        let mut id = [0; PREFIX.len() + RANDOM];
        let (prefix, random) = id.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX);
        for character in random {
            *character = ALPHABET[usize::try_from(bits & 31).unwrap_or_default()];
            bits >>= 5;
        }
        Self(id)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn as_str(&self) -> &str {
        // It is ASCII; an empty id would be no harm.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl AsRef<str> for RequestId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

fn seeded() -> Rng {
    // Without the system's randomness the seed is the library's own: a log that is harder to read is better than a request refused.
    getrandom::u64().map_or_else(|_| Rng::new(), Rng::with_seed)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_look_alike_and_differ_on_all_threads() {
        let of_thread = || std::iter::repeat_with(RequestId::new).take(1000).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(of_thread)).collect();
        let ids: Vec<RequestId> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        let texts: HashSet<&str> = ids.iter().map(RequestId::as_str).collect();
        assert_eq!(texts.len(), 4000);
        for text in texts {
            let random = text.strip_prefix("req_").unwrap();
            assert!(random.len() == 16 && random.bytes().all(|byte| ALPHABET.contains(&byte)), "{text}");
        }
    }
}
