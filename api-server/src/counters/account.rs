//! On whose account new counters go, and how many one account may have, so that nobody takes the whole table.
//!
//! ```text
//! namespace: fewer than 4 times what is still free      one alone gets 80 % of the table, two 44 % each, n of them 4 / (4n + 1)
//! key:       at most 10,000                             a valid key is all that v1 asks of who makes counters (inline limits)
//! ```
//! The share of a namespace follows what is free instead of being a fixed part: a server with one namespace gives it nearly everything,
//! and however many there are, something stays free for the next. Counters that exist go on in any case; only new ones are refused, and
//! a refusal is a denial, never an admission.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::index::NamespaceId;

/// Whose counters those are that a batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub(super) namespace: NamespaceId,
    pub(super) key: Option<u16>,
}

impl Account {
    /// Of a key of this namespace; `key` is a number that is spread uniformly, such as the beginning of its hash.
    #[expect(clippy::cast_possible_truncation, reason = "any 16 bits will do")]
    pub const fn of_key(namespace: NamespaceId, key: u64) -> Self {
        Self { namespace, key: Some(key as u16) }
    }

    /// Of the namespace alone: a caller's own wish (`ratelimit.limit`).
    pub const fn of_namespace(namespace: NamespaceId) -> Self {
        Self { namespace, key: None }
    }
}

/// Why no new counter may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The table is full.
    Full,
    /// The namespace has its share.
    Namespace,
    /// The key has its own.
    Key,
}

/// How much of the free places a namespace may hold; see the module.
const SHARE: usize = 4;
/// Counters that one key may have begun and that still run. A key that makes up names of limits for its users has that many of them in a
/// window; 320 keys that do so are at the end of what one namespace can have.
pub(super) const MAX_PER_KEY: u32 = 10_000;
/// Keys are told apart by 16 bits: 256 KiB in all, whatever the number of keys. Two keys of which one floods meet once in 65,536.
const BUCKETS: usize = 1 << 16;

/// How many counters each key has begun, all shards together.
pub(super) struct Keys {
    buckets: Box<[AtomicU32]>,
    max: u32,
}

impl Keys {
    pub(super) fn new(max: u32) -> Self {
        Self { buckets: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect(), max }
    }

    /// Threads that ask at once may all be told yes: a few counters over the limit, one for each thread.
    pub(super) fn has_room(&self, key: u16) -> bool {
        self.buckets[usize::from(key)].load(Ordering::Relaxed) < self.max
    }

    pub(super) fn begun(&self, key: u16) {
        self.buckets[usize::from(key)].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn forgotten(&self, key: u16) {
        self.buckets[usize::from(key)].fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many counters each namespace has in one shard. Counters are spread uniformly, so a share of each shard is a share of the table.
#[derive(Default)]
pub(super) struct Namespaces(HashMap<NamespaceId, usize>);

impl Namespaces {
    /// Whether the namespace may begin one more where so many places are free.
    pub(super) fn has_room(&self, namespace: NamespaceId, free: usize) -> bool {
        self.held(namespace) < SHARE * free
    }

    pub(super) fn begun(&mut self, namespace: NamespaceId) {
        *self.0.entry(namespace).or_default() += 1;
    }

    pub(super) fn forgotten(&mut self, namespace: NamespaceId) {
        if let Some(held) = self.0.get_mut(&namespace) {
            *held -= 1;
            if *held == 0 {
                self.0.remove(&namespace);
            }
        }
    }

    fn held(&self, namespace: NamespaceId) -> usize {
        self.0.get(&namespace).copied().unwrap_or_default()
    }
}
