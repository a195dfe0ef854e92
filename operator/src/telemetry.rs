//! Logging to standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogFormat;

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--log-filter` is not a filter.
    #[error(
        "--log-filter `{filter}` is not valid: {source}; write a level such as `info`, or `info,keyplane_operator=debug`"
    )]
    Filter {
        /// The filter as it was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging was set up before.
    #[error("logging was set up already: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// The client logs the whole answer when it cannot read one, and an answer may hold a Secret. Behind whatever `--log-filter` says,
/// these lines stay off; what went wrong is in our own log.
const NEVER: &str = "kube_client::client=off";

/// Starts logging for the whole process.
pub fn start(format: LogFormat, filter: &str) -> Result<(), Error> {
    let parsed = parse(filter).map_err(|source| Error::Filter { filter: filter.to_owned(), source })?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => subscriber.finish().try_init()?,
        LogFormat::Json => subscriber.json().finish().try_init()?,
    }
    Ok(())
}

fn parse(filter: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    Ok(EnvFilter::builder().parse(filter)?.add_directive(NEVER.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_may_hold_a_secret_are_never_logged() {
        for filter in ["info", "trace", "kube_client=trace", "kube_client::client=trace"] {
            let parsed = parse(filter).unwrap().to_string();
            assert!(parsed.contains(NEVER) && !parsed.contains("kube_client::client=trace"), "{parsed}");
        }
        assert!(parse("a=nonsense").is_err());
    }
}
