//! Strings and numbers as `serde_json` writes them.

/// Appends bytes that are JSON already.
pub(super) trait Append {
    /// As it is.
    fn raw(&mut self, json: &str);
    /// A string with its quotes. Cost: a look at each byte and a copy; more only where a character must be escaped.
    fn string(&mut self, value: &str);
    /// A whole number. Cost: some nanoseconds.
    fn number(&mut self, value: impl itoa::Integer);
}

/// Whether nothing in a text must be escaped. Cost: some instructions for each eight bytes.
pub(crate) fn is_plain(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk() else {
        return !text.iter().any(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\');
    };
    // The last eight overlap those before.
    let (words, _) = text.as_chunks();
    words.iter().all(|word| is_plain_word(*word)) && is_plain_word(*last)
}

/// The usual search for a byte in a word: `(x - 0x01…) & !x` has the upper bit of a byte set that was 0, and of no byte when none was.
const fn is_plain_word(word: [u8; 8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const UPPER: u64 = ONES * 0x80;
    let word = u64::from_ne_bytes(word);
    let (quote, backslash) = (word ^ (ONES * b'"' as u64), word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    (control | quote | backslash) & UPPER == 0
}

impl Append for Vec<u8> {
    fn raw(&mut self, json: &str) {
        self.extend_from_slice(json.as_bytes());
    }

    fn string(&mut self, value: &str) {
        if !is_plain(value.as_bytes()) {
            // It fails only where the writer fails, and a `Vec` doesn't.
            let _ = serde_json::to_writer(self, value);
            return;
        }
        self.reserve(value.len() + 2);
        self.push(b'"');
        self.raw(value);
        self.push(b'"');
    }

    fn number(&mut self, value: impl itoa::Integer) {
        self.raw(itoa::Buffer::new().format(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_must_be_escaped_is_found_wherever_it_stands() {
        for length in 0..20 {
            for byte in 0..=u8::MAX {
                for at in 0..length {
                    let mut text = vec![b'a'; length];
                    text[at] = byte;
                    let escaped = byte < 0x20 || byte == b'"' || byte == b'\\';
                    assert_eq!(is_plain(&text), !escaped, "{byte} at {at} of {length}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_serde(value in any::<String>(), ascii in "[ -~\\x00-\\x1f\\x7f]{0,20}", number: i64) {
            for value in [value, ascii] {
                let mut out = Vec::new();
                out.string(&value);
                prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&value).unwrap());
            }
            let mut out = Vec::new();
            out.number(number);
            prop_assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}
