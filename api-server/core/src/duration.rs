//! Durations as Kubernetes writes them: Go's `time.Duration` syntax (`90s`, `1h30m`, `1.5s`, `500ms`).

/// Milliseconds in a second, a minute and an hour.
const UNITS: [(&str, i64); 6] =
    [("ns", 1), ("us", 1_000), ("µs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000)];
const HOUR_NANOS: i64 = 3_600_000_000_000;

/// A text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseDurationError {
    /// Nothing there.
    #[error("duration is empty; write a number and a unit, such as `60s` or `24h`")]
    Empty,
    /// A number without a unit, an unknown unit or other characters.
    #[error("`{0}` is not a duration; write numbers with the units h, m, s or ms, such as `1h30m`")]
    Malformed(String),
    /// Over about 292 years.
    #[error("duration `{0}` is too long")]
    TooLong(String),
}

/// Reads a duration, in milliseconds; what is finer is cut off. Negative durations are malformed here: nothing of ours can use one.
pub fn parse_millis(text: &str) -> Result<i64, ParseDurationError> {
    if text.is_empty() {
        return Err(ParseDurationError::Empty);
    }
    if text == "0" {
        return Ok(0);
    }
    let malformed = || ParseDurationError::Malformed(text.to_owned());
    let too_long = || ParseDurationError::TooLong(text.to_owned());
    let (mut rest, mut total) = (text, 0_i64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(malformed)?;
        let (number, tail) = rest.split_at(digits);
        let unit_length = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_length);
        let nanos = if unit == "h" { HOUR_NANOS } else { UNITS.iter().find(|u| u.0 == unit).ok_or_else(malformed)?.1 };
        total = total.checked_add(part_nanos(number, nanos, malformed, too_long)?).ok_or_else(too_long)?;
        rest = tail;
    }
    Ok(total / 1_000_000)
}

fn part_nanos<E>(number: &str, unit: i64, malformed: impl Fn() -> E, too_long: impl Fn() -> E) -> Result<i64, E> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
        return Err(malformed());
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| too_long())? };
    let (mut nanos, mut scale) = (whole.checked_mul(unit).ok_or_else(&too_long)?, unit);
    for digit in fraction.bytes() {
        scale /= 10;
        nanos = nanos.checked_add(i64::from(digit - b'0') * scale).ok_or_else(&too_long)?;
    }
    Ok(nanos)
}

/// Writes milliseconds in the form that [`parse_millis`] reads, largest units first: `90000` is `1m30s`, `0` is `0s`.
pub fn format_millis(millis: i64) -> String {
    let (seconds, rest) = (millis.max(0) / 1_000, millis.max(0) % 1_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let mut text = String::new();
    for (number, unit) in [(hours, "h"), (minutes, "m"), (seconds, "s"), (rest, "ms")] {
        if number > 0 {
            text.push_str(&number.to_string());
            text.push_str(unit);
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, millis) in [
            ("60s", 60_000),
            ("24h", 86_400_000),
            ("1h30m", 5_400_000),
            ("1.5s", 1_500),
            (".5s", 500),
            ("1.s", 1_000),
            ("500ms", 500),
            ("1s500ms", 1_500),
            ("2160h", 7_776_000_000),
            ("0", 0),
            ("999us", 0),
        ] {
            assert_eq!(parse_millis(text), Ok(millis), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in ["60", "s", "-5s", "1 h", "1d", "1.2.3s", ".s", "1h-", "+1s", "１s"] {
            assert_eq!(parse_millis(text), Err(ParseDurationError::Malformed(text.to_owned())), "{text}");
        }
        assert_eq!(parse_millis(""), Err(ParseDurationError::Empty));
        assert!(matches!(parse_millis("9999999999h"), Err(ParseDurationError::TooLong(_))));
        assert!(matches!(parse_millis("99999999999999999999s"), Err(ParseDurationError::TooLong(_))));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(millis in 0..8_000_000_000_000_i64) {
            prop_assert_eq!(parse_millis(&format_millis(millis)), Ok(millis));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-9.hmsnuµ -]{0,30}|.{0,20}") {
            let _ = parse_millis(&text);
        }
    }
}
