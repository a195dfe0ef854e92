//! A connection that ends early, and in order, once the server stops.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use hyper_util::server::graceful::GracefulConnection;
use tokio::task::unconstrained;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Says to all connections that the server stops; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Stopping {
    /// What a connection looks at each time that it is polled; set before the token is cancelled, which wakes all connections.
    begun: Arc<AtomicBool>,
    token: CancellationToken,
}

impl Stopping {
    /// From now on.
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.token.cancel();
    }
}

/// See the module. The library's own way polls its signal with each poll of the connection, twice a request and for a fiftieth of its price;
/// here the token is asked once for each task that polls, which is once.
pub(super) struct Drained<C> {
    connection: Pin<Box<C>>,
    stopping: Stopping,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Whom the token wakes.
    waker: Option<Waker>,
    told: bool,
}

impl<C> Drained<C> {
    pub(super) fn new(connection: C, stopping: Stopping) -> Self {
        let cancelled = Box::pin(stopping.token.clone().cancelled_owned());
        Self { connection: Box::pin(connection), stopping, cancelled, waker: None, told: false }
    }

    /// Sees to it that the end of the server wakes this task, and says whether it has come.
    fn stops(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
            // Unconstrained: a task that has used up its turn would be told to wait, and not be woken by the token.
            let mut cancelled = unconstrained(self.cancelled.as_mut());
            if Pin::new(&mut cancelled).poll(cx).is_ready() {
                return true;
            }
        }
        self.stopping.begun.load(Ordering::Acquire)
    }
}

impl<C: GracefulConnection> Future for Drained<C> {
    type Output = C::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let this = self.get_mut();
        if !this.told && this.stops(cx) {
            this.told = true;
            this.connection.as_mut().graceful_shutdown();
        }
        this.connection.as_mut().poll(cx)
    }
}
