//! Leader election: one process runs the controllers, the others wait.
//!
//! Written here because the crate that exists for it takes an expired lease in two unconditional writes (release by force, then
//! take): of two waiting processes the slower one can release the lease that the faster one has just taken, so that both lead for a
//! while. Here every write is a replace with the `resourceVersion` that was read, so one of two writers always fails; a waiting
//! process sees a release within one `retry` instead of after the whole duration; and a leader that cannot renew knows by its own
//! steady clock when it must stop, even while the API server is unreachable.
//!
//! With a duration of 15 s: a try each 2.5 s, and a leader stops 10 s after its last successful renewal, 5 s before others may take over.

mod decide;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::decide::{Seen, Step, decide};
use crate::clock;

/// Why a leader stopped leading.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Another process holds the lease now.
    #[error("another process took the lease")]
    Taken,
    /// Nothing was renewed for two thirds of the duration.
    #[error("the lease was not renewed for {0:?}")]
    NotRenewed(Duration),
}

/// One process's part in the election.
pub struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
    duration: Duration,
    /// The lease as last read and since when it has looked so.
    seen: Option<(Seen, Instant)>,
}

/// What one look at the lease came to.
enum Outcome {
    /// Taken or renewed.
    Leading,
    /// Another process holds it.
    Following,
    /// Another write came first.
    Raced,
}

impl Election {
    /// Takes part as `identity`; nothing is written before [`Self::acquire`].
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, duration: Duration) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            duration,
            seen: None,
        }
    }

    /// Waits until this process leads. Failures are logged and tried again. Cancel safe: a lease taken but not reported runs out.
    pub async fn acquire(&mut self) {
        loop {
            match self.step().await {
                Ok(Outcome::Leading) => return,
                Ok(Outcome::Following | Outcome::Raced) => {}
                Err(error) => {
                    tracing::warn!(error = %error, lease.name = %self.name, "failed to read or take the lease");
                }
            }
            sleep(self.retry()).await;
        }
    }

    /// Keeps the lease until `until` is cancelled (`Ok`) or it is lost.
    pub async fn hold(&mut self, until: &CancellationToken) -> Result<(), Lost> {
        let deadline = self.duration * 2 / 3;
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = until.cancelled() => return Ok(()),
                () = sleep(self.retry()) => {}
            }
            // A request started now counts from now: the lease may have been renewed at its beginning.
            let started = Instant::now();
            let left = deadline.saturating_sub(renewed.elapsed());
            let tried = tokio::select! {
                () = until.cancelled() => return Ok(()),
                tried = timeout(left, self.step()) => tried,
            };
            match tried {
                Ok(Ok(Outcome::Leading)) => renewed = started,
                Ok(Ok(Outcome::Following)) => return Err(Lost::Taken),
                Ok(Err(error)) => tracing::warn!(error = %error, lease.name = %self.name, "failed to renew the lease"),
                // Too slow, or somebody wrote the lease between our read and our write; the next try reads who.
                Ok(Ok(Outcome::Raced)) | Err(_) => {}
            }
            if renewed.elapsed() >= deadline {
                return Err(Lost::NotRenewed(renewed.elapsed()));
            }
        }
    }

    /// Gives the lease up, so that another process takes over within its next try.
    pub async fn release(&mut self) -> Result<(), kube::Error> {
        let Some(mut lease) = self.api.get_opt(&self.name).await? else { return Ok(()) };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return Ok(());
        }
        spec.holder_identity = None;
        spec.renew_time = None;
        spec.acquire_time = None;
        match self.api.replace(&self.name, &PostParams::default(), &lease).await {
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Reads the lease and takes or renews it when it may.
    async fn step(&mut self) -> Result<Outcome, kube::Error> {
        let Some(lease) = self.api.get_opt(&self.name).await? else {
            return outcome(self.api.create(&PostParams::default(), &self.written(None)).await);
        };
        let now = Instant::now();
        let seen = Seen::of(&lease);
        let since = match &self.seen {
            Some((known, since)) if *known == seen => *since,
            _ => now,
        };
        let step = decide(&seen, now - since, &self.identity, self.duration);
        self.seen = Some((seen, since));
        match step {
            Step::Wait => Ok(Outcome::Following),
            Step::Take | Step::Renew => {
                let written = self.written(Some((lease, step)));
                outcome(self.api.replace(&self.name, &PostParams::default(), &written).await)
            }
        }
    }

    /// The lease with this process as holder; built on the one that was read, so that its `resourceVersion` guards the write.
    fn written(&self, read: Option<(Lease, Step)>) -> Lease {
        let now = MicroTime(clock::now());
        let (mut lease, step) = read.unwrap_or_else(|| {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            (Lease { metadata, spec: None }, Step::Take)
        });
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        if step == Step::Take {
            spec.lease_transitions = Some(spec.lease_transitions.map_or(0, |count| count.saturating_add(1)));
            spec.acquire_time = Some(now.clone());
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.renew_time = Some(now);
        // Whole seconds in the API; rounded up, so that nobody takes over before the leader has stopped.
        spec.lease_duration_seconds = i32::try_from(self.duration.as_millis().div_ceil(1000)).ok();
        lease
    }

    fn retry(&self) -> Duration {
        self.duration / 6
    }
}

impl Seen {
    fn of(lease: &Lease) -> Self {
        let spec = lease.spec.as_ref();
        let seconds = spec.and_then(|spec| spec.lease_duration_seconds).and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            holder: spec.and_then(|spec| spec.holder_identity.clone()),
            renewed: spec.and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0.to_string()),
            duration: seconds.map(Duration::from_secs),
        }
    }
}

/// A write that met another one is a lost race, not a failure.
fn outcome(written: Result<Lease, kube::Error>) -> Result<Outcome, kube::Error> {
    match written {
        Ok(_) => Ok(Outcome::Leading),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(Outcome::Raced),
        Err(error) => Err(error),
    }
}
