//! Keys that people bring, and written hashes.

use keyplane_core::hash::KeyHash;
use keyplane_core::key::{MAX_LENGTH, MIN_BROUGHT_LENGTH, PlainKey};

/// A key is taken byte by byte or not at all, and can't be printed; a hash that is read is read again from each of its forms.
pub fn key(bytes: &[u8]) {
    match PlainKey::from_bytes(bytes) {
        Ok(key) => {
            let text = key.expose();
            assert_eq!(text.as_bytes(), bytes, "nothing is trimmed");
            assert!((MIN_BROUGHT_LENGTH..=MAX_LENGTH).contains(&text.chars().count()) && text.trim() == text);
            assert_eq!(key.hash(), KeyHash::of(text));
            assert_eq!(format!("{key:?}"), "PlainKey(<redacted>)");
            let start = key.start();
            assert!(text.starts_with(&start), "{start:?} is not the beginning");
            let random = text.rsplit_once('_').map_or(text, |(_, random)| random);
            assert!(
                start.chars().count() <= text.chars().count() - random.chars().count() + 4,
                "{start:?} shows too much"
            );
        }
        Err(error) => {
            let text = String::from_utf8_lossy(bytes);
            assert!(text.chars().count() < 8 || !error.to_string().contains(&*text), "the error repeats the key");
        }
    }
    let Some(text) = crate::text(bytes) else { return };
    if let Ok(hash) = KeyHash::parse(text) {
        assert_eq!(KeyHash::parse(&hash.to_hex()), Ok(hash));
        assert_eq!(KeyHash::parse(&hash.to_base64()), Ok(hash));
        assert_eq!(KeyHash::parse(hash.to_base64().trim_end_matches('=')), Ok(hash));
        let same = [hash.to_hex(), hash.to_base64()]
            .iter()
            .any(|form| form.trim_end_matches('=').eq_ignore_ascii_case(text.trim_end_matches('=')));
        assert!(same, "{text} was read as {}", hash.to_hex());
    }
}
