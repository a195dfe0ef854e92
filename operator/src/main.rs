//! The `keyplane-operator` program: parse, log, and off to [`keyplane_operator::run`].

use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, FromArgMatches};
use keyplane_operator::config::{Cli, Command, RunArgs};
use keyplane_operator::{crds, run};
use zpages::{Flags, logging};

/// The client logs the whole answer when it can't read one, and an answer may hold a Secret. What went wrong is in our own log.
const NEVER_LOGGED: &[&str] = &["kube_client::client=off"];

fn main() -> ExitCode {
    run_command().unwrap_or_else(|error| {
        // One line, and never a backtrace: what stops a start is a matter of configuration, not of code.
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run_command() -> anyhow::Result<ExitCode> {
    let command = Cli::command();
    let matches = command.clone().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.command {
        Some(Command::Crd { write: None }) => crds::print().context("failed to print the resource definitions")?,
        Some(Command::Crd { write: Some(directory) }) => crds::write(&directory)
            .with_context(|| format!("failed to write the resource definitions into {}", directory.display()))?,
        Some(Command::Run(args)) => {
            let (name, matches) = matches.subcommand().context("the subcommand went missing")?;
            let command = command.find_subcommand(name).context("the subcommand went missing")?;
            return start(*args, Flags::from_clap(command, matches));
        }
        None => return start(cli.run, Flags::from_clap(&command, &matches)),
    }
    Ok(ExitCode::SUCCESS)
}

fn start(args: RunArgs, flags: Flags) -> anyhow::Result<ExitCode> {
    let log_levels =
        logging::start(args.log_format, &args.log_filter, NEVER_LOGGED).context("failed to set up logging")?;
    let runtime = tokio::runtime::Runtime::new().context("failed to start the async runtime")?;
    let ended = runtime.block_on(run::run(args, flags, log_levels));
    // Reconciles that outlived their deadline must not hold the process.
    runtime.shutdown_background();
    Ok(ExitCode::from(ended?))
}
