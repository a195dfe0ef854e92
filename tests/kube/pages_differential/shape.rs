//! The shape of a body: its lines, with the facts about one process replaced by their type.

use std::fmt::Write as _;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Fields that say what is true of one process only.
const OWN_FACTS: [&str; 14] = [
    "startTime",
    "uptimeSeconds",
    "goVersion",
    "binaryVersion",
    "emulationVersion",
    "name",
    // Of /version.
    "major",
    "minor",
    "gitVersion",
    "gitCommit",
    "gitTreeState",
    "buildDate",
    "compiler",
    "platform",
];
/// The same facts as the text of `/statusz` names them.
const OWN_LINES: [&str; 6] = ["Started", "Up", "Go version", "Binary version", "Emulation version", "Paths"];

/// The lines of the shape of a body of this content type.
pub(super) fn of(content_type: &str, body: &[u8]) -> Vec<String> {
    let Ok(text) = std::str::from_utf8(body) else { return vec![format!("{} bytes that are no text", body.len())] };
    if text.is_empty() {
        return Vec::new();
    }
    match content_type.split(';').next().unwrap_or_default() {
        "application/json" => json(text),
        "application/yaml" => yaml(text),
        _ if content_type.contains("version=0.0.4") => vec!["metrics".to_owned()],
        _ => page(text).unwrap_or_else(|| checks(text)),
    }
}

/// Pages for people: the first line is empty, the second names component and page.
fn page(text: &str) -> Option<Vec<String>> {
    let mut lines = text.strip_prefix('\n')?.split('\n');
    let (_component, page) = lines.next()?.rsplit_once(' ')?;
    let mut shape = vec![String::new(), format!("COMPONENT {page}"), lines.next()?.to_owned()];
    match page {
        "statusz" => shape.extend(lines.map(statusz_line)),
        "flagz" => shape.push(flags(&lines.collect::<Vec<_>>())),
        _ => return None,
    }
    Some(shape)
}

/// `Up= 1 hr 02 min 03 sec` is `Up<delimiter> D hr DD min DD sec`.
fn statusz_line(line: &str) -> String {
    let Some(name) = OWN_LINES.into_iter().find(|name| line.starts_with(name)) else { return line.to_owned() };
    let rest = &line[name.len()..];
    // The sign is drawn at random; one space follows it.
    let value = [":  ", ": ", "= ", "  "].into_iter().find_map(|sign| rest.strip_prefix(sign));
    let Some(value) = value else { return format!("{name}, and then no known sign: {rest:?}") };
    match name {
        "Started" => format!("{name} {}", unix_date(value)),
        "Up" => format!("{name} {}", digits(value.split_once(' ').map_or(value, |(_, after)| after))),
        "Paths" => format!("{name} {}", listed(&value.split(' ').collect::<Vec<_>>())),
        _ => format!("{name} VALUE"),
    }
}

/// `Mon Jan _2 15:04:05 MST 2006`: letters and digits by their class.
fn unix_date(date: &str) -> String {
    let mut shape = String::new();
    for (at, character) in date.char_indices() {
        shape.push(match character {
            // The first digit of the day may be a space.
            ' ' if at == 8 => '0',
            digit if digit.is_ascii_digit() => '0',
            letter if letter.is_ascii_alphabetic() => 'a',
            other => other,
        });
    }
    shape
}

fn digits(text: &str) -> String {
    text.chars().map(|character| if character.is_ascii_digit() { '0' } else { character }).collect()
}

fn listed(paths: &[&str]) -> &'static str {
    let sorted = paths.windows(2).all(|pair| pair[0] < pair[1]);
    let roots =
        paths.iter().all(|path| path.strip_prefix('/').is_some_and(|rest| !rest.is_empty() && !rest.contains('/')));
    if sorted && roots { "sorted first segments" } else { "in disorder" }
}

/// All flags as one line; the last line of the page is the empty one behind the final newline.
fn flags(lines: &[&str]) -> String {
    let Some((last, lines)) = lines.split_last() else { return "no flags and no final newline".to_owned() };
    for sign in [": ", ":", "=", " "] {
        let names: Option<Vec<&str>> = lines.iter().map(|line| Some(line.split_once(sign)?.0)).collect();
        // A sign fits when no name before it could be part of a value: names have none of these characters.
        if let Some(names) = names.filter(|names| names.iter().all(|name| !name.contains([':', '=', ' ']))) {
            let sorted = names.windows(2).all(|pair| pair[0] < pair[1]);
            return format!("flags, sorted: {sorted}, final newline: {}", last.is_empty());
        }
    }
    format!("flags with no one sign: {lines:?}")
}

