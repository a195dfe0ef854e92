//! Logging to standard error, alike in every component.

use std::io::IsTerminal;
use std::sync::Arc;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::log_levels::LogLevels;

/// How log lines look. A clap value: declare a flag of this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// Not a filter.
    #[error(
        "log filter `{filter}` is not valid; write a level such as `info`, or directives such as `info,hyper=debug`"
    )]
    Filter {
        /// The filter as it was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging was set up before.
    #[error("logging was set up already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts logging for the whole process. `filter` is a level or a list of directives of `tracing_subscriber`; `never` are directives
/// that hold whatever the filter says, such as `some_client=off` for a library that logs what must not be logged. The
/// returned handle changes levels while the program runs: give it to [`crate::ZPages::debugging`], or drop it.
///
/// # Errors
/// A filter or directive that is none, or logging set up twice.
pub fn start(format: LogFormat, filter: &str, never: &[&str]) -> Result<LogLevels, LoggingError> {
    let parsed = parse(filter, never)?;
    // Colours are for people at a terminal; in a file they hide words from grep.
    let colours = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_ansi(colours).with_writer(std::io::stderr);
    Ok(match format {
        LogFormat::Text => {
            // The filter comes last: what is called before it would change the type that its handle belongs to.
            let builder = builder.with_env_filter(parsed).with_filter_reloading();
            let handle = builder.reload_handle();
            builder.finish().try_init()?;
            let reload = move |filter| handle.reload(filter).map_err(|error| error.to_string());
            LogLevels::new(filter, never, Arc::new(reload))
        }
        LogFormat::Json => {
            let builder = builder.json().with_env_filter(parsed).with_filter_reloading();
            let handle = builder.reload_handle();
            builder.finish().try_init()?;
            let reload = move |filter| handle.reload(filter).map_err(|error| error.to_string());
            LogLevels::new(filter, never, Arc::new(reload))
        }
    })
}

pub(crate) fn parse(filter: &str, never: &[&str]) -> Result<EnvFilter, LoggingError> {
    let wrong = |source| LoggingError::Filter { filter: filter.to_owned(), source };
    let mut parsed = EnvFilter::builder().parse(filter).map_err(wrong)?;
    for directive in never {
        parsed = parsed.add_directive(directive.parse().map_err(wrong)?);
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_never_be_logged_is_off_whatever_the_filter_says() {
        const NEVER: &str = "talkative::client=off";
        for filter in ["info", "trace", "talkative=trace", "talkative::client=trace"] {
            let parsed = parse(filter, &[NEVER]).unwrap().to_string();
            assert!(parsed.contains(NEVER) && !parsed.contains("talkative::client=trace"), "{parsed}");
        }
    }

    #[test]
    fn a_filter_that_is_none_is_named() {
        assert!(parse("a=nonsense", &[]).unwrap_err().to_string().contains("a=nonsense"));
    }
}
