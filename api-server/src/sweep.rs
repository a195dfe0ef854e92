//! Forgetting what is over, a piece at a time, and telling metrics what is held.

use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::counters::Local;
use crate::credits::Balances;
use crate::engine::Engine;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::migration::Migrations;

/// Between two pieces. All shards of the counters have their turn in about half a minute.
const EVERY: Duration = Duration::from_millis(100);

/// What is swept or shown.
pub(crate) struct Swept {
    pub(crate) counters: Arc<Local>,
    pub(crate) balances: Arc<Balances>,
    pub(crate) migrations: Arc<Migrations>,
    pub(crate) events: Arc<Events>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Sweeps for ever.
pub(crate) async fn sweep(Swept { counters, balances, migrations, events, engine, metrics }: Swept) {
    let mut ticks = tokio::time::interval(EVERY);
    for round in 0_usize.. {
        ticks.tick().await;
        counters.sweep(round, clock::now());
        engine.sweep_migrations(round);
        if round % 50 == 0 {
            balances.forget_gone(clock::now());
            metrics.counters_hold(counters.held());
            metrics.balances_hold(balances.held());
            metrics.migrations_hold(migrations.held(), migrations.lost());
            metrics.events_are(&events.stats());
        }
    }
}
