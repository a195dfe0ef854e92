//! A stream that gives up on a client that holds it for nothing: one that connects and completes no request, one that says no more, and
//! one that does not take its answers.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Set when the first request of a connection has arrived.
pub(super) type Arrived = Arc<AtomicBool>;

/// How long to wait for a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the connection to the first complete head. Needed beside hyper's own limit on heads, which begins only when hyper knows which
    /// version of HTTP the client speaks.
    pub(super) first: Duration,
    /// Without a byte from the client, after that; the cut comes between once and twice this time. HTTP/1 has hyper's limit from answer to
    /// head, HTTP/2 has none. Longer than any request takes, as one whose answer is awaited sends nothing.
    pub(super) silence: Duration,
    /// Without the client taking a byte of what waits for it. Nobody who reads at all is that slow.
    pub(super) stall: Duration,
}

impl Patience {
    /// With the usual silence and stall.
    pub(super) const fn first(first: Duration) -> Self {
        Self { first, silence: Duration::from_secs(90), stall: Duration::from_secs(30) }
    }
}

/// See the module. Cost: a look at a timer for each read that finds nothing; a timer for writes only while one is stuck.
pub(super) struct Impatient<S> {
    stream: S,
    arrived: Arrived,
    patience: Patience,
    deadline: Pin<Box<Sleep>>,
    /// Whether anything was read since the deadline was set.
    heard: bool,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Impatient<S> {
    pub(super) fn new(stream: S, first: Duration, arrived: Arrived) -> Self {
        Self::with(stream, Patience::first(first), arrived)
    }

    fn with(stream: S, patience: Patience, arrived: Arrived) -> Self {
        let deadline = Box::pin(sleep(patience.first));
        Self { stream, arrived, patience, deadline, heard: false, stalled: None }
    }

    /// Whether the client has used up the time. `heard` puts it off only once there was a whole request: a head that trickles is no excuse.
    fn out_of_patience(&mut self, cx: &mut Context<'_>) -> bool {
        while self.deadline.as_mut().poll(cx).is_ready() {
            if !self.arrived.load(Ordering::Relaxed) || !self.heard {
                return true;
            }
            self.heard = false;
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
        if !this.arrived.load(Ordering::Relaxed) && this.out_of_patience(cx) {
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

    fn stream(patience: Patience, arrived: bool) -> (DuplexStream, Impatient<DuplexStream>) {
        let (client, server) = duplex(16);
        (client, Impatient::with(server, patience, Arc::new(AtomicBool::new(arrived))))
    }

    #[tokio::test]
    async fn a_first_request_that_trickles_ends_all_the_same() {
        let (mut client, mut server) = stream(Patience { first: SHORT, silence: LONG, stall: LONG }, false);
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
        assert_eq!(tokio::join!(read, trickle).0, io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn silence_ends_a_connection_and_a_byte_puts_it_off() {
        let (mut client, mut server) = stream(Patience { first: SHORT, silence: SHORT, stall: LONG }, true);
        let begun = Instant::now();
        client.write_all(b"x").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'x');
        assert_eq!(server.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= 2 * SHORT, "the byte was heard");
    }

    #[tokio::test]
    async fn a_client_that_takes_no_answer_is_cut_off() {
        let (mut client, mut server) = stream(Patience { first: LONG, silence: LONG, stall: SHORT }, true);
        let error = server.write_all(&[0; 17]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let mut taken = [0; 16];
        client.read_exact(&mut taken).await.unwrap();
        server.write_all(&taken).await.expect("who takes what waits is served again");
    }
}
