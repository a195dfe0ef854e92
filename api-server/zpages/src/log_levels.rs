//! `/debug/flags/v`: what is logged, changed while the program runs.
//!
//! | `PUT` body | effect | source |
//! | --- | --- | --- |
//! | `0` to `4294967295` | the level of everything that has no level of its own | upstream, where `v` is klog's verbosity |
//! | `TARGET=LEVEL` | the level of one target (a module's path, and what lies below it) | ours |
//!
//! Changes last as long as the process.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Method, StatusCode};
use tracing_subscriber::EnvFilter;

use crate::logging::{LoggingError, parse};
use crate::page::plain;
use crate::quote::quoted;

/// More changes than a person makes; bounds what is kept and what each log line is compared with.
const CHANGES_AT_MOST: usize = 64;
/// Longer than any target with its level.
pub(crate) const BODY_AT_MOST: usize = 1024;

type Reload = Arc<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// What is logged now, and the way to change it: from [`crate::logging::start`], for [`crate::ZPages::debugging`].
///
/// Clones share the one state.
#[derive(Clone)]
pub struct LogLevels {
    reload: Reload,
    /// As given at the start.
    filter: Arc<str>,
    never: Arc<[String]>,
    /// In the order in which they were made; each target once, `""` for everything.
    changes: Arc<Mutex<Vec<Change>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    target: String,
    level: &'static str,
}

/// Why a level was not changed. The texts are the client's answer; those for numbers are upstream's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Neither a number nor a target with a level.
    #[error("strconv.ParseUint: parsing {}: invalid syntax", quoted(.0))]
    Syntax(String),
    /// A number beyond 32 bits.
    #[error("strconv.ParseUint: parsing {}: value out of range", quoted(.0))]
    Range(String),
    /// A level that is none.
    #[error("`{0}` is not a level; write off, error, warn, info, debug or trace")]
    Level(String),
    /// A target that is none.
    #[error("`{0}` is not a target; write the path of a module, such as `hyper::client`")]
    Target(String),
    /// Too many targets have levels of their own.
    #[error("{CHANGES_AT_MOST} targets have levels already; change one of them, or restart the process")]
    Full,
    /// The subscriber is gone.
    #[error("the log filter can't be replaced: {0}")]
    Reload(String),
}

impl LogLevels {
    /// Levels that start as `filter` says and that `reload` puts in force.
    pub(crate) fn new(filter: &str, never: &[&str], reload: Reload) -> Self {
        let never = never.iter().map(|directive| (*directive).to_owned()).collect();
        Self { reload, filter: filter.into(), never, changes: Arc::default() }
    }

    /// Levels that nothing obeys: for programs that log by other means, and for tests.
    pub fn unchanging(filter: &str) -> Self {
        Self::new(filter, &[], Arc::new(|_| Ok(())))
    }

    /// Changes what is logged as the body of a `PUT` says, and returns the answer for people.
    pub(crate) fn put(&self, body: &str) -> Result<String, Refused> {
        let (change, answer) = if let Some((target, level)) = body.split_once('=') {
            let change = Change { target: valid_target(target)?, level: valid_level(level)? };
            let answer = format!("successfully set the log level of {} to {}", change.target, change.level);
            (change, answer)
        } else {
            let change = Change { target: String::new(), level: level_of(verbosity(body)?) };
            (change, format!("successfully set klog.logging.verbosity to {body}"))
        };
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next: Vec<Change> = changes.iter().filter(|old| old.target != change.target).cloned().collect();
        if next.len() == CHANGES_AT_MOST {
            return Err(Refused::Full);
        }
        next.push(change);
        let filter = self.filter(&next).map_err(|error| Refused::Reload(error.to_string()))?;
        (self.reload)(filter).map_err(Refused::Reload)?;
        tracing::info!(change = body, "log levels changed on request");
        *changes = next;
        Ok(answer)
    }

    /// The directives in force.
    pub(crate) fn current(&self) -> String {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        self.filter(&changes).map_or_else(|_| self.filter.to_string(), |filter| filter.to_string())
    }

    /// The filter of the start with the changes in it. What must never be logged stays off.
    fn filter(&self, changes: &[Change]) -> Result<EnvFilter, LoggingError> {
        let mut text = self.filter.to_string();
        for Change { target, level } in changes {
            // Of two directives for one target the later one holds.
            let equals = if target.is_empty() { "" } else { "=" };
            text.extend([",", target, equals, level]);
        }
        let never: Vec<&str> = self.never.iter().map(String::as_str).collect();
        parse(&text, &never)
    }
}

impl fmt::Debug for LogLevels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LogLevels").field("current", &self.current()).finish_non_exhaustive()
    }
}

/// The answer to a request for the page.
pub(crate) fn answer(levels: &LogLevels, method: &Method, body: &str) -> Response {
    if method != Method::PUT {
        return text(StatusCode::NOT_ACCEPTABLE, "unsupported http method\n".to_owned());
    }
    match levels.put(body) {
        Ok(answer) => text(StatusCode::OK, answer + "\n"),
        Err(refused) => text(StatusCode::BAD_REQUEST, format!("{refused}\n")),
    }
}

/// Without a character set, as upstream.
fn text(status: StatusCode, body: String) -> Response {
    let mut response = plain(status, body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn verbosity(text: &str) -> Result<u32, Refused> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refused::Syntax(text.to_owned()));
    }
    text.parse().map_err(|_| Refused::Range(text.to_owned()))
}

/// What klog's conventions call the levels: up to 3 is information, 4 is for debugging, 5 and more are traces.
fn level_of(verbosity: u32) -> &'static str {
    match verbosity {
        0..=3 => "info",
        4 => "debug",
        _ => "trace",
    }
}

fn valid_level(text: &str) -> Result<&'static str, Refused> {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    levels.into_iter().find(|level| *level == text).ok_or_else(|| Refused::Level(text.to_owned()))
}

/// Only paths: the filter's language has patterns over the fields of spans too, which cost on every line.
fn valid_target(text: &str) -> Result<String, Refused> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'-' | b'.');
    if text.is_empty() || !text.bytes().all(valid) {
        return Err(Refused::Target(text.to_owned()));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
