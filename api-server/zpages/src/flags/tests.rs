//! What the argument parser says about the flags.

use clap::{Arg, ArgAction, Command, CommandFactory, Parser, Subcommand};

use super::Flags;

const SECRET: &str = "hunter2-very-secret";

#[derive(Parser)]
#[command(version)]
struct Options {
    #[arg(long, default_value = "127.0.0.1:8081")]
    ops_listen: String,
    #[arg(long, value_delimiter = ',')]
    namespaces: Vec<String>,
    #[arg(long)]
    dry_run: bool,
    #[arg(short, action = ArgAction::Count)]
    verbose: u8,
    #[arg(long)]
    database: Option<String>,
    #[arg(long, hide_env_values = true)]
    root_key: Option<String>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    Run {
        #[arg(long, default_value_t = 15)]
        lease_seconds: u32,
        #[arg(hide_env_values = true)]
        token_words: Vec<String>,
    },
    Other {
        #[arg(long)]
        unseen: Option<String>,
    },
}

fn flags(arguments: &[&str]) -> Vec<(String, String)> {
    let command = Options::command();
    let matches = command.clone().get_matches_from([&["program"], arguments].concat());
    owned(&Flags::from_clap(&command, &matches))
}

fn owned(flags: &Flags) -> Vec<(String, String)> {
    flags.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn pairs(wanted: &[(&str, &str)]) -> Vec<(String, String)> {
    wanted.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn every_flag_is_listed_set_or_not() {
    let wanted = [
        ("database", ""),
        ("dry-run", "false"),
        ("namespaces", ""),
        ("ops-listen", "127.0.0.1:8081"),
        ("root-key", ""),
        ("v", "0"),
    ];
    assert_eq!(flags(&[]), pairs(&wanted));
}

#[test]
fn values_are_shown_as_they_were_given() {
    let given =
        ["--dry-run", "--namespaces", "a,b", "--namespaces=c", "-vv", "--ops-listen", "[::1]:0", "--database=x"];
    let wanted = [
        ("database", "x"),
        ("dry-run", "true"),
        ("namespaces", "a,b,c"),
        ("ops-listen", "[::1]:0"),
        ("root-key", ""),
        ("v", "2"),
    ];
    assert_eq!(flags(&given), pairs(&wanted));
}

#[test]
fn flags_of_the_subcommand_in_use_are_listed_and_those_of_others_are_not() {
    let shown = flags(&["--dry-run", "run", "--lease-seconds", "7"]);
    let shown: Vec<_> = shown.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert!(shown.contains(&("lease-seconds", "7")), "{shown:?}");
    assert!(shown.contains(&("dry-run", "true")), "{shown:?}");
    assert!(shown.contains(&("token-words", "")), "{shown:?}");
    assert!(shown.iter().all(|(name, _)| *name != "unseen" && *name != "help" && *name != "version"), "{shown:?}");
}

#[test]
fn a_secret_shows_that_it_is_set_and_nothing_else() {
    let shown = flags(&["--root-key", SECRET, "run", SECRET, SECRET]);
    assert!(shown.contains(&("root-key".to_owned(), "CLASSIFIED".to_owned())), "{shown:?}");
    assert!(shown.contains(&("token-words".to_owned(), "CLASSIFIED".to_owned())), "{shown:?}");
    assert!(!format!("{shown:?}").contains(SECRET), "{shown:?}");
}

#[test]
fn the_values_do_not_survive_in_the_debug_form_either() {
    let command = Options::command();
    let matches = command.clone().get_matches_from(["program", "--root-key", SECRET]);
    assert!(!format!("{:?}", Flags::from_clap(&command, &matches)).contains(SECRET));
}

#[test]
fn passwords_in_urls_are_hidden_in_every_flag() {
    for (given, shown) in [
        ("postgres://me:pw@host/db", "postgres://CLASSIFIED@host/db"),
        ("postgres://me:p@w@host/db", "postgres://CLASSIFIED@host/db"),
        ("http://a/b,https://u:p?#w@c:1", "http://a/b,https://CLASSIFIED@c:1"),
        ("https://host/path/@scope", "https://host/path/@scope"),
        ("somebody@example.com", "somebody@example.com"),
        ("://", "://"),
        ("é://ü@ö", "é://CLASSIFIED@ö"),
    ] {
        assert_eq!(owned(&Flags::new().with("url", given)), pairs(&[("url", shown)]));
    }
    assert!(flags(&["--database", "pg://u:p@h"]).contains(&("database".to_owned(), "pg://CLASSIFIED@h".to_owned())));
}

#[test]
fn flags_can_be_added_by_hand() {
    let flags = Flags::new().with("a", "1").with("a", "2").with_secret("b", true).with_secret("c", false);
    assert_eq!(owned(&flags), pairs(&[("a", "2"), ("b", "CLASSIFIED"), ("c", "")]));
}

#[test]
fn matches_of_another_command_do_no_harm() {
    let matches = Command::new("other").get_matches_from(["other"]);
    let command = Command::new("this").arg(Arg::new("x").long("x"));
    assert_eq!(owned(&Flags::from_clap(&command, &matches)), pairs(&[("x", "")]));
}

#[test]
fn a_configuration_has_types_and_the_same_secrets() {
    let command = Options::command();
    let given = ["--namespaces=a,b", "-vv", "--root-key", SECRET, "--database=pg://u:p@h", "run"];
    let matches = command.clone().get_matches_from(["program"].iter().chain(&given));
    let configuration = Flags::from_clap(&command, &matches).with("hub", "").into_configuration();
    let wanted = serde_json::json!({
        "database": "pg://CLASSIFIED@h",
        "dryRun": false,
        "hub": null,
        "leaseSeconds": 15,
        "namespaces": ["a", "b"],
        "opsListen": "127.0.0.1:8081",
        "rootKey": "CLASSIFIED",
        "tokenWords": null,
        "v": 2,
    });
    assert_eq!(serde_json::Value::Object(configuration), wanted);
}

#[test]
fn a_password_with_a_comma_is_hidden_in_a_list_too() {
    let command = Options::command();
    let matches = command.clone().get_matches_from(["program", "--namespaces=pg://u:hun,ter2@h"]);
    let configuration = Flags::from_clap(&command, &matches).into_configuration();
    assert_eq!(configuration["namespaces"], "pg://CLASSIFIED@h");
}
