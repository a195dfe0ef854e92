//! Waits for a state, with a deadline and an account of what was seen instead. Tests never sleep.

use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

/// Between two looks. A look costs a request on loopback, about 1 ms; with 20 ms a wait adds 10 ms on average and
/// little load.
const INTERVAL: Duration = Duration::from_millis(20);

/// What a probe may return: `bool`, `Option<T>`, `()`, and a `Result` of each of these.
///
/// A `Result<T>` of anything else does not compile, so that `Ok(false)` or `Ok(None)` never counts as success by
/// accident.
pub trait Observation {
    /// What the wait returns.
    type Value;
    /// The value, or what was seen instead.
    fn settle(self) -> Result<Self::Value, String>;
}

impl Observation for () {
    type Value = ();
    fn settle(self) -> Result<(), String> {
        Ok(())
    }
}

impl Observation for bool {
    type Value = ();
    fn settle(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("not yet".to_owned()) }
    }
}

impl<T> Observation for Option<T> {
    type Value = T;
    fn settle(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing yet".to_owned())
    }
}

impl<O: Observation, E: Display> Observation for Result<O, E> {
    type Value = O::Value;
    fn settle(self) -> Result<O::Value, String> {
        self.map_err(|error| format!("{error:#}")).and_then(Observation::settle)
    }
}

/// Looks again and again until the probe sees what it wants. The first look is at once.
///
/// # Errors
/// When the deadline has passed, with `what` and the last thing seen. A probe that hangs is cut off there.
pub async fn eventually<O, F, P>(what: impl Display, deadline: Duration, mut probe: P) -> Result<O::Value>
where
    O: Observation,
    F: Future<Output = O>,
    P: FnMut() -> F,
{
    let started = Instant::now();
    let mut seen = "no answer from the first look".to_owned();
    loop {
        let left = deadline.saturating_sub(started.elapsed());
        match tokio::time::timeout(left, probe()).await.map(Observation::settle) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(instead)) => seen = instead,
            Err(_) => return Err(gave_up(&what, deadline, &seen)),
        }
        if started.elapsed() + INTERVAL >= deadline {
            return Err(gave_up(&what, deadline, &seen));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Checks that something holds for a whole span: for what must *not* happen. Costs the span; keep it short.
///
/// # Errors
/// At the first look that sees something else.
pub async fn throughout<O, F, P>(what: impl Display, span: Duration, mut probe: P) -> Result<()>
where
    O: Observation,
    F: Future<Output = O>,
    P: FnMut() -> F,
{
    let started = Instant::now();
    loop {
        if let Err(instead) = probe().await.settle() {
            bail!("{what}: no longer true after {:.2?}: {instead}", started.elapsed());
        }
        if started.elapsed() >= span {
            return Ok(());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn gave_up(what: &dyn Display, deadline: Duration, seen: &str) -> anyhow::Error {
    anyhow!("gave up after {deadline:.1?} waiting until {what}; last seen: {seen}")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn returns_the_value_of_the_first_look_that_sees_it() {
        let looks = Cell::new(0);
        let value = eventually("the third look", Duration::from_secs(10), || async {
            looks.set(looks.get() + 1);
            (looks.get() == 3).then_some("seen")
        });
        assert_eq!(value.await.unwrap(), "seen");
        assert_eq!(looks.get(), 3);
    }

    #[tokio::test]
    async fn tells_what_was_awaited_and_what_was_seen() {
        let error = eventually("the moon is full", SHORT, || async { Err::<(), _>(anyhow!("half").context("moon")) });
        let text = error.await.unwrap_err().to_string();
        assert!(text.contains("the moon is full") && text.contains("moon: half"), "{text}");
    }

    #[tokio::test]
    async fn an_ok_of_false_or_none_is_not_success() {
        assert!(eventually("true", SHORT, || async { Ok::<_, String>(false) }).await.is_err());
        assert!(eventually("some", SHORT, || async { Ok::<Option<u8>, String>(None) }).await.is_err());
    }

    #[tokio::test]
    async fn a_probe_that_hangs_is_cut_off() {
        assert!(eventually("an answer", SHORT, std::future::pending::<bool>).await.is_err());
    }

    #[tokio::test]
    async fn throughout_fails_at_the_first_exception() {
        let looks = Cell::new(0);
        let held = throughout("below three", Duration::from_secs(10), || async {
            looks.set(looks.get() + 1);
            looks.get() < 3
        });
        assert!(held.await.is_err());
        throughout("always", SHORT, || async { true }).await.unwrap();
    }
}
