//! Durations in manifests.

use keyplane_core::duration::{format_millis, parse_millis};

/// A duration that is read is not negative, agrees with whole numbers of any length, and is read again from its own text.
pub fn duration(bytes: &[u8]) {
    let Some(text) = crate::text(bytes) else { return };
    let Ok(millis) = parse_millis(text) else {
        assert!(exact(text).is_none_or(|nanos| nanos > i64::MAX.into()), "{text} is a duration");
        return;
    };
    assert_eq!(parse_millis(&format_millis(millis)), Ok(millis), "{text}");
    let nanos = exact(text).expect("it was read");
    // What is finer than a nanosecond is cut off in each part.
    assert!(
        (0..=1).contains(&(nanos / 1_000_000 - i128::from(millis))),
        "{text} is {nanos} ns, was read as {millis} ms"
    );
}

/// In nanoseconds, by numbers that are wide enough for any text that is short; `None` for what is no duration.
fn exact(text: &str) -> Option<i128> {
    if text == "0" {
        return Some(0);
    }
    let mut total = 0_i128;
    let mut rest = text;
    while !rest.is_empty() {
        let number = &rest[..rest.find(|c: char| c != '.' && !c.is_ascii_digit())?];
        rest = &rest[number.len()..];
        let unit = &rest[..rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len())];
        rest = &rest[unit.len()..];
        let unit: i128 = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "µs" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || whole.len() + fraction.len() == 0 {
            return None;
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().unwrap_or(i128::MAX) };
        total = total.saturating_add(whole.saturating_mul(unit));
        let mut scale = unit;
        for digit in fraction.bytes() {
            scale /= 10;
            total = total.saturating_add(i128::from(digit - b'0') * scale);
        }
    }
    (!text.is_empty()).then_some(total)
}
