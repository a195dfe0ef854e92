//! A stream that gives up on a client that holds it for nothing: one that connects and completes no request, one that says no more, and
//! one that does not take its answers.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::http::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep};

/// The heads of requests that were complete, on one connection.
#[derive(Debug, Default)]
pub(super) struct Heads {
    count: AtomicU64,
    http2: AtomicBool,
}

impl Heads {
    /// One more.
    pub(super) fn complete(&self, version: Version) {
        if version == Version::HTTP_2 {
            self.http2.store(true, Ordering::Relaxed);
        }
        // One task writes it, or streams of one connection do, and then a lost count is no harm: what matters is that it changes.
        self.count.store(self.count.load(Ordering::Relaxed).wrapping_add(1).max(1), Ordering::Relaxed);
    }
}

/// How long to wait for a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the connection to the first complete head.
    pub(super) first: Duration,
    /// After that without another complete head or, with HTTP/2, where the client may have reasons to keep a connection open, without a byte; the
    /// cut comes between once and twice this time. Longer than any request takes, as one whose answer is awaited sends nothing.
    pub(super) silence: Duration,
    /// Without the client taking a byte of what waits for it. Nobody who reads at all is that slow.
    pub(super) stall: Duration,
}

/// See the module. Cost: a look at a deadline for each read that finds nothing. The timer behind it is set up once and put off once in each
/// `silence`, not with each request; a timer for writes only while one is stuck.
pub(super) struct Impatient<S> {
    stream: S,
    heads: Arc<Heads>,
    patience: Patience,
    deadline: Pin<Box<Sleep>>,
    /// Whom the deadline wakes.
    waker: Option<Waker>,
    /// Whether anything was read since the deadline was set.
    heard: bool,
    /// The count of heads when the deadline was set.
    counted: u64,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Impatient<S> {
    pub(super) fn new(stream: S, first: Duration, silence: Duration, heads: Arc<Heads>) -> Self {
        Self::with(stream, Patience { first, silence, stall: Duration::from_secs(30) }, heads)
    }

    fn with(stream: S, patience: Patience, heads: Arc<Heads>) -> Self {
        let deadline = Box::pin(sleep(patience.first));
        Self { stream, heads, patience, deadline, waker: None, heard: false, counted: 0, stalled: None }
    }

    /// Whether the client has used up the time. What it sent puts that off only as a whole request: a head that trickles is no excuse.
    fn out_of_patience(&mut self, cx: &mut Context<'_>) -> bool {
        let waits = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if waits && !self.deadline.is_elapsed() {
            return false;
        }
        self.waker = Some(cx.waker().clone());
        // Unconstrained: a task that has used up its turn would be told to wait, and not be woken by the timer.
        while Pin::new(&mut unconstrained(self.deadline.as_mut())).poll(cx).is_ready() {
            let heads = self.heads.count.load(Ordering::Relaxed);
            let http2 = heads > 0 && self.heads.http2.load(Ordering::Relaxed);
            if heads == self.counted && !(http2 && self.heard) {
                return true;
            }
            (self.heard, self.counted) = (false, heads);
            self.deadline.as_mut().reset(Instant::now() + self.patience.silence);
        }
        false
    }

    /// Holds the outcome of a write against the time that a stuck one may take.
    fn unless_stalled<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall = self.patience.stall;
        match self.stalled.get_or_insert_with(|| Box::pin(sleep(stall))).as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // Before the first request also when there is something to read.
        if this.heads.count.load(Ordering::Relaxed) == 0 && this.out_of_patience(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if read.is_ready() {
            this.heard = true;
        } else if this.out_of_patience(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.unless_stalled(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.unless_stalled(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const LONG: Duration = Duration::from_secs(600);
    const SHORT: Duration = Duration::from_millis(10);

    /// With so many heads of this version complete.
    fn stream(patience: Patience, heads: u64, version: Version) -> (DuplexStream, Impatient<DuplexStream>) {
        let (client, server) = duplex(16);
        let counted = Heads::default();
        (0..heads).for_each(|_| counted.complete(version));
        (client, Impatient::with(server, patience, Arc::new(counted)))
    }

    /// Sends bytes until the server gives up; why it does.
    async fn trickled((mut client, mut server): (DuplexStream, Impatient<DuplexStream>)) -> io::ErrorKind {
        let trickle = async {
            while client.write_all(b"x").await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        let read = async {
            let error = loop {
                if let Err(error) = server.read_u8().await {
                    break error;
                }
            };
            drop(server);
            error.kind()
        };
        tokio::join!(read, trickle).0
    }

    #[tokio::test]
    async fn a_first_request_that_trickles_ends_all_the_same() {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let patience = Patience { first: SHORT, silence: LONG, stall: LONG };
            assert_eq!(trickled(stream(patience, 0, version)).await, io::ErrorKind::TimedOut);
        }
    }

    #[tokio::test]
    async fn a_later_head_that_trickles_ends_all_the_same() {
        let patience = Patience { first: SHORT, silence: SHORT, stall: LONG };
        let begun = Instant::now();
        assert_eq!(trickled(stream(patience, 1, Version::HTTP_11)).await, io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= 2 * SHORT, "the head before it counted");
    }

    #[tokio::test]
    async fn silence_ends_a_connection_and_a_request_puts_it_off() {
        let patience = Patience { first: SHORT, silence: SHORT, stall: LONG };
        let begun = Instant::now();
        let (_client, mut server) = stream(patience, 1, Version::HTTP_11);
        assert_eq!(server.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= 2 * SHORT, "the head counted");
    }

    #[tokio::test]
    async fn a_byte_puts_the_end_of_an_http2_connection_off() {
        let patience = Patience { first: SHORT, silence: SHORT, stall: LONG };
        let begun = Instant::now();
        let (mut client, mut server) = stream(patience, 1, Version::HTTP_2);
        server.counted = 1; // the first deadline passes without a head
        client.write_all(b"x").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'x');
        assert_eq!(server.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= 2 * SHORT, "the byte was heard");
    }

    #[tokio::test]
    async fn a_stream_that_another_task_takes_over_ends_there_in_time() {
        let patience = Patience { first: SHORT, silence: LONG, stall: LONG };
        let (_client, mut server) = stream(patience, 0, Version::HTTP_11);
        let asked = std::future::poll_fn(|cx| {
            let mut bytes = [0; 1];
            Poll::Ready(Pin::new(&mut server).poll_read(cx, &mut ReadBuf::new(&mut bytes)).is_pending())
        });
        assert!(asked.await, "nothing yet");
        let other = tokio::spawn(async move { server.read_u8().await.unwrap_err().kind() });
        assert_eq!(other.await.unwrap(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_takes_no_answer_is_cut_off() {
        let (mut client, mut server) =
            stream(Patience { first: LONG, silence: LONG, stall: SHORT }, 1, Version::HTTP_11);
        let error = server.write_all(&[0; 17]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let mut taken = [0; 16];
        client.read_exact(&mut taken).await.unwrap();
        server.write_all(&taken).await.expect("who takes what waits is served again");
    }
}
