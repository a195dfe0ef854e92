//! Structures as JSON and YAML, byte for byte as the Go encoders of Kubernetes write them.

use serde::Serialize;

use crate::yaml;

/// `value` as compact JSON with a final newline, or indented by two spaces without one.
///
/// # Errors
/// Those of [`serde_json`]: none for the plain structures of this crate.
pub(crate) fn json(value: &impl Serialize, pretty: bool) -> Result<String, serde_json::Error> {
    let mut text = if pretty { serde_json::to_string_pretty(value)? } else { serde_json::to_string(value)? };
    if !pretty {
        text.push('\n');
    }
    Ok(escape_as_go_does(text))
}

/// `value` as YAML with sorted keys.
///
/// # Errors
/// Those of [`serde_json`]: none for the plain structures of this crate.
pub(crate) fn yaml(value: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(yaml::document(&serde_json::to_value(value)?))
}

/// Go escapes what could end a script element or a JavaScript line. These characters occur in JSON only inside strings,
/// so the finished text can be rewritten.
pub(crate) fn escape_as_go_does(text: String) -> String {
    let escape = |found: char| matches!(found, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
    if !text.contains(escape) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for found in text.chars() {
        match found {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::json;

    #[test]
    fn compact_json_ends_in_a_newline_and_pretty_json_does_not() {
        let value = BTreeMap::from([("a", "1"), ("b", "2")]);
        assert_eq!(json(&value, false).unwrap(), "{\"a\":\"1\",\"b\":\"2\"}\n");
        assert_eq!(json(&value, true).unwrap(), "{\n  \"a\": \"1\",\n  \"b\": \"2\"\n}");
    }

    #[test]
    fn strings_are_escaped_as_go_escapes_them() {
        let value = "<a href='x'>&\u{2028}\u{2029}\u{8}\u{c}\n\t\u{1}\u{7f}\"\\é";
        let wanted = r#""\u003ca href='x'\u003e\u0026\u2028\u2029\b\f\n\t\u0001"#.to_owned() + "\u{7f}\\\"\\\\é\"\n";
        assert_eq!(json(&value, false).unwrap(), wanted);
    }
}
