//! Exceptions to a limit by identifier: the exact one first, then the most specific pattern.

use std::collections::HashMap;

/// What applies to which identifiers. `*` in a pattern is any run of characters, none included; everything else is literal; a pattern
/// covers the whole identifier.
///
/// An identifier that is written exactly so (stars included) comes first; then the pattern with the most literal bytes, and of two
/// with as many the one that sorts first. So the outcome never depends on the order of the objects. Of two entries with the same text
/// the first given stands.
///
/// Lookup costs one table access for the exact one, and for each pattern until one matches a scan of the identifier, at worst
/// (length of identifier + length of pattern) steps; nothing is allocated, no input makes it slower.
#[derive(Clone, Debug)]
pub struct Overrides<T> {
    /// Sorted by specificity: patterns first, exact ones after.
    entries: Box<[(Box<str>, T)]>,
    /// How many of `entries` are patterns.
    patterns: usize,
    exact: HashMap<Box<str>, usize>,
}

impl<T> Default for Overrides<T> {
    fn default() -> Self {
        Self { entries: Box::default(), patterns: 0, exact: HashMap::new() }
    }
}

impl<T> Overrides<T> {
    /// Compiles identifiers and patterns. Cost: a sort and a table; every text is held twice.
    pub fn compile(given: impl IntoIterator<Item = (Box<str>, T)>) -> Self {
        let mut entries: Vec<(Box<str>, T)> = given.into_iter().collect();
        // A stable sort: of equal texts the first given stays first and survives.
        entries.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)));
        entries.dedup_by(|later, first| later.0 == first.0);
        let patterns = entries.iter().filter(|(text, _)| text.contains('*')).count();
        let exact = entries.iter().enumerate().map(|(index, (text, _))| (text.clone(), index)).collect();
        Self { entries: entries.into(), patterns, exact }
    }

    /// The exception for this identifier, with the text that it was given for.
    pub fn lookup(&self, identifier: &str) -> Option<(&str, &T)> {
        let index = self.exact.get(identifier).copied().or_else(|| {
            self.entries.iter().take(self.patterns).position(|(pattern, _)| matches(pattern, identifier))
        })?;
        self.entries.get(index).map(|(text, value)| (&**text, value))
    }

    /// All of them with their texts, in an order that does not depend on how they were given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.entries.iter().map(|(text, value)| (&**text, value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Patterns before exact texts, more literal bytes before fewer, then by text.
fn rank(text: &str) -> (bool, std::cmp::Reverse<usize>, &str) {
    let stars = text.bytes().filter(|b| *b == b'*').count();
    (stars == 0, std::cmp::Reverse(text.len() - stars), text)
}

/// Whether the pattern covers the whole text. Both ends are compared, then each literal between two stars is looked for behind the one
/// before it: the leftmost place is always as good as any other, so nothing is tried twice.
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(inner) = text.strip_prefix(head).and_then(|text| text.strip_suffix(tail)) else { return false };
    let found = middle
        .split('*')
        .try_fold(inner, |left, literal| left.find(literal).and_then(|start| left.get(start + literal.len()..)));
    found.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn winner(given: &[&'static str], identifier: &str) -> Option<String> {
        let overrides = Overrides::compile(given.iter().map(|text| (Box::from(*text), ())));
        overrides.lookup(identifier).map(|(text, ())| text.to_owned())
    }

    #[test]
    fn exact_before_the_most_specific_pattern() {
        let given = ["*", "*@acme.com", "jane@*", "j*@acme.com", "jane@acme.com", "jo*@acme.com"];
        for (identifier, expected) in [
            ("jane@acme.com", "jane@acme.com"),
            ("joe@acme.com", "jo*@acme.com"),
            ("jim@acme.com", "j*@acme.com"),
            ("bob@acme.com", "*@acme.com"),
            ("jane@example.org", "jane@*"),
            ("", "*"),
            ("*@acme.com", "*@acme.com"),
        ] {
            assert_eq!(winner(&given, identifier).as_deref(), Some(expected), "{identifier}");
            let mut reversed = given;
            reversed.reverse();
            assert_eq!(winner(&reversed, identifier).as_deref(), Some(expected), "{identifier}, the other way round");
        }
        assert_eq!(winner(&given[1..], "bob@example.org"), None);
        assert_eq!(
            winner(&["b*", "*b", "a*"], "b").as_deref(),
            Some("*b"),
            "as many literal bytes: the one that sorts first"
        );
    }

    #[test]
    fn of_one_text_the_first_stands() {
        let overrides = Overrides::compile([("a*".into(), 1), ("a".into(), 2), ("a*".into(), 3), ("a".into(), 4)]);
        assert_eq!(
            (overrides.lookup("a"), overrides.lookup("ab"), overrides.len()),
            (Some(("a", &2)), Some(("a*", &1)), 2)
        );
        assert!(Overrides::<()>::default().lookup("a").is_none());
    }

    #[test]
    fn ends_do_not_overlap() {
        assert!(!matches("ab*ba", "aba"));
        assert!(matches("ab*ba", "abba"));
        assert!(!matches("a*a", "a"));
        assert!(matches("ü*ß", "überfluß") && matches("**", "") && !matches("", "a"));
    }

    #[test]
    fn no_pattern_blows_up() {
        // Plain backtracking takes 2^20 or more steps for these; a quadratic one 10^10.
        let (text, pattern) = ("a".repeat(100_000), format!("{}b", "a*".repeat(50_000)));
        assert!(!matches(&pattern, &text));
        assert!(matches(&"a*".repeat(50_000), &text));
    }

    fn backtracking(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skip| backtracking(rest, &text[skip..])),
            Some((byte, rest)) => text.first() == Some(byte) && backtracking(rest, &text[1..]),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn agrees_with_backtracking(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &text), backtracking(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn the_winner_is_the_most_specific(patterns in prop::collection::vec("[ab*]{0,5}", 0..8), text in "[ab]{0,6}") {
            let overrides = Overrides::compile(patterns.iter().map(|p| (Box::from(p.as_str()), ())));
            let literal = |p: &str| p.len() - p.matches('*').count();
            let best = patterns.iter().filter(|p| backtracking(p.as_bytes(), text.as_bytes()))
                .max_by(|a, b| (**a == text).cmp(&(**b == text)).then(literal(a).cmp(&literal(b))).then(b.cmp(a)));
            prop_assert_eq!(overrides.lookup(&text).map(|found| found.0), best.map(String::as_str));
        }
    }
}
