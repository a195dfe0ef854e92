//! The `keyplane-api-server` program: parse, log, and off to [`keyplane_api_server::run`].

use clap::{CommandFactory, FromArgMatches};
use keyplane_api_server::config::Args;
use keyplane_api_server::run;
use zpages::{Flags, logging};

fn main() -> anyhow::Result<()> {
    let command = Args::command();
    let matches = command.clone().get_matches();
    let args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    logging::start(args.log_format, &args.log_filter)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run::run(args, Flags::from_clap(&command, &matches)))
}
