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

use super::chase::{Chase, Resident};
use super::objects;

/// Enough for a few hundred milliseconds in each round.
const LOOKUPS: u32 = 2_000_000;
/// Hashes that are fetched before they are looked up, a part of [`LOOKUPS`]: that of a request was just computed and lies in the core's cache, so waiting for the
/// benchmark's own list of a million is no part of a lookup.
const FETCHED: usize = 64;
/// The least of these counts: what is above it is the neighbours' work.
const ROUNDS: usize = 7;

/// Nanoseconds for each lookup, in each thread.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Lookups {
    /// The loop without a lookup: choosing keys and fetching their hashes.
    pub(crate) floor: Threads,
    /// One load that waits for the one before it, at random over as many bytes as the keys take.
    pub(crate) chase: Threads,
    /// Finding the key in the index and reading its record. The processor begins a lookup before the one before it has ended, as it does with
    /// the rest of a request.
    pub(crate) index: Threads,
    /// The same, each lookup waiting for what the one before it found: its loads one after the other, as those of the chase are.
    pub(crate) index_waiting: Threads,
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
    /// What the process holds for all of it.
    pub(crate) resident: Resident,
}

impl Scene {
    pub(crate) fn of(keys: usize, root_key: &str) -> Result<Self> {
        let before = Resident::now()?;
        let index = Arc::new(Index::default());
        let mut mirror = Mirror::new(index.clone(), 1);
        let applied = objects::all(keys).chain([objects::caller(root_key)]).map(with_uid).map(Event::Applied);
        for event in [Event::Restarted].into_iter().chain(applied).chain([Event::Listed]) {
            mirror.apply([(0, event)]);
        }
        ensure!(index.key_count() == keys, "the index holds {} keys", index.key_count());
        let engine = Engine::new(index.clone(), Arc::new(Local::default()));
        let caller = engine.caller(root_key, clock::now()).context("the benchmark's root key is not there")?;
        let resident = Resident::now()?.since(before);
        let hashes = (0..keys).map(|number| KeyHash::of(&objects::plain(number))).collect();
        Ok(Self { mirror, index, engine, caller, hashes, resident })
    }

    pub(crate) fn lookups(&self) -> Result<Lookups> {
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
        let chase = Chase::over(self.resident.bytes)?;
        Ok(Lookups {
            floor: both(&|seed| self.walk(seed, &floor)),
            chase: both(&|seed| chase.follow(seed, LOOKUPS)),
            index: both(&|seed| self.walk(seed, &index)),
            index_waiting: both(&|seed| self.walk_waiting(seed)),
            engine: both(&|seed| self.walk(seed, &engine)),
            hash: fastest(1, &|seed| self.walk(seed, &hash)),
        })
    }

    /// Finds a key and reads its record.
    pub(crate) fn is_found(&self, hash: &KeyHash) -> bool {
        self.index.key(self.caller.namespace, hash, |found| found.record.enabled) == Some(true)
    }

    fn walk(&self, seed: u64, look: &impl Fn(&KeyHash) -> bool) {
        let mut random = Random::new(seed);
        let keys = self.hashes.len();
        let mut fetched = [KeyHash::from_bytes([0; 32]); FETCHED];
        let mut wrong = 0_usize;
        for _ in 0..LOOKUPS as usize / FETCHED {
            fetched.fill_with(|| self.hashes[random.below(keys)]);
            wrong += black_box(&fetched).iter().filter(|hash| !look(hash)).count();
        }
        assert_eq!(wrong, 0, "every key is there and valid");
    }

    /// Which hash is next depends on what the record says, so that no lookup can begin early.
    fn walk_waiting(&self, seed: u64) {
        let mut random = Random::new(seed);
        let keys = self.hashes.len();
        let mut fetched = [KeyHash::from_bytes([0; 32]); FETCHED];
        let mut wrong = 0_usize;
        for _ in 0..LOOKUPS as usize / FETCHED {
            fetched.fill_with(|| self.hashes[random.below(keys)]);
            let mut disabled = 0;
            for place in 0..FETCHED {
                let hash = &black_box(&fetched)[place ^ disabled];
                let enabled = self.index.key(self.caller.namespace, hash, |found| usize::from(found.record.enabled));
                disabled = 1 - enabled.unwrap_or(0);
                wrong += disabled;
            }
        }
        assert_eq!(wrong, 0, "every key is there and valid");
    }
}

fn both(walk: &(impl Fn(u64) + Sync)) -> Threads {
    Threads { one: fastest(1, walk), two: fastest(2, walk) }
}

fn fastest(threads: u64, walk: &(impl Fn(u64) + Sync)) -> f64 {
    (0..ROUNDS).map(|_| round(threads, walk)).fold(f64::INFINITY, f64::min)
}

/// Nanoseconds for each lookup in the slowest thread.
fn round(threads: u64, walk: &(impl Fn(u64) + Sync)) -> f64 {
    let together = &Barrier::new(usize::try_from(threads).unwrap_or(1));
    let timed = |seed| {
        together.wait();
        let began = Instant::now();
        walk(seed);
        began.elapsed().as_secs_f64() * 1e9 / f64::from(LOOKUPS)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (1..=threads).map(|seed| scope.spawn(move || timed(seed))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(f64::NAN)).fold(0.0, f64::max)
    })
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
