//! YAML as the Go library of Kubernetes writes it: keys sorted, list items not indented under their key, long lines
//! folded, quotes where another reader could see something else than a string.
//!
//! No YAML crate writes this form, and clients compare it. How a single string looks is decided in [`scalar`].

mod output;
mod plain;
mod scalar;

use std::cmp::Ordering;

use output::Output;
use serde_json::Value;

/// `value` as a YAML document with a final newline.
pub(crate) fn document(value: &Value) -> String {
    let mut output = Output::default();
    if is_block(value) {
        block(&mut output, value, 0);
    } else {
        inline(&mut output, value, 0);
    }
    output.end_line();
    output.into_text()
}

/// A collection that is not empty, its lines indented by `indent` spaces.
fn block(output: &mut Output, value: &Value, indent: usize) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            sort_naturally(&mut entries);
            for (key, value) in entries {
                output.start_line(indent);
                scalar::write_key(output, key, indent);
                output.push(':');
                if is_block(value) {
                    block(output, value, if value.is_array() { indent } else { indent + 2 });
                } else {
                    output.push(' ');
                    inline(output, value, indent);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                output.start_line(indent);
                output.push('-');
                output.push(' ');
                if is_block(item) {
                    output.continue_line();
                    block(output, item, indent + 2);
                } else {
                    inline(output, item, indent);
                }
            }
        }
        scalar => inline(output, scalar, indent),
    }
}

/// Whether the value takes lines of its own.
fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn inline(output: &mut Output, value: &Value, indent: usize) {
    match value {
        Value::String(text) => scalar::write_value(output, text, indent),
        Value::Object(_) => output.push_text("{}"),
        Value::Array(_) => output.push_text("[]"),
        Value::Null => output.push_text("null"),
        Value::Bool(_) | Value::Number(_) => output.push_text(&value.to_string()),
    }
}

/// The order below is none for some odd mixes of digits and signs (upstream's result is then a matter of luck), so no
/// library sort may be used: it could panic. Insertion is cheap, since the keys come sorted by bytes.
fn sort_naturally(entries: &mut [(&String, &Value)]) {
    for end in 1..entries.len() {
        let mut at = end;
        while at > 0 && natural_order(entries[at].0, entries[at - 1].0) == Ordering::Less {
            entries.swap(at, at - 1);
            at -= 1;
        }
    }
}

/// The Go library's order of keys: runs of digits by their value, letters behind everything else.
fn natural_order(one: &str, other: &str) -> Ordering {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let Some(at) = one.iter().zip(&other).position(|(left, right)| left != right) else {
        return one.len().cmp(&other.len());
    };
    let (left, right) = (one[at], other[at]);
    match (left.is_alphabetic(), right.is_alphabetic()) {
        (true, true) => left.cmp(&right),
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            // In the middle of equal digits a following zero is not a leading one: `10` comes behind `1`.
            let inside = (left == '0' || right == '0')
                && one[..at].iter().rev().take_while(|digit| digit.is_ascii_digit()).any(|digit| *digit != '0');
            let (left_number, left_end) = number(&one, at, inside);
            let (right_number, right_end) = number(&other, at, inside);
            left_number.cmp(&right_number).then(left_end.cmp(&right_end)).then(left.cmp(&right))
        }
    }
}

/// The number that starts at `at`, and where it ends. As upstream it wraps around when it is too long.
fn number(text: &[char], at: usize, inside: bool) -> (i64, usize) {
    let digits = text[at..].iter().map_while(|digit| digit.to_digit(10));
    let (mut number, mut end) = (i64::from(inside), at);
    for digit in digits {
        number = number.wrapping_mul(10).wrapping_add(i64::from(digit));
        end += 1;
    }
    (number, end)
}

#[cfg(test)]
mod tests;
