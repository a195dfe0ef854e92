//! What one change costs while two threads look up keys as fast as they can.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use keyplane_api_server::registry::{Event, Object};
use nix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::lookup::{Random, Scene, with_uid};
use super::objects;
use super::statistics::{Samples, Summary};

/// Changes that are measured.
const CHANGES: usize = 3_000;
/// Between two changes, as in life they don't follow each other without a pause.
const PAUSE: Duration = Duration::from_micros(500);
const READERS: u64 = 2;
/// Lookups between two looks at whether it is over.
const STRETCH: u32 = 1_000;

/// From the event to the swapped shard.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Changes {
    /// By the clock, in milliseconds: when a reader has its core, the writer waits, and that is in it.
    pub(crate) clock: Summary,
    /// Its own work, in milliseconds.
    pub(crate) work: Summary,
    /// Nanoseconds for each lookup of a reader meanwhile, of its own processor time.
    pub(crate) lookup: f64,
    /// How often a reader gave up its core because it had to wait for something.
    pub(crate) readers_waited: u64,
}

struct Reader {
    nanoseconds: f64,
    waited: u64,
}

pub(crate) fn measure(scene: &mut Scene) -> Result<Changes> {
    let Scene { mirror, index, caller, hashes, .. } = scene;
    let (index, caller, hashes) = (&*index, &*caller, &*hashes);
    let stop = &AtomicBool::new(false);
    let read = move |seed: u64| -> Result<Reader> {
        let mut random = Random::new(seed);
        let (waited, began, mut lookups) = (waits()?, processor_time()?, 0);
        while !stop.load(Ordering::Relaxed) {
            for _ in 0..STRETCH {
                // A key may be away just now.
                let _ = index.key(caller.namespace, &hashes[random.below(hashes.len())], |found| found.record.enabled);
            }
            lookups += STRETCH;
        }
        let nanoseconds = processor_time()?.saturating_sub(began).as_secs_f64() * 1e9 / f64::from(lookups.max(1));
        Ok(Reader { nanoseconds, waited: waits()? - waited })
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (1..=READERS).map(|seed| scope.spawn(move || read(seed))).collect();
        let (mut clock, mut work) = (Samples::default(), Samples::default());
        let mut written: Result<()> = Ok(());
        for event in events(hashes.len()) {
            thread::sleep(PAUSE);
            let (began, worked) = (Instant::now(), processor_time());
            mirror.apply([(0, event)]);
            clock.add(began.elapsed());
            written = written.and_then(|()| {
                work.add(processor_time()?.saturating_sub(worked?));
                Ok(())
            });
        }
        stop.store(true, Ordering::Relaxed);
        written?;
        ensure!(index.key_count() == hashes.len(), "a change was lost: {} keys are left", index.key_count());
        let (mut lookup, mut readers_waited) = (0.0_f64, 0);
        for reader in readers {
            let reader = reader.join().map_err(|_| anyhow::anyhow!("a reader panicked"))??;
            (lookup, readers_waited) = (lookup.max(reader.nanoseconds), readers_waited + reader.waited);
        }
        Ok(Changes { clock: clock.summary(), work: work.summary(), lookup, readers_waited })
    })
}

/// A key changes, goes and comes again.
fn events(keys: usize) -> impl Iterator<Item = Event> {
    let mut random = Random::new(7);
    let key = |number| with_uid(objects::key(number).into());
    (0..CHANGES / 3).flat_map(move |step| {
        let number = random.below(keys);
        let mut changed = objects::key(number);
        changed.spec.display_name = Some(format!("Change {step}"));
        let object: Object = with_uid(changed.into());
        [Event::Applied(object), Event::Deleted(key(number).key()), Event::Applied(key(number))]
    })
}

fn processor_time() -> Result<Duration> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).context("read the thread's processor time")
}

/// How often this thread gave up its core of its own accord: a lock, a page of a file, a sleep.
fn waits() -> Result<u64> {
    let status = fs::read_to_string("/proc/thread-self/status").context("read the thread's status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).context("no voluntary_ctxt_switches")
}
