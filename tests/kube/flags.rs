//! `/flagz` of both programs lists what their argument parsers know: a new flag appears without anyone's doing, and a secret stays one.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::{Arg, ArgAction, Command, CommandFactory};
use keyplane_tests::{Cluster, Program, Server, SharedCluster, Trial, trials};
use serde_json::{Map, Value};

const FLAGZ: &str = "application/json;g=config.k8s.io;v=v1beta1;as=Flagz";
/// Parts of names of flags whose value would be a secret.
const SECRET_NAMES: [&str; 5] = ["key", "password", "secret", "token", "credential"];

pub(crate) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster; every_flag_of_the_api_server_is_on_its_page, every_flag_of_the_operator_is_on_its_page]
}

async fn every_flag_of_the_api_server_is_on_its_page(_: Arc<Cluster>) -> Result<()> {
    let server = Program::api_server()?.flag("bootstrap-root-key", "a-root-key-of-nobody").start().await?;
    let shown = lists_every_flag(&server, &keyplane_api_server::config::Args::command()).await?;
    ensure!(shown["bootstrap-root-key"] == "CLASSIFIED", "{shown:?}");
    Ok(())
}

async fn every_flag_of_the_operator_is_on_its_page(cluster: Arc<Cluster>) -> Result<()> {
    let server = cluster.namespace("flags").await?.operator("a").await?.start().await?;
    lists_every_flag(&server, &keyplane_operator::config::Cli::command()).await?;
    Ok(())
}

/// Compares the page with the parser, both ways; returns the flags as shown.
async fn lists_every_flag(server: &Server, command: &Command) -> Result<Map<String, Value>> {
    let answer = server.http().get(server.ops_url("/flagz")).header("accept", FLAGZ).send().await?;
    let page: Value = serde_json::from_str(&answer.text().await?).context("/flagz is no JSON")?;
    let shown = page["flags"].as_object().context("/flagz has no flags")?;
    let arguments: Vec<&Arg> = command.get_arguments().filter(|argument| has_a_value(argument)).collect();

    let declared: BTreeSet<&str> = arguments.iter().filter_map(|argument| argument.get_long()).collect();
    let listed: BTreeSet<&str> = shown.keys().map(String::as_str).collect();
    ensure!(declared == listed && declared.len() > 5, "the parser knows {declared:?}, /flagz lists {listed:?}");

    for argument in arguments {
        let name = argument.get_long().unwrap_or_default();
        if argument.is_hide_env_values_set() {
            let value = &shown[name];
            ensure!(value == "" || value == "CLASSIFIED", "--{name} is a secret and shows as {value}");
        } else {
            let takes_text = argument.get_action().takes_values() && !names_a_file(argument);
            let sounds_secret = name.split('-').any(|word| SECRET_NAMES.contains(&word.trim_end_matches('s')));
            ensure!(!(takes_text && sounds_secret), "--{name} sounds like a secret: declare it with hide_env_values");
        }
    }
    Ok(shown.clone())
}

fn has_a_value(argument: &Arg) -> bool {
    !matches!(argument.get_action(), ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version)
}

/// The path of a file with a key in it is no secret.
fn names_a_file(argument: &Arg) -> bool {
    let names = argument.get_value_names().unwrap_or_default();
    names.iter().any(|name| matches!(name.as_str(), "FILE" | "DIR" | "PATH"))
}
