//! The longest that one request may take.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// Reading the body included.
pub(super) const REQUEST_TIME: Duration = Duration::from_secs(60);

/// The time was over before the work was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeIsOver;

/// Does the work unless it takes longer than [`REQUEST_TIME`]. The timer begins with the first wait: work that never waits, as most
/// verifications, costs none.
pub(super) async fn in_time<F: Future>(work: F) -> Result<F::Output, TimeIsOver> {
    let mut work = pin!(work);
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        if let Poll::Ready(output) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        let timer = timer.get_or_insert_with(|| Box::pin(sleep(REQUEST_TIME)));
        timer.as_mut().poll(cx).map(|()| Err(TimeIsOver))
    })
    .await
}
