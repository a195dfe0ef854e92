//! The flags of a program, taken from its argument parser, with secrets already removed.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, ArgMatches, Command};

/// What stands for the value of a secret flag.
const CLASSIFIED: &str = "CLASSIFIED";

/// Names and values of all flags, as `/flagz` shows them. Holds no secret: it is replaced on the way in.
///
/// A flag is **secret when it is declared with `hide_env_values = true`**, the attribute that keeps its value out of
/// `--help` as well. It shows as `CLASSIFIED` when it is set and empty when it is not. A password inside a URL
/// (`scheme://user:password@host`) is replaced in every flag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    values: BTreeMap<String, String>,
}

impl Flags {
    /// No flags.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads every argument of `command` and of its subcommands that were used, so that a new flag appears without
    /// anyone thinking of it. `matches` must come from parsing with the same `command`.
    ///
    /// Names are the long names (`listen`), else the short ones, else the identifiers. Booleans are `true` or `false`,
    /// several values are joined by commas, unset flags without a default are empty.
    pub fn from_clap(command: &Command, matches: &ArgMatches) -> Self {
        let mut flags = Self::new();
        flags.read(command, matches);
        flags
    }

    /// Adds or replaces a flag that the argument parser does not know.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.values.insert(name.into(), without_password(value.into()));
        self
    }

    /// Adds or replaces a secret flag: only whether it is set.
    #[must_use]
    pub fn with_secret(mut self, name: impl Into<String>, is_set: bool) -> Self {
        self.values.insert(name.into(), if is_set { CLASSIFIED.to_owned() } else { String::new() });
        self
    }

    /// Names with the values to show, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn into_values(self) -> BTreeMap<String, String> {
        self.values
    }

    fn read(&mut self, command: &Command, matches: &ArgMatches) {
        for argument in command.get_arguments().filter(|argument| holds_a_value(argument)) {
            let value = value(argument, matches);
            let name = name(argument);
            if argument.is_hide_env_values_set() {
                self.values.insert(name, if value.is_empty() { value } else { CLASSIFIED.to_owned() });
            } else {
                self.values.insert(name, without_password(value));
            }
        }
        if let Some((name, matches)) = matches.subcommand()
            && let Some(subcommand) = command.find_subcommand(name)
        {
            self.read(subcommand, matches);
        }
    }
}

fn holds_a_value(argument: &Arg) -> bool {
    !matches!(argument.get_action(), ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version)
}

fn name(argument: &Arg) -> String {
    let short = || argument.get_short().map(String::from);
    let identifier = || argument.get_id().as_str().replace('_', "-");
    argument.get_long().map(str::to_owned).or_else(short).unwrap_or_else(identifier)
}

fn value(argument: &Arg, matches: &ArgMatches) -> String {
    // The raw form is what was written on the command line, in the environment or as the default, whatever its type.
    let raw = matches.try_get_raw(argument.get_id().as_str()).ok().flatten().into_iter().flatten();
    raw.map(|value| value.to_string_lossy().into_owned()).collect::<Vec<_>>().join(",")
}

/// Replaces what stands before the `@` of every URL in the value, where people leave passwords. Rather hides too much
/// (`?` and `#` are not taken for the end of a host) than a part of a password that should have been escaped.
fn without_password(value: String) -> String {
    let mut shown = String::with_capacity(value.len());
    let mut rest = value.as_str();
    while let Some(scheme) = rest.find("://") {
        let (before, after) = rest.split_at(scheme + "://".len());
        shown.push_str(before);
        let authority = after.split('/').next().unwrap_or_default();
        rest = after;
        if let Some(at) = authority.rfind('@') {
            shown.push_str(CLASSIFIED);
            rest = &after[at..];
        }
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests;
