//! Which of two objects was there first.

use std::cmp::Ordering;

use crate::time::Millis;

/// Which of two objects that claim one hash has it: the older, by creation time and then by uid. Everyone who decides this (operator,
/// every pod) comes to the same answer without asking the other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seniority {
    /// When the object was created.
    pub created: Millis,
    /// Its uid, which decides between two of one second.
    pub uid: Uid,
}

/// The uid of an object: 24 bytes, without an allocation if it is a UUID as Kubernetes writes them. Ordered as its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uid(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// Of 36 characters, lower case, with hyphens at their places.
    Uuid([u8; 16]),
    Other(Box<str>),
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";
/// Where the hyphens are.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        Self(uuid(text).map_or_else(|| Form::Other(text.into()), Form::Uuid))
    }
}

impl Uid {
    fn text(&self, buffer: &mut [u8; 36]) -> usize {
        let Form::Uuid(bytes) = &self.0 else { return 0 };
        let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| DIGITS[usize::from(digit)]);
        let places = (0..buffer.len()).filter(|place| !HYPHENS.contains(place));
        *buffer = [b'-'; 36];
        for (place, digit) in places.zip(digits) {
            buffer[place] = digit;
        }
        buffer.len()
    }
}

/// The bytes of a text that is exactly what they would be written as.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 16];
    let mut digits = 0;
    for (place, character) in text.iter().enumerate() {
        if HYPHENS.contains(&place) {
            if *character != b'-' {
                return None;
            }
            continue;
        }
        let digit = match character {
            b'0'..=b'9' => character - b'0',
            b'a'..=b'f' => character - b'a' + 10,
            _ => return None,
        };
        bytes[digits / 2] = bytes[digits / 2] << 4 | digit;
        digits += 1;
    }
    Some(bytes)
}

impl PartialOrd for Uid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Uid {
    fn cmp(&self, other: &Self) -> Ordering {
        let mut buffer = [0; 36];
        match (&self.0, &other.0) {
            // Digits sort as their values do, and hyphens stand at the same places.
            (Form::Uuid(one), Form::Uuid(other)) => one.cmp(other),
            (Form::Other(one), Form::Other(other)) => one.cmp(other),
            (Form::Uuid(_), Form::Other(text)) => {
                let length = self.text(&mut buffer);
                buffer[..length].cmp(text.as_bytes())
            }
            (Form::Other(_), Form::Uuid(_)) => other.cmp(self).reverse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uuid_takes_no_allocation() {
        let text = "0d0c9a53-7f0b-4ee3-9a52-5f2b8ab0f1c2";
        assert!(matches!(Uid::from(text).0, Form::Uuid(_)));
        for other in [&text.to_uppercase(), &text.replace('-', "0"), &text[1..], "", "manifest/ApiKey/n/a"] {
            assert!(matches!(Uid::from(other).0, Form::Other(kept) if *kept == *other), "{other}");
        }
        assert_eq!(size_of::<Uid>(), 24);
    }

    fn uid() -> impl Strategy<Value = String> {
        prop_oneof![
            "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "[0a]{8}-0{4}-0{4}-[0A]{4}-0{12}",
            "[0-9a-f-]{0,36}"
        ]
    }

    proptest! {
        #[test]
        fn uids_are_ordered_as_their_texts(one in uid(), other in uid()) {
            let (a, b) = (Uid::from(one.as_str()), Uid::from(other.as_str()));
            prop_assert_eq!(a.cmp(&b), one.cmp(&other));
            prop_assert_eq!(a == b, one == other);
        }
    }
}
