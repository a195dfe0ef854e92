//! The texts of one key, in one block.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// What a key says of itself: id, object name, display name, metadata. 32 bytes and one allocation for all four, because at a million
/// keys each allocation of its own costs 16 bytes of a pointer and about as much of the allocator's rounding.
///
/// Display name and metadata are kept as the JSON that answers show, so that an answer copies bytes and escapes nothing.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Texts {
    /// `id`, `object_name`, `display_name` as a JSON string, `meta` as JSON, one behind the other.
    block: Box<str>,
    id_end: u32,
    object_name_end: u32,
    display_name_end: u32,
}

impl Texts {
    pub(super) fn new(id: &str, object_name: &str, display_name: Option<&str>, meta: Option<&RawValue>) -> Self {
        let display_name = display_name.map(json_string).unwrap_or_default();
        let meta = meta.map(RawValue::get).unwrap_or_default();
        // Exact: a block that grows is larger, and the allocator keeps the rest of its place.
        let length = id.len() + object_name.len() + display_name.len() + meta.len();
        let mut block = String::with_capacity(length);
        let mut push = |text: &str| {
            block.push_str(text);
            // A text of 4 GiB is no key's; it would be cut, and cut texts are read as empty ones.
            u32::try_from(block.len()).unwrap_or(u32::MAX)
        };
        let id_end = push(id);
        let object_name_end = push(object_name);
        let display_name_end = push(&display_name);
        push(meta);
        Self { block: block.into(), id_end, object_name_end, display_name_end }
    }

    pub(super) fn id(&self) -> &str {
        self.part(0, self.id_end)
    }

    pub(super) fn object_name(&self) -> &str {
        self.part(self.id_end, self.object_name_end)
    }

    /// With its quotes: so an empty text is no name.
    pub(super) fn display_name_json(&self) -> Option<&str> {
        some(self.part(self.object_name_end, self.display_name_end))
    }

    pub(super) fn display_name(&self) -> Option<Cow<'_, str>> {
        let json = self.display_name_json()?;
        let plain = json.strip_prefix('"')?.strip_suffix('"')?;
        if plain.contains('\\') { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(plain)) }
    }

    pub(super) fn meta_json(&self) -> Option<&str> {
        some(self.block.get(self.display_name_end as usize..).unwrap_or_default())
    }

    fn part(&self, start: u32, end: u32) -> &str {
        self.block.get(start as usize..end as usize).unwrap_or_default()
    }
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Text as a JSON string. Writing text into memory can't fail.
pub(super) fn json_string(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_text_reads_back(id in ".{0,30}", object in ".{0,30}", name in proptest::option::of(".{0,30}"), meta in proptest::option::of(".{0,30}")) {
            let meta = meta.map(|note| serde_json::value::to_raw_value(&serde_json::json!({"note": note})).unwrap());
            let texts = Texts::new(&id, &object, name.as_deref(), meta.as_deref());
            prop_assert_eq!((texts.id(), texts.object_name()), (id.as_str(), object.as_str()));
            prop_assert_eq!(texts.display_name().map(Cow::into_owned), name.clone());
            prop_assert_eq!(texts.display_name_json().map(str::to_owned), name.as_deref().map(json_string));
            prop_assert_eq!(texts.meta_json(), meta.as_deref().map(RawValue::get));
        }
    }
}
