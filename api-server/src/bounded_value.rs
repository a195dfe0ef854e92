//! Reads a document of any format into a [`Value`] of bounded weight.
//!
//! What a stranger sends is small on the wire and large in memory: seven bytes (`{"":0},`) become a map of 700, and an alias in YAML makes
//! ten bytes stand for a megabyte. Here reading ends where the value would weigh more than it may. Depth is the format's own affair: both
//! `serde_json` and `serde_yaml` stop at 128 levels. And unlike `Value`'s own reader this one knows no magic names: in it the field
//! `$serde_json::private::RawValue` makes a text be read as a document of its own, with another 128 levels.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Bytes of a value in a list that is grown: 32, in a buffer up to half empty.
const VALUE: usize = 64;
/// Bytes of the first node of a map.
const MAP: usize = 640;
/// Bytes of one more field: its share of a node that is half full.
const FIELD: usize = 128;

/// Reads a value that takes no more than about `max_bytes` of memory. Cost: linear in what is read.
///
/// # Errors
/// The document's own, and one for a value that is too heavy.
pub(crate) fn read<'de, D: Deserializer<'de>>(document: D, max_bytes: usize) -> Result<Value, D::Error> {
    let left = Cell::new(max_bytes);
    Bounded { max_bytes, left: &left }.deserialize(document)
}

/// Reads JSON that takes no more than about `max_bytes` of memory.
///
/// # Errors
/// As [`read`]; a value that is too heavy is an error of the category `Data`.
pub(crate) fn read_json(text: &[u8], max_bytes: usize) -> Result<Value, serde_json::Error> {
    let mut document = serde_json::Deserializer::from_slice(text);
    let value = read(&mut document, max_bytes)?;
    document.end()?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Bounded<'a> {
    max_bytes: usize,
    left: &'a Cell<usize>,
}

impl Bounded<'_> {
    fn take<E: Error>(self, bytes: usize) -> Result<(), E> {
        let left = self.left.get().checked_sub(bytes).ok_or_else(|| {
            E::custom(format_args!("it takes more than {} bytes of memory; send less at once", self.max_bytes))
        })?;
        self.left.set(left);
        Ok(())
    }

    fn taken<E: Error>(self, value: impl Into<Value>) -> Result<Value, E> {
        self.take(VALUE)?;
        Ok(value.into())
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<Value, D::Error> {
        document.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.taken(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.taken(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.taken(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.taken(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.take(text.len())?;
        self.taken(text)
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        self.take(text.len())?;
        self.taken(text)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.taken(Value::Null)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.taken(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, document: D) -> Result<Value, D::Error> {
        self.deserialize(document)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        self.taken(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            self.take(name.len() + if map.is_empty() { MAP } else { FIELD })?;
            map.insert(name, fields.next_value_seed(self)?);
        }
        self.taken(map)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const MAX: usize = 100_000;

    fn json(text: &str) -> Result<Value, String> {
        read_json(text.as_bytes(), MAX).map_err(|error| error.to_string())
    }

    fn yaml(text: &str) -> Result<Value, String> {
        read(serde_yaml::Deserializer::from_str(text), MAX).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_small_on_the_wire_and_large_in_memory_is_refused() {
        for text in [
            format!("[{}0]", r#"{"":0},"#.repeat(1_000)),
            format!("[{}0]", "0,".repeat(10_000)),
            format!("[{}0]", "[],".repeat(10_000)),
            format!("{{{}\"x\":0}}", (0..10_000).fold(String::new(), |text, n| text + &format!("\"{n}\":0,"))),
            format!("\"{}\"", "x".repeat(MAX)),
        ] {
            assert!(json(&text).unwrap_err().contains("more than 100000 bytes of memory"), "{}", &text[..20]);
        }
        assert!(json(&format!("[{}0]", "0,".repeat(1_000))).is_ok());
    }

    #[test]
    fn an_alias_weighs_what_it_stands_for() {
        let text = format!("a: &a {}\nb: [{}0]", "x".repeat(10_000), "*a, ".repeat(20));
        assert!(yaml(&text).unwrap_err().contains("bytes of memory"), "a text, 20 times");
        // The classic: each level ten times the one below. It would be 10^9 texts.
        let mut laughs = "a: &a [lol,lol,lol,lol,lol,lol,lol,lol,lol,lol]\n".to_owned();
        for (below, level) in ('a'..'i').zip('b'..) {
            let nine = format!("*{below},").repeat(9);
            laughs.extend(["", &format!("{level}: &{level} [{nine}*{below}]\n")]);
        }
        assert!(yaml(&laughs).is_err());
        assert_eq!(yaml("a: &a [1]\nb: *a"), Ok(json!({"a": [1], "b": [1]})));
        assert!(yaml("a: &a [*a]").is_err(), "what holds itself has no end");
    }

    #[test]
    fn depth_has_an_end() {
        for levels in [129, 10_000, 1_000_000] {
            let text = |open: &str, close: &str| format!("{}0{}", open.repeat(levels), close.repeat(levels));
            assert!(json(&text("[", "]")).unwrap_err().contains("recursion limit"), "{levels}");
            assert!(json(&text(r#"{"a":"#, "}")).unwrap_err().contains("recursion limit"), "{levels}");
            if levels < 100_000 {
                assert!(yaml(&text("[", "]")).is_err(), "{levels}");
                assert!(yaml(&"- ".repeat(levels)).is_err(), "{levels}");
            }
        }
        assert!(json(&format!("{}0{}", "[".repeat(100), "]".repeat(100))).is_ok());
    }

    #[test]
    fn no_name_of_a_field_is_magic() {
        for name in ["$serde_json::private::RawValue", "$serde_json::private::Number"] {
            let value = json!({ name: "[1, 2]" });
            assert_eq!(json(&value.to_string()), Ok(value));
        }
    }

    #[test]
    fn what_follows_the_value_is_an_error() {
        assert!(json("{} {}").unwrap_err().contains("trailing characters"));
        assert!(json("").unwrap_err().contains("EOF"));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(value in value()) {
            // Through text once, as floats may lose a digit there.
            let text = value.to_string();
            let expected: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read_json(text.as_bytes(), usize::MAX).unwrap(), expected);
        }
    }
}
