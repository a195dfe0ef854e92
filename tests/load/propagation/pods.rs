//! Asks every pod until all give the same verdict.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use keyplane_tests::Server;
use tokio::sync::oneshot;

use super::PATIENCE;
use super::wire::{Connection, Request};

pub(crate) struct Pods {
    root_key: String,
    /// One thread for each pod, which waits here between jobs.
    pods: Vec<SyncSender<Job>>,
}

struct Job {
    request: Arc<Request>,
    wanted: &'static str,
    answer: oneshot::Sender<Result<Instant>>,
}

impl Pods {
    pub(crate) fn connect(servers: &[Server], root_key: &str, interval: Duration) -> Result<Self> {
        let mut pods = Vec::new();
        for server in servers {
            let port = server.url("").rsplit(':').next().and_then(|port| port.parse().ok()).context("a pod's port")?;
            let connection = Connection::open(port)?;
            // One job at a time: the next one comes when all pods have answered this one.
            let (sender, jobs) = sync_channel(1);
            thread::spawn(move || work(connection, &jobs, interval));
            pods.push(sender);
        }
        Ok(Self { root_key: root_key.to_owned(), pods })
    }

    /// Asks from now on; returns when the last pod had answered so.
    pub(crate) async fn all_answer(&self, key: &str, wanted: &'static str) -> Result<Instant> {
        let request = Arc::new(Request::verify(&self.root_key, key));
        let mut answers = Vec::new();
        for pod in &self.pods {
            let (answer, answered) = oneshot::channel();
            pod.send(Job { request: request.clone(), wanted, answer }).context("a thread that asks a pod has ended")?;
            answers.push(async { answered.await.context("a thread that asks a pod has ended")? });
        }
        try_join_all(answers).await?.into_iter().max().context("there are no pods")
    }
}

fn work(mut connection: Connection, jobs: &Receiver<Job>, interval: Duration) {
    while let Ok(job) = jobs.recv() {
        let _ = job.answer.send(ask(&mut connection, &job.request, job.wanted, interval));
    }
}

fn ask(connection: &mut Connection, request: &Request, wanted: &str, interval: Duration) -> Result<Instant> {
    let began = Instant::now();
    loop {
        let asked = Instant::now();
        let code = connection.code(request)?;
        if code == wanted {
            return Ok(Instant::now());
        }
        if began.elapsed() > PATIENCE {
            bail!("a pod still answers {code} and not {wanted} after {PATIENCE:?}");
        }
        thread::sleep(interval.saturating_sub(asked.elapsed()));
    }
}
