//! The `keyplane-api-server` program: parse, log, and off to [`keyplane_api_server::run`].

use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, FromArgMatches};
use keyplane_api_server::config::Args;
use keyplane_api_server::run;
use mimalloc::MiMalloc;
use zpages::{Flags, logging};

/// An answer takes some ten allocations, and threads free what others allocated: the system's allocator is a tenth of a request dearer.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The client logs the whole answer when it can't read one, and that of a `TokenReview` repeats the token.
const NEVER_LOGGED: &[&str] = &["kube_client::client=off"];

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, and never a backtrace: what stops a start is a matter of configuration, not of code.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> anyhow::Result<()> {
    let command = Args::command();
    let matches = command.clone().get_matches();
    let args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let log_levels =
        logging::start(args.log_format, &args.log_filter, NEVER_LOGGED).context("failed to set up logging")?;
    let runtime = tokio::runtime::Runtime::new().context("failed to start the async runtime")?;
    runtime.block_on(run::run(args, Flags::from_clap(&command, &matches), log_levels))
}
