//! Durations as people write them: `60s`, `1h30m`, `2160h`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use keyplane_core::duration::{ParseDurationError, format_millis, parse_millis};
use kube::core::Rule;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Largest unit first and each at most once, the form that Go prints. The digits are bounded so that the sum stays below
/// the 292 years that a CEL duration can hold (114 + 20 + 32 + 32 years): a rule then never fails to evaluate.
const PATTERN: &str =
    r"^([0-9]{1,6}(\.[0-9]{1,9})?h)?([0-9]{1,7}(\.[0-9]{1,9})?m)?([0-9]{1,9}(\.[0-9]{1,9})?s)?([0-9]{1,12}ms)?$";
const MAX_LENGTH: usize = 64;

/// A Go-style duration that keeps the text it was written as, so that reading and writing an object changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GoDuration {
    text: String,
    millis: i64,
}

impl GoDuration {
    /// The length in milliseconds, never negative; anything finer is cut off.
    pub fn millis(&self) -> i64 {
        self.millis
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The duration of so many milliseconds, in the shortest spelling; a negative number counts as 0.
    pub fn from_millis(millis: i64) -> Self {
        Self { text: format_millis(millis), millis: millis.max(0) }
    }
}

impl FromStr for GoDuration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for GoDuration {
    type Error = ParseDurationError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Ok(Self { millis: parse_millis(&text)?, text })
    }
}

impl From<GoDuration> for String {
    fn from(duration: GoDuration) -> Self {
        duration.text
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl JsonSchema for GoDuration {
    fn schema_name() -> Cow<'static, str> {
        "GoDuration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 2, "maxLength": MAX_LENGTH, "pattern": PATTERN})
    }
}

/// The rule of a duration that may be 0.
///
/// The schema has the pattern too, for editors and linters; its message shows only the pattern. And every rule has to look
/// at it first: the API server evaluates rules of a text that breaks its pattern, and `duration()` would fail.
pub(crate) fn any_length() -> Rule {
    Rule::new(well_formed("self")).message("must be a duration such as 60s, 1h30m or 24h")
}

/// The rule of a field that counts per time: a window or an interval below a second is a mistake.
pub(crate) fn at_least_one_second() -> Rule {
    Rule::new(format!("{} && duration(self) >= duration('1s')", well_formed("self")))
        .message("must be a duration of at least 1s, such as 60s, 1h30m or 24h")
}

/// The condition that one duration is shorter than another; it holds too when one of them is malformed.
pub(crate) fn shorter(shorter: &str, longer: &str) -> String {
    let malformed = |field| format!("!{}", well_formed(field));
    format!("{} || {} || duration({shorter}) < duration({longer})", malformed(shorter), malformed(longer))
}

fn well_formed(field: &str) -> String {
    format!("{field}.matches('{}')", PATTERN.replace('\\', "\\\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_survives_and_the_length_is_known() {
        let duration: GoDuration = serde_json::from_str("\"60s\"").unwrap();
        assert_eq!(duration.millis(), 60_000);
        assert_eq!(serde_json::to_string(&duration).unwrap(), "\"60s\"");
        assert_eq!(GoDuration::from_millis(90_000).as_str(), "1m30s");
        assert_eq!(GoDuration::from_millis(-1), "0s".parse().unwrap());
    }

    #[test]
    fn a_bad_text_is_refused_by_name() {
        let error = serde_json::from_str::<GoDuration>("\"1 day\"").unwrap_err().to_string();
        assert!(error.contains("`1 day`"), "{error}");
    }
}
