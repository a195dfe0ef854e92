//! How a plain key is made: `prefix_` and Base58 of random bytes, as Unkey's clients know it.

use std::fmt;

use crate::hash::KeyHash;

/// Bytes of randomness in a key when neither the key nor its keyspace says otherwise: 192 bits.
pub const DEFAULT_BYTE_LENGTH: u16 = 24;
/// The fewest and the most bytes of randomness that a key may have.
pub const BYTE_LENGTHS: std::ops::RangeInclusive<u16> = 16..=255;
/// A key that a person brings must have at least this many characters; shorter ones can be guessed.
pub const MIN_BROUGHT_LENGTH: usize = 16;
/// The longest key that can be verified (the API's own limit).
pub const MAX_LENGTH: usize = 512;
/// Characters after the prefix that `start` shows.
const START_LENGTH: usize = 4;

/// A plain key on its way to its owner. It can't be printed: [`fmt::Debug`] hides it and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct PlainKey(String);

/// A plain key that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlainKeyError {
    /// Below [`MIN_BROUGHT_LENGTH`].
    #[error("the key has {0} characters, at least {MIN_BROUGHT_LENGTH} are needed")]
    TooShort(usize),
    /// Above [`MAX_LENGTH`].
    #[error("the key has {0} characters, at most {MAX_LENGTH} can be verified")]
    TooLong(usize),
    /// Leading or trailing white space, most often the newline that an editor or `echo` added.
    #[error(
        "the key begins or ends with white space, often a newline added by `echo`; write it with `printf %s` or `echo -n`"
    )]
    WhiteSpace,
    /// A control character, such as a line break: no HTTP header can carry it, and such a key is never verified.
    #[error("the key holds a control character, such as a line break; a key is one line of text")]
    ControlCharacter,
    /// Not text.
    #[error("the key is not valid UTF-8")]
    NotText,
}

/// The hash of what someone presented as a key; `None` when no key looks like it, and then nothing is hashed.
///
/// That is a text which is empty, longer than [`MAX_LENGTH`], begins or ends with white space or holds an ASCII control character. It is
/// the form alone that is looked at: keys that we make have no checksum, and imported ones may be any text.
/// Cost: some nanoseconds, and those of [`KeyHash::of`] for a text that may be a key.
pub fn presented(text: &str) -> Option<KeyHash> {
    presented_by(text, KeyHash::of)
}

fn presented_by(text: &str, hash: impl FnOnce(&str) -> KeyHash) -> Option<KeyHash> {
    may_be_key(text).then(|| hash(text))
}

/// Whether a text has the form that every key has. Cost: some nanoseconds.
pub fn may_be_key(text: &str) -> bool {
    // Only a text with more bytes than characters allowed is counted.
    let short = text.len() <= MAX_LENGTH || text.chars().nth(MAX_LENGTH).is_none();
    !text.is_empty() && short && !has_control(text) && !has_white_edge(text)
}

fn has_control(text: &str) -> bool {
    // Without a branch for each byte it is done for sixteen at once.
    text.bytes().fold(false, |found, byte| found | byte.is_ascii_control())
}

/// White space at either end. Cost: a look at both ends, where trimming decodes more than that.
fn has_white_edge(text: &str) -> bool {
    text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace)
}

impl PlainKey {
    /// Makes a key from random bytes, one byte of the key for each byte of `entropy`.
    pub fn generate(prefix: Option<&str>, entropy: &[u8]) -> Self {
        let random = bs58::encode(entropy).into_string();
        Self(match prefix.filter(|prefix| !prefix.is_empty()) {
            Some(prefix) => format!("{prefix}_{random}"),
            None => random,
        })
    }