/// `[+]NAME ok` and its like; the check `ping` is on both sides, others are each side's own.
fn checks(text: &str) -> Vec<String> {
    let own_and_well = |line: &str| {
        line.starts_with("[+]") && line.ends_with(" ok") && line != "[+]ping ok" && !line.contains("excluded")
    };
    text.split('\n').filter(|line| !own_and_well(line)).map(str::to_owned).collect()
}

/// YAML by its lines: keys and indentation stay, facts and lists lose their values.
fn yaml(text: &str) -> Vec<String> {
    let mut shape: Vec<String> = Vec::new();
    let mut within_flags = false;
    for line in text.split('\n') {
        within_flags = line == "flags:" || (within_flags && line.starts_with("  "));
        let key = line.trim_start().split(':').next().unwrap_or_default();
        let shown = if within_flags && line != "flags:" {
            "  FLAGS".to_owned()
        } else if line.starts_with("- /") {
            "- PATHS".to_owned()
        } else if OWN_FACTS.contains(&key) {
            let value = line.split_once(": ").map_or("", |(_, value)| value);
            // A version may be a number to YAML and then has quotes: which one it is depends on the version.
            let quoted = key == "startTime" && value.starts_with('"');
            format!("{}: {}", &line[..line.find(':').unwrap_or(line.len())], if quoted { "\"VALUE\"" } else { "VALUE" })
        } else {
            line.to_owned()
        };
        if shape.last() != Some(&shown) || shown.is_empty() {
            shape.push(shown);
        }
    }
    shape
}

/// JSON by its fields in their order, and by how it is laid out.
fn json(text: &str) -> Vec<String> {
    let node: Node = match serde_json::from_str(text) {
        Ok(node) => node,
        Err(error) => return vec![format!("no JSON ({error}): {text}")],
    };
    // Go escapes these three in strings, so none of them may stand in the text.
    let plain = text.replace("\\u003c", "<").replace("\\u003e", ">").replace("\\u0026", "&");
    let layout = if text.contains(['<', '>', '&']) {
        "not escaped as Go does it"
    } else if serde_json::to_string(&node).is_ok_and(|compact| compact + "\n" == plain) {
        "compact with a final newline"
    } else if serde_json::to_string(&node).is_ok_and(|compact| compact == plain) {
        "compact without a final newline"
    } else if serde_json::to_string_pretty(&node).is_ok_and(|pretty| pretty == plain) {
        "indented without a final newline"
    } else {
        "in a layout of its own"
    };
    let mut shape = vec![layout.to_owned()];
    node.fields("", &mut shape);
    shape
}

/// JSON whose objects keep the order of their fields.
enum Node {
    Scalar(serde_json::Value),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    fn fields(&self, path: &str, shape: &mut Vec<String>) {
        match self {
            Self::Object(fields) if path == ".flags" => {
                let sorted = fields.windows(2).all(|pair| pair[0].0 < pair[1].0);
                let texts = fields.iter().all(|(_, value)| matches!(value, Self::Scalar(value) if value.is_string()));
                shape.push(format!("{path}: sorted: {sorted}, texts: {texts}"));
            }
            Self::Array(items) if path == ".paths" => {
                let paths: Option<Vec<&str>> =
                    items.iter().map(|item| if let Self::Scalar(item) = item { item.as_str() } else { None }).collect();
                shape.push(format!("{path}: {}", paths.map_or("no texts", |paths| listed(&paths))));
            }
            Self::Object(fields) if !fields.is_empty() => {
                for (name, value) in fields {
                    value.fields(&format!("{path}.{name}"), shape);
                }
            }
            Self::Object(_) => shape.push(format!("{path}: {{}}")),
            Self::Array(items) => shape.push(format!("{path}: array of {}", items.len())),
            Self::Scalar(value) => {
                let own = OWN_FACTS.iter().any(|name| path.rsplit('.').next() == Some(name));
                let mut line = format!("{path}: ");
                let _infallible = match value {
                    serde_json::Value::String(text) if own && path == ".startTime" => write!(line, "{}", digits(text)),
                    serde_json::Value::String(_) if own => write!(line, "text"),
                    serde_json::Value::Number(_) if own => write!(line, "number"),
                    other => write!(line, "{other}"),
                };
                shape.push(line);
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ordered;
        impl<'de> Visitor<'de> for Ordered {
            type Value = Node;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Scalar(serde_json::Value::Null))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
                let mut array = Vec::new();
                while let Some(item) = items.next_element()? {
                    array.push(item);
                }
                Ok(Node::Array(array))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
                let mut object = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    object.push(entry);
                }
                Ok(Node::Object(object))
            }
        }
        deserializer.deserialize_any(Ordered)
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Scalar(value) => value.serialize(serializer),
            Self::Array(items) => {
                let mut sequence = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| sequence.serialize_element(item))?;
                sequence.end()
            }
            Self::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }
    }
}
