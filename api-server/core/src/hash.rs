//! The SHA-256 of a plain key: the only form in which a key exists outside its own Secret.

use std::fmt;

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use sha2::{Digest, Sha256};

/// SHA-256 of a plain key. 32 bytes, compared and copied freely.
///
/// A plain key has at least 128 random bits when we made it, so its hash can't be turned back; still, logs and pages name a key by
/// its id and never by this: see [`fmt::Debug`], which shows the first four bytes only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash([u8; 32]);

/// A written hash that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseHashError {
    /// Neither 64 hex digits nor 43 or 44 characters of standard base64.
    #[error("sha256 must be 64 hex digits or 44 characters of standard base64, got {0} characters")]
    Length(usize),
    /// The length fits one of the two forms, the characters don't.
    #[error("sha256 is not valid {0}: write the 32 bytes of SHA-256 of the whole key as hex or standard base64")]
    Encoding(&'static str),
}

impl KeyHash {
    /// Hashes a plain key as it was handed over: nothing is trimmed. Cost: about 60 ns for a key of 32 bytes, no allocation.
    pub fn of(plain: &str) -> Self {
        Self(Sha256::digest(plain.as_bytes()).into())
    }

    /// The hash with these 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads hex (64 digits of either case) or standard base64 (44 characters, or 43 without the padding).
    pub fn parse(text: &str) -> Result<Self, ParseHashError> {
        let (bytes, encoding) = match text.len() {
            64 => (HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok(), "hex"),
            // The decoder takes several padded pieces in a row; a hash is one.
            44 if text.find('=') != Some(43) => return Err(ParseHashError::Encoding("base64")),
            44 => (BASE64.decode(text.as_bytes()).ok(), "base64"),
            43 => (BASE64_NOPAD.decode(text.as_bytes()).ok(), "base64"),
            other => return Err(ParseHashError::Length(other)),
        };
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(ParseHashError::Encoding(encoding))?;
        Ok(Self(bytes))
    }

    /// 64 lower-case hex digits, as status fields show it.
    pub fn to_hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// 44 characters of standard base64, as Unkey writes it.
    pub fn to_base64(&self) -> String {
        BASE64.encode(&self.0)
    }

    /// The first eight bytes as a number. They are uniformly spread already, so an index may use them as its table hash.
    pub fn prefix(&self) -> u64 {
        self.0.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({}…)", HEXLOWER.encode(&self.0[..4]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hash_of_a_known_key_is_its_sha256() {
        // FIPS 180-2, appendix B.1
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(KeyHash::of("abc").to_hex(), expected);
    }

    #[test]
    fn unreadable_hashes_say_why() {
        assert_eq!(KeyHash::parse("abc"), Err(ParseHashError::Length(3)));
        assert_eq!(KeyHash::parse(&"g".repeat(64)), Err(ParseHashError::Encoding("hex")));
        assert_eq!(KeyHash::parse(&"!".repeat(44)), Err(ParseHashError::Encoding("base64")));
        // 20 bytes and 12 bytes, each as a text of its own.
        let pieces = format!("{}={}", "A".repeat(27), "A".repeat(16));
        assert_eq!(KeyHash::parse(&pieces), Err(ParseHashError::Encoding("base64")));
    }

    #[test]
    fn debug_shows_four_bytes_at_most() {
        assert_eq!(format!("{:?}", KeyHash::of("abc")), "KeyHash(ba7816bf…)");
    }

    proptest! {
        #[test]
        fn every_written_form_reads_back(bytes: [u8; 32]) {
            let hash = KeyHash::from_bytes(bytes);
            prop_assert_eq!(KeyHash::parse(&hash.to_hex()), Ok(hash));
            prop_assert_eq!(KeyHash::parse(&hash.to_hex().to_uppercase()), Ok(hash));
            prop_assert_eq!(KeyHash::parse(&hash.to_base64()), Ok(hash));
            prop_assert_eq!(KeyHash::parse(hash.to_base64().trim_end_matches('=')), Ok(hash));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,70}") {
            let _ = KeyHash::parse(&text);
        }
    }
}
