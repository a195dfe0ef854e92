//! The time of one lookup, without HTTP: index and engine inside of this process.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use keyplane_api_server::clock;
use keyplane_api_server::counters::Local;
use keyplane_api_server::engine::{Engine, Found, Request};
use keyplane_api_server::feed::Mirror;
use keyplane_api_server::index::{CallerEntry, Index};
use keyplane_api_server::registry::{Event, Object};
use keyplane_core::hash::KeyHash;
use keyplane_core::verify::Code;
use serde::Serialize;

use super::objects;

/// Enough for a few hundred milliseconds in each round.
const LOOKUPS: u32 = 2_000_000;
/// The least of these counts: what is above it is the neighbours' work.
const ROUNDS: usize = 7;

/// Nanoseconds for each lookup, in each thread.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Lookups {
    pub(crate) floor: Threads,
    /// Finding the key in the index and reading its record.
    pub(crate) index: Threads,
    /// The whole verdict: also the caller's rights and the key's state; without hashing the plain key and without HTTP.
    pub(crate) engine: Threads,
    /// SHA-256 of the plain key, which each request pays once for the key and once for the caller.
    pub(crate) hash: f64,
}

#[derive(Clone, Copy, Serialize)]
pub(crate) struct Threads {
    pub(crate) one: f64,
    pub(crate) two: f64,
}

/// Every key in an index, with its writer.
pub(crate) struct Scene {
    pub(crate) mirror: Mirror,
    pub(crate) index: Arc<Index>,
    engine: Engine,
    pub(crate) caller: CallerEntry,
    pub(crate) hashes: Vec<KeyHash>,
}

impl Scene {
    pub(crate) fn of(keys: usize, root_key: &str) -> Result<Self> {
        let index = Arc::new(Index::default());
        let mut mirror = Mirror::new(index.clone(), 1);
        let applied = objects::all(keys).chain([objects::caller(root_key)]).map(with_uid).map(Event::Applied);
        for event in [Event::Restarted].into_iter().chain(applied).chain([Event::Listed]) {
            mirror.apply([(0, event)]);
        }
        ensure!(index.key_count() == keys, "the index holds {} keys", index.key_count());
        let engine = Engine::new(index.clone(), Arc::new(Local::default()));
        let caller = engine.caller(root_key, clock::now()).context("the benchmark's root key is not there")?;
        let hashes = (0..keys).map(|number| KeyHash::of(&objects::plain(number))).collect();
        Ok(Self { mirror, index, engine, caller, hashes })
    }

    pub(crate) fn lookups(&self) -> Lookups {
        let now = clock::now();
        let floor = |hash: &KeyHash| hash.prefix() != 1;
        let index = |hash: &KeyHash| self.is_found(hash);
        let engine = |hash: &KeyHash| {
            let request = Request::new(*hash);
            self.engine
                .verify(&self.caller, &request, &mut Found::default(), now)
                .is_ok_and(|verdict| verdict.code == Code::Valid)
        };
        let plain = objects::plain(7);
        let hash = |_: &KeyHash| KeyHash::of(black_box(&plain)).prefix() != 1;
        Lookups {
            floor: self.both(&floor),
            index: self.both(&index),
            engine: self.both(&engine),
            hash: self.fastest(1, &hash),
        }
    }

    /// Finds a key and reads its record.
    pub(crate) fn is_found(&self, hash: &KeyHash) -> bool {
        self.index.key(self.caller.namespace, hash, |found| found.record.enabled) == Some(true)
    }

    fn both(&self, look: &(impl Fn(&KeyHash) -> bool + Sync)) -> Threads {
        Threads { one: self.fastest(1, look), two: self.fastest(2, look) }
    }

    fn fastest(&self, threads: u64, look: &(impl Fn(&KeyHash) -> bool + Sync)) -> f64 {
        (0..ROUNDS).map(|_| self.round(threads, look)).fold(f64::INFINITY, f64::min)
    }

    /// Nanoseconds for each lookup in the slowest thread.
    fn round(&self, threads: u64, look: &(impl Fn(&KeyHash) -> bool + Sync)) -> f64 {
        let together = &Barrier::new(usize::try_from(threads).unwrap_or(1));
        thread::scope(|scope| {
            let workers: Vec<_> =
                (1..=threads).map(|seed| scope.spawn(move || self.walk(seed, together, look))).collect();
            let slowest = workers.into_iter().filter_map(|worker| worker.join().ok());
            slowest.fold(0.0, f64::max)
        })
    }

    fn walk(&self, seed: u64, together: &Barrier, look: &impl Fn(&KeyHash) -> bool) -> f64 {
        let mut random = Random::new(seed);
        let keys = self.hashes.len();
        let mut wrong = 0_usize;
        together.wait();
        let began = Instant::now();
        for _ in 0..LOOKUPS {
            wrong += usize::from(!look(&self.hashes[random.below(keys)]));
        }
        let nanoseconds = began.elapsed().as_secs_f64() * 1e9 / f64::from(LOOKUPS);
        assert_eq!(black_box(wrong), 0, "every key is there and valid");
        nanoseconds
    }
}

/// xorshift64: a few instructions, and no two neighbours are near each other.
pub(crate) struct Random(u64);

impl Random {
    /// Differs by its seed, which is not 0.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Even over the numbers below `end`, without a division.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(((self.0 >> 32) * end as u64) >> 32).unwrap_or_default()
    }
}

/// As a registry would have stored it: ids come from uids.
pub(crate) fn with_uid(mut object: Object) -> Object {
    let name = object.metadata().name.clone().unwrap_or_default();
    let digits = KeyHash::of(&name).to_hex();
    let uid = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| digits[part].to_owned()).join("-");
    object.metadata_mut().uid = Some(uid);
    object
}
