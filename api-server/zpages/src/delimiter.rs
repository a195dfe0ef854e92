//! The sign between name and value in the text pages, drawn at random so that nobody writes a parser for them.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// The signs Kubernetes draws from.
const SIGNS: [&str; 4] = [":", ": ", "=", " "];

/// One drawn sign.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delimiter(pub(crate) &'static str);

impl Delimiter {
    /// Draws a sign. Every `RandomState` has keys of its own, which is random enough to annoy a parser.
    pub(crate) fn draw() -> Self {
        let drawn = RandomState::new().hash_one(()) % 4; // one of the four signs
        Self(SIGNS[usize::try_from(drawn).unwrap_or_default()])
    }
}

impl fmt::Display for Delimiter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Delimiter, SIGNS};

    #[test]
    fn every_sign_is_drawn_and_no_other() {
        let drawn: BTreeSet<&str> = (0..1000).map(|_| Delimiter::draw().0).collect();
        assert_eq!(drawn, BTreeSet::from(SIGNS)); // missing one of four in 1000 draws: 4 * 0.75^1000
    }
}
