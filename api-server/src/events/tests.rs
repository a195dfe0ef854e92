use std::sync::Mutex;

use super::*;

/// Keeps what it takes, up to `room` batches.
#[derive(Clone)]
struct Keeper {
    wants: bool,
    room: usize,
    taken: Arc<Mutex<Vec<Batch>>>,
}

impl EventSink for Keeper {
    fn name(&self) -> &'static str {
        "keeper"
    }

    fn wants_events(&self) -> bool {
        self.wants
    }

    fn take(&self, batch: Batch) -> Result<(), Refused> {
        let mut taken = self.taken.lock().unwrap();
        if taken.len() == self.room {
            return Err(Refused);
        }
        taken.push(batch);
        Ok(())
    }
}

fn keeper(wants: bool, room: usize) -> (Events, Keeper) {
    let keeper = Keeper { wants, room, taken: Arc::default() };
    (Events::new(keeper.clone()), keeper)
}

fn event(number: u64, tag_length: usize) -> Event {
    Event {
        time: Millis(7),
        namespace: "team-a".into(),
        key_id: format!("key_{number}").into(),
        keyspace_id: "api_1".into(),
        external_id: None,
        code: Code::Valid,
        tags: ["x".repeat(tag_length).into()].into(),
        request_id: "req_1".into(),
        spent: 1,
        latency: None,
    }
}

#[test]
fn events_arrive_whole_and_in_order_when_flushed() {
    let (events, keeper) = keeper(true, 10);
    for number in 0..3 {
        events.record(|| event(number, 1));
    }
    assert_eq!((events.stats().queued, events.stats().flushed, events.stats().last_flush), (3, 0, None));
    assert!(keeper.taken.lock().unwrap().is_empty(), "nothing before the flush");
    events.flush();
    let expected = Batch { count: 3, events: (0..3).map(|number| event(number, 1)).collect() };
    assert_eq!(*keeper.taken.lock().unwrap(), [expected]);
    assert_eq!((events.stats().queued, events.stats().flushed), (0, 3));
    assert!(events.stats().last_flush.is_some());
    events.flush();
    assert_eq!(keeper.taken.lock().unwrap().len(), 1, "no empty batches");
}

#[test]
fn a_full_buffer_is_given_on_by_count_or_by_size() {
    let (events, keeper) = keeper(true, 10);
    for number in 0..1_025 {
        events.record(|| event(number, 1));
    }
    assert_eq!((keeper.taken.lock().unwrap()[0].count, events.stats().queued), (1024, 1));
    events.flush();
    for number in 0..25 {
        events.record(|| event(number, 40 * 1024));
    }
    assert_eq!(events.stats().queued, 25);
    events.record(|| event(25, 40 * 1024));
    assert_eq!((events.stats().queued, keeper.taken.lock().unwrap()[2].count), (0, 26), "a megabyte of tags");
}

#[test]
fn a_sink_that_counts_gets_numbers_and_no_event_is_made() {
    let (events, keeper) = keeper(false, 10);
    for _ in 0..5 {
        events.record(|| unreachable!("made for nobody"));
    }
    events.flush();
    assert_eq!(*keeper.taken.lock().unwrap(), [Batch { count: 5, events: Vec::new() }]);
}

#[test]
fn what_a_sink_has_no_room_for_is_lost_and_counted() {
    let (events, _) = keeper(true, 1);
    for number in 0..3 {
        events.record(|| event(number, 1));
        events.flush();
    }
    assert_eq!((events.stats().flushed, events.stats().dropped), (1, [2, 0]));
}

#[test]
fn closing_gives_on_the_last_ones_and_counts_what_comes_later() {
    let events = Events::default();
    events.record(|| event(1, 1));
    events.close();
    events.record(|| event(2, 1));
    let stats = events.stats();
    assert_eq!((stats.queued, stats.flushed, stats.dropped), (0, 1, [0, 1]));
}

#[tokio::test]
async fn the_flusher_ends_with_a_last_flush() {
    let events = Arc::new(Events::default());
    let stop = CancellationToken::new();
    let flushing = tokio::spawn(events.clone().keep_flushing(stop.clone()));
    events.record(|| event(1, 1));
    stop.cancel();
    flushing.await.unwrap();
    assert_eq!((events.stats().queued, events.stats().flushed), (0, 1));
}

#[test]
fn sixteen_threads_lose_nothing() {
    let (events, keeper) = keeper(true, usize::MAX);
    std::thread::scope(|scope| {
        for thread in 0..16_u64 {
            let events = &events;
            scope.spawn(move || (0..5_000).for_each(|number| events.record(|| event(thread * 5_000 + number, 1))));
        }
        scope.spawn(|| (0..100).for_each(|_| events.flush()));
    });
    events.close();
    let mut seen: Vec<Box<str>> = keeper
        .taken
        .lock()
        .unwrap()
        .iter()
        .flat_map(|batch| batch.events.iter().map(|event| event.key_id.clone()))
        .collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((seen.len(), events.stats().flushed), (80_000, 80_000));
}
