//! The `keyplane-api-server` program: parse, log, and off to [`keyplane_api_server::run`].

use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, FromArgMatches};
use keyplane_api_server::config::Args;
use keyplane_api_server::run;
use zpages::{Flags, logging};

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
    logging::start(args.log_format, &args.log_filter, &[]).context("failed to set up logging")?;
    let runtime = tokio::runtime::Runtime::new().context("failed to start the async runtime")?;
    runtime.block_on(run::run(args, Flags::from_clap(&command, &matches)))
}
