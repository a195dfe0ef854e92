//! What the bodies of v1 and v2 have in common: costs, and entries of `ratelimits`.

use keyplane_core::plan::Requested;
use serde::Deserialize;

use super::form::{Count, Text, present};
use super::schema::{Field, Rule};

/// What a request costs that doesn't say.
pub(crate) const fn one() -> u64 {
    1
}

/// Any number of things.
pub(crate) type AnyCount = Count<0, { i64::MAX }>;

/// An entry of `ratelimits`: v1 and v2 differ in the shortest name and in the longest window.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedLimit<'a, const MIN_NAME: usize, const MAX_WINDOW: i64> {
    #[serde(borrow)]
    name: Text<'a, MIN_NAME, 255>,
    #[serde(default, deserialize_with = "present")]
    cost: Option<AnyCount>,
    #[serde(default, deserialize_with = "present")]
    limit: Option<AnyCount>,
    /// Milliseconds.
    #[serde(default, deserialize_with = "present")]
    duration: Option<Count<0, MAX_WINDOW>>,
}

impl<const MIN_NAME: usize, const MAX_WINDOW: i64> WantedLimit<'_, MIN_NAME, MAX_WINDOW> {
    /// Open: what it does not name is passed over.
    pub(crate) const RULE: Rule = Rule::Object {
        open: true,
        fields: &[
            Field::required("name", Text::<MIN_NAME, 255>::RULE),
            Field::optional("cost", AnyCount::RULE),
            Field::optional("limit", AnyCount::RULE),
            Field::optional("duration", Count::<0, MAX_WINDOW>::RULE),
        ],
    };

    /// As the engine takes it.
    pub(crate) fn requested(&self) -> Requested<'_> {
        Requested {
            name: &self.name,
            cost: self.cost.map_or_else(one, Count::unsigned),
            limit: self.limit.map(Count::get),
            window_ms: self.duration.map(Count::get),
        }
    }
}