    /// A key that exists already, as it lies in a Secret. Nothing is trimmed: a key that verifies only after trimming would verify
    /// here and fail at its user's.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PlainKeyError> {
        let text = std::str::from_utf8(bytes).map_err(|_| PlainKeyError::NotText)?;
        if has_white_edge(text) {
            return Err(PlainKeyError::WhiteSpace);
        }
        if has_control(text) {
            return Err(PlainKeyError::ControlCharacter);
        }
        match text.chars().count() {
            length if length < MIN_BROUGHT_LENGTH => Err(PlainKeyError::TooShort(length)),
            length if length > MAX_LENGTH => Err(PlainKeyError::TooLong(length)),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// Wraps a text that may be no usable key, so that it can't be printed on its way to [`Self::from_bytes`].
    pub fn unchecked(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The key itself, for the Secret or the one answer that hands it over. Every use is a place to review.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What everything else may know of the key.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }

    /// What people recognise a key by: the prefix and the first four characters (`pay_3kTq`), or the first four alone.
    /// The prefix is what stands before the last underscore, since Base58 has none.
    pub fn start(&self) -> String {
        let (prefix, random) = self
            .0
            .rsplit_once('_')
            .map_or(("", self.0.as_str()), |(_, random)| (&self.0[..self.0.len() - random.len()], random));
        prefix.chars().chain(random.chars().take(START_LENGTH)).collect()
    }
}

impl fmt::Debug for PlainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainKey(<redacted>)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_is_prefix_and_base58() {
        // The test vectors of draft-msporny-base58.
        let key = PlainKey::generate(Some("pay"), b"Hello World!");
        assert_eq!(key.expose(), "pay_2NEpo7TZRRrLZSi2U");
        assert_eq!(PlainKey::generate(None, &[0x00, 0x00, 0x28, 0x7f, 0xb4, 0xcd]).expose(), "11233QC4");
        assert_eq!(PlainKey::generate(Some(""), &[255]).expose(), PlainKey::generate(None, &[255]).expose());
    }

    #[test]
    fn start_is_prefix_and_four_characters() {
        for (key, start) in
            [("pay_3kTqXyz", "pay_3kTq"), ("a_b_3kTqXyz", "a_b_3kTq"), ("3kTqXyz", "3kTq"), ("é€ßøå", "é€ßø")]
        {
            assert_eq!(PlainKey(key.to_owned()).start(), start);
        }
    }

    #[test]
    fn a_brought_key_is_taken_as_it_is_or_refused_with_the_reason() {
        assert_eq!(PlainKey::from_bytes(b"0123456789abcdef").map(|k| k.start()), Ok("0123".to_owned()));
        assert_eq!(PlainKey::from_bytes(b"0123456789abcdef\n"), Err(PlainKeyError::WhiteSpace));
        assert_eq!(PlainKey::from_bytes(b"short"), Err(PlainKeyError::TooShort(5)));
        assert_eq!(PlainKey::from_bytes(&[b'x'; 513]), Err(PlainKeyError::TooLong(513)));
        assert_eq!(PlainKey::from_bytes(&[0xff; 20]), Err(PlainKeyError::NotText));
        assert_eq!(PlainKey::from_bytes(b"0123456789\nabcdef"), Err(PlainKeyError::ControlCharacter));
    }

    #[test]
    fn what_cannot_be_a_key_is_not_hashed() {
        let unhashed = |_: &str| -> KeyHash { unreachable!("hashed") };
        for text in ["", " key", "key ", "key\n", "\tkey", "ke\ny", "ke\0y", "k\u{7f}", "\u{2003}key"] {
            assert_eq!(presented_by(text, unhashed), None, "{text:?}");
        }
        assert_eq!(presented_by(&"x".repeat(MAX_LENGTH + 1), unhashed), None);
        assert_eq!(presented_by(&"é".repeat(MAX_LENGTH + 1), unhashed), None);
    }

    #[test]
    fn what_may_be_a_key_is_hashed_as_it_is() {
        for text in ["k", "pay_3kTq", "correct horse battery", &"é".repeat(MAX_LENGTH), &"x".repeat(MAX_LENGTH)] {
            assert_eq!(presented(text), Some(KeyHash::of(text)));
        }
    }

    proptest::proptest! {
        #[test]
        fn every_key_that_someone_may_bring_can_be_presented(bytes in proptest::collection::vec(0..=255_u8, 0..40), filler in ".{0,20}") {
            for bytes in [bytes, filler.into_bytes()] {
                if let Ok(key) = PlainKey::from_bytes(&bytes) {
                    proptest::prop_assert_eq!(presented(key.expose()), Some(key.hash()));
                }
            }
        }
    }

    #[test]
    fn a_plain_key_does_not_print_itself() {
        assert_eq!(format!("{:?}", PlainKey::generate(None, &[7; 24])), "PlainKey(<redacted>)");
    }
}
