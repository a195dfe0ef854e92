//! `/healthz`, `/livez`, `/readyz`: named checks, run in the order of their registration on every request.
//!
//! What fails is named to anyone who asks; why it fails goes to the log and to the page of the single check, which a
//! cluster lets fewer people read.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::response::Response;
use http::StatusCode;
use http::header::{HeaderValue, X_CONTENT_TYPE_OPTIONS};

use crate::page::plain;
use crate::query;
use crate::quote::quoted;
use crate::slis::{Sli, Tally};

type Probe = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;
type Warning = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// A named condition of the process, asked on every request of the pages it belongs to.
///
/// **Cost**: probes run one after the other on the thread that serves the request: they must not block or wait, but
/// read a state that others keep. An `Err` says what is wrong; it goes to the log, so it holds no secret.
#[derive(Clone)]
pub struct Check {
    name: String,
    probe: Probe,
    warning: Option<Warning>,
    live: bool,
    ready: bool,
}

impl Check {
    /// A check of `/livez` and `/healthz`: when it fails, only a restart helps.
    pub fn live(name: impl Into<String>, probe: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self { name: name.into(), probe: Arc::new(probe), warning: None, live: true, ready: false }
    }

    /// A check of `/readyz`: when it fails, this process should get no traffic.
    pub fn ready(name: impl Into<String>, probe: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self { name: name.into(), probe: Arc::new(probe), warning: None, live: false, ready: true }
    }

    /// A check of all three pages.
    pub fn everywhere(name: impl Into<String>, probe: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self { name: name.into(), probe: Arc::new(probe), warning: None, live: true, ready: true }
    }

    /// What people should know of the process although the check passes, as a line `warn: NAME: TEXT` on `?verbose` pages. Everyone who
    /// reaches them reads it. **Cost**: as a probe.
    #[must_use]
    pub fn warning(self, warning: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self { warning: Some(Arc::new(warning)), ..self }
    }

    /// The check that always passes, and the first one of every page.
    pub(crate) fn ping() -> Self {
        Self::everywhere("ping", || Ok(()))
    }

    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, live, ready, probe: _, warning: _ } = self;
        formatter
            .debug_struct("Check")
            .field("name", name)
            .field("live", live)
            .field("ready", ready)
            .finish_non_exhaustive()
    }
}

/// Makes `/readyz` fail from the moment the process begins to end, while it still serves: the check `shutdown`.
///
/// Clones share the one state, which never goes back.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    began: Arc<AtomicBool>,
}

impl Shutdown {
    /// A process that is not ending.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on the check fails.
    pub fn begin(&self) {
        self.began.store(true, Ordering::Release);
    }

    /// Whether [`Shutdown::begin`] was called.
    pub fn has_begun(&self) -> bool {
        self.began.load(Ordering::Acquire)
    }

    /// The check of `/readyz`; `/livez` must stay well while the process drains, or it is killed early.
    pub fn check(&self) -> Check {
        let shutdown = self.clone();
        Check::ready(
            "shutdown",
            move || {
                if shutdown.has_begun() { Err("process is shutting down".to_owned()) } else { Ok(()) }
            },
        )
    }
}

/// One of the three pages with its checks.
#[derive(Debug)]
pub(crate) struct Health {
    name: &'static str,
    /// Never empty; in the order of their registration.
    checks: Vec<(Check, Tally)>,
}

impl Health {
    /// The page `healthz`, `livez` or `readyz`, with at least one check.
    pub(crate) fn new(name: &'static str, checks: impl IntoIterator<Item = Check>) -> Self {
        Self { name, checks: checks.into_iter().map(|check| (check, Tally::default())).collect() }
    }

    /// What the checks came to so far.
    pub(crate) fn slis(&self) -> impl Iterator<Item = Sli<'_>> {
        self.checks.iter().map(|(check, tally)| Sli { name: &check.name, page: self.name, tally })
    }

    /// The answer to a request for all checks.
    pub(crate) fn answer(&self, query: &str) -> Response {
        let Outcome { lines, failures } = self.run(query);
        let lines = lines.concat();
        if !failures.is_empty() {
            tracing::info!(page = self.name, failures = failures.join("; "), "health check failed");
            let body = format!("{lines}{} check failed\n", self.name);
            return without_sniffing(plain(StatusCode::INTERNAL_SERVER_ERROR, body));
        }
        let verbose = query::first(query, "verbose").is_some();
        let body = if verbose { format!("{lines}{} check passed\n", self.name) } else { "ok".to_owned() };
        without_sniffing(plain(StatusCode::OK, body))
    }

    /// The answer to a request for a single check; `None` when there is none of that name.
    pub(crate) fn answer_single(&self, name: &str) -> Option<Response> {
        let mut named = self.checks.iter().map(|(check, _)| check).filter(|check| check.name == name).peekable();
        named.peek()?;
        Some(match named.find_map(|check| (check.probe)().err()) {
            None => plain(StatusCode::OK, "ok"),
            Some(error) => {
                let body = format!("internal server error: {error}\n");
                without_sniffing(plain(StatusCode::INTERNAL_SERVER_ERROR, body))
            }
        })
    }

    fn run(&self, query: &str) -> Outcome {
        let excluded: BTreeSet<String> =
            query::pairs(query).filter(|(name, _)| name == "exclude").map(|(_, value)| value.into_owned()).collect();
        let mut unknown = excluded.clone();
        let mut outcome = Outcome::default();
        let mut warnings = Vec::new();
        for (Check { name, probe, warning, .. }, tally) in &self.checks {
            if excluded.contains(name) {
                unknown.remove(name);
                outcome.lines.push(format!("[+]{name} excluded: ok\n"));
                continue;
            }
            let result = probe();
            tally.count(result.is_ok());
            outcome.lines.push(match result {
                Ok(()) => {
                    let text = warning.as_ref().and_then(|warning| warning());
                    warnings.extend(text.map(|text| format!("warn: {name}: {text}\n")));
                    format!("[+]{name} ok\n")
                }
                Err(error) => {
                    outcome.failures.push(format!("{name}: {error}"));
                    format!("[-]{name} failed: reason withheld\n")
                }
            });
        }
        outcome.lines.append(&mut warnings);
        if !unknown.is_empty() {
            let names: Vec<String> = unknown.iter().map(|name| quoted(name)).collect();
            let names = names.join(",");
            outcome.lines.push(format!("warn: some health checks cannot be excluded: no matches for {names}\n"));
        }
        outcome
    }
}

/// What running the checks of a page came to.
#[derive(Default)]
struct Outcome {
    /// One line for each check, for the client.
    lines: Vec<String>,
    /// Name and reason of each failed check, for the log.
    failures: Vec<String>,
}

fn without_sniffing(mut response: Response) -> Response {
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests;
