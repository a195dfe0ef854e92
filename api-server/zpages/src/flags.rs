//! The flags of a program, taken from its argument parser, with secrets already removed.

use std::any::TypeId;
use std::collections::BTreeMap;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value};

/// What stands for the value of a secret flag.
const CLASSIFIED: &str = "CLASSIFIED";

/// Names and values of all flags, as `/flagz` shows them. Holds no secret: it is replaced on the way in.
///
/// A flag is **secret when it is declared with `hide_env_values = true`**, the attribute that keeps its value out of
/// `--help` as well. It shows as `CLASSIFIED` when it is set and empty when it is not. A password inside a URL
/// (`scheme://user:password@host`) is replaced in every flag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    values: BTreeMap<String, Shown>,
}

/// A value as the pages may show it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Shown {
    /// For `/flagz`, where all values are text.
    text: String,
    /// For `/configz`, where they have types.
    value: Value,
}

impl Shown {
    /// A value of which nothing is known but its text; nothing set when it is empty.
    fn text(text: String) -> Self {
        let value = if text.is_empty() { Value::Null } else { Value::String(text.clone()) };
        Self { text, value }
    }

    /// The values of an argument. A password may hold the comma that parts a list, so what the whole text hides decides.
    fn of(argument: &Arg, values: &[String]) -> Self {
        let text = without_password(&values.join(","));
        let values: Vec<String> = values.iter().map(|value| without_password(value)).collect();
        let value = if values.join(",") == text { typed(argument, values) } else { Value::String(text.clone()) };
        Self { text, value }
    }

    fn secret(is_set: bool) -> Self {
        Self::text(if is_set { CLASSIFIED.to_owned() } else { String::new() })
    }
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
        self.values.insert(name.into(), Shown::text(without_password(&value.into())));
        self
    }

    /// Adds or replaces a secret flag: only whether it is set.
    #[must_use]
    pub fn with_secret(mut self, name: impl Into<String>, is_set: bool) -> Self {
        self.values.insert(name.into(), Shown::secret(is_set));
        self
    }

    /// Names with the values to show, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.text.as_str()))
    }

    pub(crate) fn into_values(self) -> BTreeMap<String, String> {
        self.values.into_iter().map(|(name, value)| (name, value.text)).collect()
    }

    /// The flags as the fields of a configuration object: names in camel case, booleans, whole numbers and lists as such,
    /// everything else as text, what is not set as `null`. Secrets are what they are on `/flagz`.
    pub(crate) fn into_configuration(self) -> Map<String, Value> {
        self.values.into_iter().map(|(name, value)| (camel_case(&name), value.value)).collect()
    }

    fn read(&mut self, command: &Command, matches: &ArgMatches) {
        for argument in command.get_arguments().filter(|argument| holds_a_value(argument)) {
            let values = values(argument, matches);
            let shown = if argument.is_hide_env_values_set() {
                Shown::secret(values.iter().any(|value| !value.is_empty()))
            } else {
                Shown::of(argument, &values)
            };
            self.values.insert(name(argument), shown);
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

fn values(argument: &Arg, matches: &ArgMatches) -> Vec<String> {
    // The raw form is what was written on the command line, in the environment or as the default, whatever its type.
    let raw = matches.try_get_raw(argument.get_id().as_str()).ok().flatten().into_iter().flatten();
    raw.map(|value| value.to_string_lossy().into_owned()).collect()
}

/// The value with the type that the argument declares. Only what reads as one is a number or a boolean: the raw form may
/// be one that the parser of a program understands in its own way.
fn typed(argument: &Arg, mut values: Vec<String>) -> Value {
    let is_list = matches!(argument.get_action(), ArgAction::Append)
        || argument.get_value_delimiter().is_some()
        || argument.get_num_args().is_some_and(|range| range.max_values() > 1);
    if is_list {
        return values.into_iter().map(|value| scalar(argument, value)).collect();
    }
    values.pop().map_or(Value::Null, |value| scalar(argument, value))
}

fn scalar(argument: &Arg, text: String) -> Value {
    let of = argument.get_value_parser().type_id();
    let number = of == TypeId::of::<u16>()
        || of == TypeId::of::<u32>()
        || of == TypeId::of::<u64>()
        || of == TypeId::of::<usize>()
        || of == TypeId::of::<i32>()
        || of == TypeId::of::<i64>()
        || matches!(argument.get_action(), ArgAction::Count);
    let parsed = if of == TypeId::of::<bool>() {
        text.parse().ok().map(Value::Bool)
    } else if number {
        text.parse::<i64>().ok().map(Value::from)
    } else {
        None
    };
    parsed.unwrap_or(Value::String(text))
}

/// `ops-listen` is `opsListen`.
fn camel_case(name: &str) -> String {
    let mut words = name.split(['-', '_']);
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut joined, word| {
        let mut letters = word.chars();
        joined.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        joined.push_str(letters.as_str());
        joined
    })
}

/// Replaces what stands before the `@` of every URL in the value, where people leave passwords. Rather hides too much
/// (`?` and `#` are not taken for the end of a host) than a part of a password that should have been escaped.
fn without_password(value: &str) -> String {
    let mut shown = String::with_capacity(value.len());
    let mut rest = value;
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
