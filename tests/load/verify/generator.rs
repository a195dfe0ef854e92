//! Makes load from one thread, which polls without ever sleeping: a wake-up here would be added to each answer's time.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::{Events, Interest, Poll, Token};

use super::connection::Connection;
use super::workload::{Random, Workload};

/// As a gateway or two would hold.
const CONNECTIONS: usize = 64;
/// After the last request of a phase; answers take milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections to one server.
pub(crate) struct Generator {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    /// Without a request under way. The one that waits longest is next, so that all are used alike.
    idle: VecDeque<usize>,
    answers: Answers,
}

/// What came back in one phase.
#[derive(Default)]
pub(crate) struct Answers {
    /// From the moment at which each request should have been sent.
    pub(crate) times: Vec<Duration>,
    /// Not 200, or not the expected verdict.
    pub(crate) wrong: usize,
    /// One of those.
    pub(crate) wrong_text: Option<String>,
    /// From the beginning of the phase to its last answer.
    pub(crate) took: Duration,
}

impl Generator {
    pub(crate) fn connect(server: SocketAddr) -> Result<Self> {
        let poll = Poll::new().context("make a poll")?;
        let mut connections = Vec::with_capacity(CONNECTIONS);
        for number in 0..CONNECTIONS {
            let mut connection = Connection::open(server)?;
            let registered = poll.registry().register(&mut connection.stream, Token(number), Interest::READABLE);
            registered.context("watch a socket")?;
            connections.push(connection);
        }
        let events = Events::with_capacity(CONNECTIONS);
        Ok(Self { poll, events, connections, idle: (0..CONNECTIONS).collect(), answers: Answers::default() })
    }

    /// Requests arrive by a Poisson process, however slow the server is. One that finds no free connection waits for one, and its time
    /// runs; else a slow server would be asked less, and its slowness not be seen.
    pub(crate) fn at_rate(&mut self, workload: &mut Workload, per_second: f64, span: Duration) -> Result<Answers> {
        let mut random = Random::new(per_second.to_bits());
        let began = Instant::now();
        let mut next = began + random.gap(per_second);
        // Holds at most what arrives in a phase: rate times span, some ten thousand.
        let mut waiting = VecDeque::new();
        loop {
            let now = Instant::now();
            while next <= now && next - began < span {
                waiting.push_back(next);
                next += random.gap(per_second);
            }
            while let Some(due) = waiting.front().copied()
                && let Some(connection) = self.idle.pop_front()
            {
                waiting.pop_front();
                self.connections[connection].send(workload.next(), due)?;
            }
            self.receive(workload)?;
            if next - began >= span && waiting.is_empty() && self.idle.len() == CONNECTIONS {
                return Ok(self.finish(began));
            }
            ensure!(now - began < span + PATIENCE, "answers are missing {PATIENCE:?} after the last request");
        }
    }

    /// Each connection sends its next request as soon as it has its answer.
    pub(crate) fn saturate(&mut self, workload: &mut Workload, span: Duration) -> Result<Answers> {
        let began = Instant::now();
        loop {
            let now = Instant::now();
            if now - began < span {
                while let Some(connection) = self.idle.pop_front() {
                    self.connections[connection].send(workload.next(), now)?;
                }
            } else if self.idle.len() == CONNECTIONS {
                return Ok(self.finish(began));
            }
            self.receive(workload)?;
            ensure!(now - began < span + PATIENCE, "answers are missing {PATIENCE:?} after the last request");
        }
    }

    /// One request; the body of its answer, which must be right.
    pub(crate) fn ask(&mut self, workload: &mut Workload) -> Result<Vec<u8>> {
        let connection = self.idle.pop_front().context("no connection is idle")?;
        let began = Instant::now();
        self.connections[connection].send(workload.next(), began)?;
        while self.answers.times.is_empty() {
            self.receive(workload)?;
            ensure!(began.elapsed() < PATIENCE, "no answer within {PATIENCE:?}");
        }
        match self.finish(began).wrong_text {
            None => Ok(self.connections[connection].body().to_vec()),
            Some(text) => bail!("a wrong answer: {text}"),
        }
    }

    fn receive(&mut self, workload: &Workload) -> Result<()> {
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error).context("poll the sockets"),
        }
        for event in &self.events {
            let Token(number) = event.token();
            let connection = &mut self.connections[number];
            if !connection.receive()? {
                continue;
            }
            self.answers.times.push(connection.due.elapsed());
            if !connection.is_right(workload.kind.marker()) {
                self.answers.wrong += 1;
                self.answers.wrong_text.get_or_insert_with(|| connection.text());
            }
            self.idle.push_back(number);
        }
        Ok(())
    }

    fn finish(&mut self, began: Instant) -> Answers {
        Answers { took: began.elapsed(), ..std::mem::take(&mut self.answers) }
    }
}
