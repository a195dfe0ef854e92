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

impl Append for Vec<u8> {
    fn raw(&mut self, json: &str) {
        self.extend_from_slice(json.as_bytes());
    }

    fn string(&mut self, value: &str) {
        if value.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
            // It fails only where the writer fails, and a `Vec` doesn't.
            let _ = serde_json::to_writer(self, value);
            return;
        }
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
