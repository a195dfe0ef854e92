//! Text in double quotes as Go's `%q` writes it: what a client sent is shown on one line, whatever it holds.

use std::fmt::Write as _;

/// `text` in quotes; what is not printable as an escape.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        let short = match character {
            '"' | '\\' => character,
            '\u{7}' => 'a',
            '\u{8}' => 'b',
            '\u{c}' => 'f',
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            '\u{b}' => 'v',
            other if is_printable(other) => {
                quoted.push(other);
                continue;
            }
            other => {
                let code = u32::from(other);
                let _infallible = match code {
                    0..=0x7f => write!(quoted, "\\x{code:02x}"),
                    0x80..=0xffff => write!(quoted, "\\u{code:04x}"),
                    _ => write!(quoted, "\\U{code:08x}"),
                };
                continue;
            }
        };
        quoted.extend(['\\', short]);
    }
    quoted.push('"');
    quoted
}

/// Letters, marks, digits, punctuation, symbols and the space: Rust's own rule for what it shows as it is. Behind an `a`, because a mark
/// alone would be escaped; the quotes are dealt with above.
fn is_printable(character: char) -> bool {
    character == '\'' || format!("a{character}").escape_debug().count() == 2
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn escapes_are_those_of_go() {
        for (text, wanted) in [
            ("ping", r#""ping""#),
            ("", r#""""#),
            (r#"b"q\'"#, r#""b\"q\\'""#),
            ("\u{7}\u{8}\u{c}\n\r\t\u{b}\0\u{1b}\u{7f}", r#""\a\b\f\n\r\t\v\x00\x1b\x7f""#),
            ("é é\u{301} 😀 世界", "\"é é\u{301} 😀 世界\""),
            ("\u{80}\u{a0}\u{ad}\u{2028}\u{feff}", r#""\u0080\u00a0\u00ad\u2028\ufeff""#),
            ("\u{e0001}", r#""\U000e0001""#),
        ] {
            assert_eq!(quoted(text), wanted);
        }
    }
}
