//! The query string, read as Go's `net/url` reads it: a pair with `;` or a broken escape is dropped, `+` is a space.

use std::borrow::Cow;

/// Name and value of every readable pair, decoded, in the order of the query string.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')).filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode(name)?, decode(value)?))
    })
}

/// The first value of `name`; empty when it stands without one.
pub(crate) fn first<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    pairs(query).find(|(key, _)| key == name).map(|(_, value)| value)
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hexadecimal(bytes.next()?)? << 4 | hexadecimal(bytes.next()?)?,
            other => other,
        });
    }
    Some(Cow::Owned(String::from_utf8_lossy(&decoded).into_owned()))
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::{first, pairs};

    #[test]
    fn values_are_decoded_and_broken_pairs_dropped() {
        let read: Vec<_> = pairs("a=1&b&c=%41+x&d=%4&e=1;2&&f=%zz&a=2").collect();
        let wanted = [("a", "1"), ("b", ""), ("c", "A x"), ("a", "2")];
        assert_eq!(read.len(), wanted.len());
        for ((name, value), (wanted_name, wanted_value)) in read.iter().zip(wanted) {
            assert_eq!((name.as_ref(), value.as_ref()), (wanted_name, wanted_value));
        }
    }

    #[test]
    fn the_first_of_several_values_counts() {
        assert_eq!(first("a=1&a=2", "a").as_deref(), Some("1"));
        assert_eq!(first("verbose", "verbose").as_deref(), Some(""));
        assert_eq!(first("a=1", "b"), None);
    }
}
