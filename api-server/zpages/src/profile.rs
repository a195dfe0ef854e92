//! `/debug/pprof/profile`: where the processor's time goes, for `go tool pprof` and everything that reads its format.
//!
//! A signal interrupts whatever runs, 100 times for each second of processor time, and its stack is written down. The
//! stack is read by `framehop`, which takes no lock, asks for no memory and reads only what is mapped: the unwinder of the
//! system library does none of that and has killed the programs it was to explain.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use pprof::protos::Message as _;
use pprof::{ProfilerGuard, ProfilerGuardBuilder};
use tokio::sync::Semaphore;

use crate::page::plain;
use crate::query;

/// As Go has it: often enough to see what takes a hundredth of the time, seldom enough to cost less than that.
const SAMPLES_PER_SECOND: i32 = 100;
/// As Go has it.
const SECONDS_UNLESS_ASKED: u64 = 30;
/// A profile holds a connection, and slows the process a little, for as long as it takes.
const SECONDS_AT_MOST: u64 = 60;

/// Lets one profile be taken at a time: there is one profiling timer in a process.
#[derive(Debug, Clone)]
pub(crate) struct Profiles {
    turn: Arc<Semaphore>,
}

impl Profiles {
    /// No profile is being taken.
    pub(crate) fn new() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)) }
    }

    /// The answer to a request, after the seconds it asks for.
    ///
    /// # Cancel safety
    /// Dropped while it waits, it stops the profile.
    pub(crate) async fn answer(&self, request: &Parts) -> Response {
        let seconds = seconds(request.uri.query().unwrap_or_default());
        if seconds > SECONDS_AT_MOST {
            let text = format!("seconds is {seconds}; a profile takes {SECONDS_AT_MOST} at most\n");
            return without_sniffing(plain(StatusCode::BAD_REQUEST, text));
        }
        let Ok(turn) = Arc::clone(&self.turn).try_acquire_owned() else { return busy() };
        // The stacks of the threads are read from the files of the program when the first profile begins.
        let started =
            tokio::task::spawn_blocking(|| ProfilerGuardBuilder::default().frequency(SAMPLES_PER_SECOND).build());
        let guard = match started.await {
            Ok(Ok(guard)) => guard,
            Ok(Err(pprof::Error::Running)) => return busy(),
            Ok(Err(error)) => return failed(&error),
            Err(error) => return failed(&error),
        };
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let encoded = tokio::task::spawn_blocking(move || {
            let encoded = encode(&guard);
            drop(turn);
            encoded
        });
        match encoded.await {
            Ok(Ok(profile)) => attachment(profile),
            Ok(Err(error)) => failed(&error),
            Err(error) => failed(&error),
        }
    }
}

/// As Go reads it: what is no positive number counts as absent.
fn seconds(query: &str) -> u64 {
    let asked = query::first(query, "seconds").and_then(|value| value.parse().ok()).filter(|seconds| *seconds > 0);
    asked.unwrap_or(SECONDS_UNLESS_ASKED)
}

#[derive(Debug, thiserror::Error)]
enum EncodeError {
    #[error(transparent)]
    Profile(#[from] pprof::Error),
    #[error("{0}")]
    Message(String),
    #[error(transparent)]
    Compression(#[from] std::io::Error),
}

/// **Cost**: names are looked up for every distinct address, which takes up to a second of one processor.
fn encode(guard: &ProfilerGuard<'_>) -> Result<Vec<u8>, EncodeError> {
    let profile = guard.report().build()?.pprof()?;
    let message = profile.write_to_bytes().map_err(|error| EncodeError::Message(error.to_string()))?;
    let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
    compressed.write_all(&message)?;
    Ok(compressed.finish()?)
}

fn attachment(profile: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(profile));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"profile\""));
    without_sniffing(response)
}

fn busy() -> Response {
    without_sniffing(plain(StatusCode::CONFLICT, "a profile is being taken already; ask again when it is done\n"))
}

fn failed(error: &dyn std::error::Error) -> Response {
    tracing::error!(%error, "failed to take a CPU profile");
    let text = "failed to take a profile; the log says why\n";
    without_sniffing(plain(StatusCode::INTERNAL_SERVER_ERROR, text))
}

fn without_sniffing(mut response: Response) -> Response {
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests;
