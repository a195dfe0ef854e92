//! A network in user space: a TCP proxy that hands on each piece a fixed time after it came. Queueing disciplines that could do it in the
//! kernel need root, and are not in every kernel.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::serve::SERVING;

const CHUNK: usize = 64 * 1024;
/// Pieces under way in one direction: 500 requests a second for 30 ms are 15, so this is never reached, and it holds at most 64 MiB.
const UNDER_WAY: usize = 1024;

struct Piece {
    due: Instant,
    bytes: Vec<u8>,
}

/// Runs until the process is ended.
pub(crate) fn run(listen: SocketAddr, to: SocketAddr, nanoseconds: u64) -> Result<()> {
    // Threads begin with the slack of the one that starts them. The kernel's default lets a sleep end 50 us late.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_timerslack(1).context("ask for exact timers")?;
    let delay = Duration::from_nanos(nanoseconds);
    let listener = TcpListener::bind(listen).with_context(|| format!("listen on {listen}"))?;
    eprintln!("{SERVING} on {listen}");
    for client in listener.incoming() {
        let client = client.context("accept a connection")?;
        let server = TcpStream::connect(to).with_context(|| format!("connect to {to}"))?;
        client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).context("set TCP_NODELAY")?;
        let other = |stream: &TcpStream| stream.try_clone().context("duplicate a socket");
        pass(other(&client)?, other(&server)?, delay);
        pass(server, client, delay);
    }
    Ok(())
}

fn pass(from: TcpStream, to: TcpStream, delay: Duration) {
    let (sender, receiver) = sync_channel(UNDER_WAY);
    thread::spawn(move || take(from, &sender, delay));
    thread::spawn(move || give(to, &receiver));
}

fn take(mut from: TcpStream, out: &SyncSender<Piece>, delay: Duration) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(length @ 1..) = from.read(&mut chunk) {
        if out.send(Piece { due: Instant::now() + delay, bytes: chunk[..length].to_vec() }).is_err() {
            return;
        }
    }
}

fn give(mut to: TcpStream, pieces: &Receiver<Piece>) {
    for Piece { due, bytes } in pieces {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
