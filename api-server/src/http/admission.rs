//! Who gets in when there is too much to do: overload is answered, not died of.
//!
//! ```text
//! head -> enter: a place, or 503      body -> Metered: 16 KiB are part of the place, more is of the common budget, or 503;
//!                                             all of it in time, or 408
//! ```
//! Nothing waits for a place or for budget: who gets none is told at once, with `Retry-After`. So requests that are refused cost little,
//! and those that are served have all they need. As ordinary bodies fit into the place, a flood of large ones sheds large ones only.
//!
//! **Arithmetic**, all at their most at once: 10,000 places of a head of 64 KiB and 16 KiB of body are 800 MiB, large bodies 128 MiB more.
//! What a body becomes once it is complete is bounded where it is read ([`super::body`]), and only as many are read at once as there are
//! workers. **Cost**: for a body that has come with its head, two atomic additions to one shared number and none to any other; no timer.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::metrics::Load;

/// Requests under way at once: one for each connection that may be open. Only requests that wait for something add up (for their body, as
/// a rule), so it is a bound for HTTP/2, where one connection has many.
const MAX_REQUESTS: i64 = 10_000;
/// Bytes of body that belong to the place. The longest verification that people write has some hundred bytes.
const FREE_BODY_BYTES: usize = 16 * 1024;
/// Bytes of bodies above that, of all requests together: a dozen of the largest.
const MAX_BODY_BYTES: i64 = 128 * 1024 * 1024;
/// From the first wait for a body to its end. The longest that can pass its rules has less than 1 MiB and takes this time at 1 Mbit/s.
const BODY_TIME: Duration = Duration::from_secs(10);

/// How much may be under way. [`Default`] is what the server runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Requests.
    pub requests: i64,
    /// Bytes of bodies above what belongs to a request's place.
    pub body_bytes: i64,
    /// For one body to arrive.
    pub body_time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { requests: MAX_REQUESTS, body_bytes: MAX_BODY_BYTES, body_time: BODY_TIME }
    }
}

/// See the module. Each connection has a clone in an [`Arc`] of its own, so that places count their references there and not on one
/// number that all threads share.
#[derive(Clone)]
pub struct Admission {
    bounds: Bounds,
    load: Load,
}

/// There is no place: the answer is a 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A request's right to be served. Dropping it gives the place back.
pub struct Place(Arc<Admission>);

impl Admission {
    /// Within these bounds, counting on these gauges, which therefore belong to it alone.
    pub const fn new(bounds: Bounds, load: Load) -> Self {
        Self { bounds, load }
    }

    /// A place for one more request, if there is one. `None` stands for a request that needs none: health is never refused, or overload
    /// would look like death and be made worse by a restart.
    pub(crate) fn enter(self: &Arc<Self>, path: &str) -> Result<Option<Place>, Full> {
        if path.starts_with("/health/") || path == "/v2/liveness" {
            return Ok(None);
        }
        // Taken first and looked at then: threads that come at once can't all see the last place free.
        let place = Place(self.clone());
        if self.load.requests.inc() < self.bounds.requests {
            return Ok(Some(place));
        }
        self.load.shed_requests.inc();
        Err(Full)
    }

    /// The body, bounded in bytes and time.
    pub(crate) fn meter<B>(self: &Arc<Self>, body: B) -> Metered<B> {
        Metered { body, admission: self.clone(), seen: 0, taken: 0, waits: Waits::Not }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.load.requests.dec();
    }
}

/// A request's body on its way in. What it took of the budget goes back when it is dropped, which is when it has been read.
pub struct Metered<B> {
    body: B,
    admission: Arc<Admission>,
    /// Bytes that have come.
    seen: usize,
    /// Bytes of the common budget.
    taken: i64,
    waits: Waits,
}

/// How long the client has let us wait.
enum Waits {
    Not,
    /// Asked once in vain, which says nothing: hyper looks into its own buffer for the body only after someone has asked for it. So the
    /// timer, which costs more than anything else here, waits for the second time.
    Once,
    Until(Pin<Box<Sleep>>),
}

/// Why a body did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The budget is used up: a 503.
    #[error("too many large bodies are on their way")]
    Overloaded,
    /// The client takes too long: a 408.
    #[error("it was not complete after {} s", .0.as_secs_f32())]
    TooSlow(Duration),
    /// The connection, or the client's HTTP.
    #[error("the connection broke")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
}

impl BodyError {
    /// The error of a metered body, however it was wrapped on its way through other bodies.
    pub(crate) fn find<'a>(mut error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        loop {
            match error.downcast_ref() {
                Some(found) => return Some(found),
                None => error = error.source()?,
            }
        }
    }
}

impl<B> Metered<B> {
    fn take(&mut self, length: usize) -> Result<(), BodyError> {
        self.seen = self.seen.saturating_add(length);
        // Twice its length: whoever collects it into one piece holds the pieces, too.
        let wanted = i64::try_from(self.seen.saturating_sub(FREE_BODY_BYTES)).unwrap_or(i64::MAX).saturating_mul(2);
        let more = wanted - self.taken;
        if more == 0 {
            return Ok(());
        }
        self.taken = wanted;
        let (load, bounds) = (&self.admission.load, self.admission.bounds);
        if load.body_bytes.inc_by(more) <= bounds.body_bytes.saturating_sub(more) {
            return Ok(());
        }
        load.shed_body_bytes.inc();
        Err(BodyError::Overloaded)
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let time = self.admission.bounds.body_time;
        match &mut self.waits {
            Waits::Not => {
                self.waits = Waits::Once;
                // As a rule hyper's own wake-up comes first and this one adds nothing; the second look must not depend on it.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Waits::Once => {
                let mut end = Box::pin(sleep(time));
                let over = end.as_mut().poll(cx);
                self.waits = Waits::Until(end);
                over.map(|()| self.too_slow())
            }
            Waits::Until(end) => {
                ready!(end.as_mut().poll(cx));
                Poll::Ready(self.too_slow())
            }
        }
    }

    fn too_slow(&self) -> BodyError {
        self.admission.load.slow_bodies.inc();
        BodyError::TooSlow(self.admission.bounds.body_time)
    }
}

impl<B> Drop for Metered<B> {
    fn drop(&mut self) {
        if self.taken > 0 {
            self.admission.load.body_bytes.dec_by(self.taken);
        }
    }
}

impl<B> Body for Metered<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let taken = frame.data_ref().map_or(Ok(()), |data| this.take(data.len()));
                Poll::Ready(Some(taken.map(|()| frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(BodyError::Broken(error.into())))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => this.wait(cx).map(|error| Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
