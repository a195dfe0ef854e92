//! The time of one lookup, without HTTP: index and engine inside of this process.

use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use keyplane_api_server::clock;
use keyplane_api_server::counters::Local;
use keyplane_api_server::engine::{Engine, Request};
use keyplane_api_server::feed::Feed;
use keyplane_api_server::index::{CallerEntry, Index};
use keyplane_api_server::metrics::Metrics;
use keyplane_api_server::readiness::Readiness;
use keyplane_api_server::registry::embedded::Embedded;
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

struct Scene {
    index: Arc<Index>,
    engine: Engine,
    caller: CallerEntry,
    hashes: Vec<KeyHash>,
}

pub(crate) async fn measure(store: &Path, keys: usize, root_key: &str) -> Result<Lookups> {
    let (index, readiness) = (Arc::new(Index::default()), Readiness::default());
    let feed = Feed { index: index.clone(), readiness: readiness.clone(), metrics: Arc::new(Metrics::default()) };
    let feeding = tokio::spawn(feed.run(Arc::new(Embedded::open(store)?), Vec::new()));
    readiness.wait_for_index().await;
    feeding.abort();
    ensure!(index.key_count() == keys, "the index holds {} keys", index.key_count());
    let engine = Engine::new(index.clone(), Arc::new(Local::default()));
    let caller = engine.caller(root_key, clock::now()).context("the benchmark's root key is not in the store")?;
    let hashes = (0..keys).map(|number| KeyHash::of(&objects::plain(number))).collect();
    let scene = Scene { index, engine, caller, hashes };
    tokio::task::spawn_blocking(move || scene.measure()).await.context("a measurement panicked")
}

impl Scene {
    fn measure(&self) -> Lookups {
        let now = clock::now();
        let floor = |hash: &KeyHash| hash.prefix() != 1;
        let index = |hash: &KeyHash| {
            let enabled = self.index.key(self.caller.namespace, hash, |entry| entry.record.enabled);
            enabled == Some(true)
        };
        let engine = |hash: &KeyHash| {
            let request = Request::new(*hash);
            self.engine.verify(&self.caller, &request, now).is_ok_and(|verdict| verdict.code == Code::Valid)
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
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let keys = self.hashes.len() as u64;
        let mut wrong = 0_usize;
        together.wait();
        let began = Instant::now();
        for _ in 0..LOOKUPS {
            // xorshift64: a few instructions, and no two neighbours are near each other.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // The upper half times the count: even over all keys without a division.
            let place = ((random >> 32) * keys) >> 32;
            wrong += usize::from(!look(&self.hashes[usize::try_from(place).unwrap_or_default()]));
        }
        let nanoseconds = began.elapsed().as_secs_f64() * 1e9 / f64::from(LOOKUPS);
        assert_eq!(black_box(wrong), 0, "every key is there and valid");
        nanoseconds
    }
}
