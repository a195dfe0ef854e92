//! The types of which request bodies are made: each holds its own rule, so that a body that reads into its type has kept them all.
//!
//! Every body is read twice at the most. First straight into its type, borrowed from the bytes: what a correct client sends ends there, and
//! costs no allocation where no text has an escape. These types take only what the schema takes, and are stricter where a value has
//! more than one reading (a member written twice, `63.0`, a field that is open to anything). What they refuse is read again as a value and
//! held against the schema's [`Rule`]s, which decide and name every failure.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use super::schema::Rule;

/// A string of `MIN` to `MAX` characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text<'a, const MIN: usize, const MAX: usize>(Cow<'a, str>);

/// A whole number from `MIN` to `MAX`, neither of which is below 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count<const MIN: i64, const MAX: i64>(i64);

/// A list of `MIN` to `MAX` items. Nothing is allocated for an empty one, nor for more items than it may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct List<T, const MIN: usize, const MAX: usize>(Vec<T>);

impl<'a, const MIN: usize, const MAX: usize> Text<'a, MIN, MAX> {
    /// What the schema says of it.
    pub(crate) const RULE: Rule = Rule::Text { min: MIN, max: MAX };

    /// A text of this length that needs no reading.
    pub(crate) fn borrowed(text: &'a str) -> Option<Self> {
        Self::new::<serde::de::value::Error>(Cow::Borrowed(text)).ok()
    }

    fn new<E: Error>(text: Cow<'a, str>) -> Result<Self, E> {
        // A character has four bytes at the most, so most texts need no counting.
        let count = || text.chars().count();
        let enough = text.len() / 4 >= MIN || count() >= MIN;
        let few_enough = text.len() <= MAX || count() <= MAX;
        if enough && few_enough { Ok(Self(text)) } else { Err(E::custom("length")) }
    }
}

impl<const MIN: usize, const MAX: usize> Deref for Text<'_, MIN, MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MIN: i64, const MAX: i64> Count<MIN, MAX> {
    /// What the schema says of it.
    pub(crate) const RULE: Rule = Rule::Integer { min: MIN, max: MAX };

    pub(crate) const fn get(self) -> i64 {
        self.0
    }

    /// As a number of things.
    pub(crate) const fn unsigned(self) -> u64 {
        self.0.unsigned_abs()
    }
}

impl<T, const MIN: usize, const MAX: usize> Default for List<T, MIN, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MIN: usize, const MAX: usize> List<T, MIN, MAX> {
    /// What the schema says of it, given the rule of an item.
    pub(crate) const fn rule(item: &'static Rule) -> Rule {
        Rule::List { min: MIN, max: MAX, item }
    }
}

impl<T, const MIN: usize, const MAX: usize> Deref for List<T, MIN, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

/// For a field that may be absent but not `null`: serde's own reading of an `Option` takes both.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl<'de: 'a, 'a, const MIN: usize, const MAX: usize> Deserialize<'de> for Text<'a, MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<const MIN: usize, const MAX: usize>;

        impl<'de, const MIN: usize, const MAX: usize> Visitor<'de> for Read<MIN, MAX> {
            type Value = Text<'de, MIN, MAX>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Text::new(Cow::Borrowed(text))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Text::new(Cow::Owned(text.to_owned()))
            }
        }

        deserializer.deserialize_str(Read)
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        if (MIN..=MAX).contains(&number) { Ok(Self(number)) } else { Err(D::Error::custom("range")) }
    }
}

impl<'de, T: Deserialize<'de>, const MIN: usize, const MAX: usize> Deserialize<'de> for List<T, MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<T, const MIN: usize, const MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MIN: usize, const MAX: usize> Visitor<'de> for Read<T, MIN, MAX> {
            type Value = List<T, MIN, MAX>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    if list.len() == MAX {
                        return Err(A::Error::custom("length"));
                    }
                    list.push(item);
                }
                if list.len() < MIN { Err(A::Error::custom("length")) } else { Ok(List(list)) }
            }
        }

        deserializer.deserialize_seq(Read(PhantomData))
    }
}

#[cfg(test)]
pub(crate) mod random;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::schema::Rule;
    use proptest::prelude::*;
    use serde_json::Value;

    /// Whether the type takes this, and whether the rule does.
    fn both<'a, T: Deserialize<'a>>(json: &'a str, rule: &Rule) -> (bool, bool) {
        let mut errors = Vec::new();
        let follows = serde_json::from_str::<Value>(json).is_ok_and(|mut value| {
            rule.check("body", &mut value, &mut errors);
            errors.is_empty()
        });
        (serde_json::from_str::<T>(json).is_ok(), follows)
    }

    #[test]
    fn a_type_takes_what_its_rule_takes_and_its_edges_are_where_the_rules_are() {
        for (json, taken) in [("\"\"", false), ("\"äöü\"", true), ("\"äöüß\"", false), ("\"\\u00e4\"", true)] {
            assert_eq!(both::<Text<'_, 1, 3>>(json, &Text::<1, 3>::RULE), (taken, taken), "{json}");
        }
        for (json, taken) in [("\"ää\"", false), ("\"äää\"", true), ("\"abc\"", true), ("\"ab\"", false)] {
            assert_eq!(both::<Text<'_, 3, 9>>(json, &Text::<3, 9>::RULE), (taken, taken), "{json}");
        }
        for (json, taken) in [("-1", false), ("0", true), ("7", true), ("8", false), ("18446744073709551615", false)] {
            assert_eq!(both::<Count<0, 7>>(json, &Count::<0, 7>::RULE), (taken, taken), "{json}");
        }
        for json in ["7.0", "-0", "7e0"] {
            assert_eq!(
                both::<Count<0, 7>>(json, &Count::<0, 7>::RULE),
                (false, true),
                "{json}: the second reading takes it"
            );
        }
        for (json, taken) in [("[]", false), ("[1]", true), ("[1,2]", true), ("[1,2,3]", false), ("[1,9]", false)] {
            let rule = List::<Count<0, 7>, 1, 2>::rule(&Count::<0, 7>::RULE);
            assert_eq!(both::<List<Count<0, 7>, 1, 2>>(json, &rule), (taken, taken), "{json}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_taken_by_its_type_alone(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let (taken, follows) = both::<Text<'_, 3, 5>>(&json, &Text::<3, 5>::RULE);
            prop_assert_eq!(taken, follows);
        }
    }
}
