//! References: who has a name, who refers to it, and which keys a limit takes, as statuses of the objects.
//!
//! ```text
//! seven watches -> ledger (pure: what is kept, what a change touches, whose turn is when) -> decide, status (pure) -> write
//! ```
//!
//! One task for each scope. It holds what it needs of every object (no metadata of customers, no Secret) and is told of each change; cost and
//! writes follow from what changed, not from how much there is: a change of one key asks each limit of its namespace once, and writes no more
//! statuses than say something else because of it.
//!
//! - Names mean something only within their namespace: nothing can refer to another namespace, so there is nothing to consent to.
//! - Of two objects with one name the older is used, by the same seniority as in verify pods.
//! - A dangling reference is never fatal, here or anywhere: it shows as `ReferencesResolved` and heals by itself. A key that never had one has
//!   no such condition, which saves one write for each key.
//! - Statuses are applied under [`keyplane_api::REFERENCES_FIELD_MANAGER`], so that nothing here fights with issuance.

mod decide;
mod exceptions;
mod ledger;
mod matched;
mod names;
mod namespace;
mod object;
mod status;
mod watch;
mod write;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::ledger::{Ledger, Write};
use self::object::Place;
use crate::clock;
use crate::config::Scope;
use crate::context::{Context, Failures};
use crate::drive::Error;
use crate::metrics::{Controller, Outcome};

/// In logs and metrics.
const NAME: &str = "References";
/// Writes at the same time: half of what a controller of keys may have, because these are in nobody's way.
const WRITERS: usize = 8;
/// Objects looked at before the watches are heard again, a few microseconds each.
const LOOKS: usize = 512;

/// Runs one task for each scope, until `stop`; writes under way are finished.
pub async fn run(context: Context, scopes: Vec<Scope>, stop: CancellationToken) {
    let tasks = scopes.iter().map(|scope| {
        let task = Task {
            ledger: Ledger::default(),
            queue: BTreeSet::new(),
            writing: BTreeSet::new(),
            failures: Failures::default(),
            begun: Instant::now(),
            context: context.clone(),
        };
        task.run(scope, &stop)
    });
    futures::future::join_all(tasks).await;
}

struct Task {
    context: Context,
    ledger: Ledger,
    /// Objects to look at, each once.
    queue: BTreeSet<(Arc<str>, Place)>,
    /// Objects whose status is being written.
    writing: BTreeSet<(Arc<str>, Place)>,
    failures: Failures,
    begun: Instant,
}

impl Task {
    async fn run(mut self, scope: &Scope, stop: &CancellationToken) {
        let mut changes = watch::changes(&self.context, scope);
        let mut writes = FuturesUnordered::new();
        loop {
            for _ in 0..LOOKS {
                if writes.len() >= WRITERS {
                    break;
                }
                let Some(due) = self.queue.pop_first() else { break };
                if let Some(write) = self.look(due) {
                    let client = self.context.client.clone();
                    let begun = Instant::now();
                    writes.push(async move { (write::write(client, &write).await, write, begun.elapsed()) });
                }
            }
            let turn = self.ledger.next_turn().map(|at| self.begun + at);
            let more = !self.queue.is_empty() && writes.len() < WRITERS;
            tokio::select! {
                () = stop.cancelled() => break,
                Some(change) = changes.next() => match change {
                    Ok(change) => self.ledger.observe(change, self.begun.elapsed()),
                    Err(error) => {
                        self.context.metrics.watch_errors.get_or_create(&Controller { controller: NAME }).inc();
                        tracing::warn!(controller = NAME, error = %error, "a watch broke and begins again");
                    }
                },
                Some((result, write, took)) = writes.next() => self.finished(result, write, took),
                () = sleep_until(turn.unwrap_or(self.begun)), if turn.is_some() => {
                    self.queue.extend(self.ledger.due(self.begun.elapsed()));
                }
                () = std::future::ready(()), if more => {}
            }
        }
        while let Some((result, write, took)) = writes.next().await {
            self.finished(result, write, took);
        }
    }

    /// Looks at an object; returns the write that is due.
    fn look(&mut self, due: (Arc<str>, Place)) -> Option<Write> {
        let now = self.begun.elapsed();
        if self.writing.contains(&due) {
            // What it shows is known only when the write is over.
            self.ledger.look_again(&due.0, due.1, now + ledger::PASS);
            return None;
        }
        let write = self.ledger.write(&due.0, &due.1, now, &whole_seconds(clock::now()))?;
        self.writing.insert(due);
        Some(write)
    }

    fn finished(&mut self, result: Result<(), Error>, write: Write, took: Duration) {
        let now = self.begun.elapsed();
        let place = (write.namespace.clone(), write.place.clone());
        self.writing.remove(&place);
        let metrics = &self.context.metrics;
        let outcome = result.as_ref().map_or_else(|error| error.class().as_str(), |()| "ok");
        metrics.reconciles.get_or_create(&Outcome { controller: NAME, result: outcome }).inc();
        metrics.reconcile_seconds.get_or_create(&Controller { controller: NAME }).observe(took.as_secs_f64());
        let name = format!("{}/{}/{}", place.1.kind.as_str(), place.0, place.1.name);
        match result {
            Ok(()) => {
                metrics.status_writes.get_or_create(&Controller { controller: NAME }).inc();
                self.failures.succeeded(&name);
                self.ledger.written(write, now);
            }
            Err(error) => {
                let wait = self.failures.failed(&name, error.class());
                tracing::warn!(controller = NAME, object = name, error = %error, retry.after = ?wait, "a status was not written");
                self.ledger.look_again(&place.0, place.1, now + wait);
            }
        }
    }
}

/// As the API server keeps times, so that what comes back is what was written.
fn whole_seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}
