//! The number behind `q=`, read as Go's `strconv.ParseFloat` reads it: with underscores between digits and in hexadecimal, too.

/// The quality; 0 when the text is no number. Too large a number is infinite.
pub(super) fn parse(text: &str) -> f32 {
    if text.contains('_') && !has_separators_in_place(text) {
        return 0.0;
    }
    let text = text.replace('_', "");
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    match unsigned.get(..2) {
        Some("0x" | "0X") => sign * hexadecimal(&unsigned[2..]).unwrap_or(0.0),
        // Rust knows a NaN with a sign, Go does not.
        _ if unsigned.len() < text.len() && unsigned.eq_ignore_ascii_case("nan") => 0.0,
        _ => text.parse().unwrap_or(0.0),
    }
}

/// Digits with an optional point, and an exponent that must be there: `1.8p-1` is 0.75.
fn hexadecimal(text: &str) -> Option<f32> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = whole.chars().chain(fraction.chars());
    let mut value = 0.0_f32;
    for digit in digits.clone() {
        let digit = u16::try_from(digit.to_digit(16)?).ok()?;
        value = value * 16.0 + f32::from(digit);
    }
    let exponent_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let well_formed =
        digits.count() > 0 && !exponent_digits.is_empty() && exponent_digits.bytes().all(|it| it.is_ascii_digit());
    let of_fraction = i32::try_from(fraction.len()).ok()?.checked_mul(4)?;
    // An exponent of more digits than fit is as good as infinite.
    let exponent: i32 = exponent.parse().unwrap_or(if exponent.starts_with('-') { -9999 } else { 9999 });
    well_formed.then(|| value * 2.0_f32.powi(exponent.saturating_sub(of_fraction)))
}

/// Every underscore stands between two digits, or behind the prefix of a base.
fn has_separators_in_place(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let prefix = unsigned.get(..2).filter(|it| matches!(*it, "0x" | "0X" | "0b" | "0B" | "0o" | "0O"));
    let hexadecimal = prefix.is_some_and(|it| it.ends_with(['x', 'X']));
    let is_digit = |it: char| it.is_ascii_digit() || (hexadecimal && it.is_ascii_hexdigit());
    let mut last = if prefix.is_some() { '0' } else { '^' };
    for character in unsigned[prefix.map_or(0, str::len)..].chars() {
        let misplaced = if character == '_' { !is_digit(last) } else { last == '_' && !is_digit(character) };
        if misplaced {
            return false;
        }
        last = character;
    }
    last != '_'
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn numbers_are_those_of_go() {
        for (text, value) in [
            ("1", 1.0),
            ("0.5", 0.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("-1", -1.0),
            ("+0.5", 0.5),
            ("1e-1", 0.1),
            ("1e99", f32::INFINITY),
            ("-Infinity", f32::NEG_INFINITY),
            ("iNf", f32::INFINITY),
            ("0x1p-1", 0.5),
            ("-0X.8p1", -1.0),
            ("0x_1p-2", 0.25),
            ("1_0.2_5", 10.25),
        ] {
            assert_eq!(parse(text).to_bits(), f32::to_bits(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_to_go_is_nothing() {
        for text in [
            "", " 1", "high", "1e", "e1", "0x1", "0xp1", "0x1p", "0x1p+", "0xgp1", "1__0", "_1", "1_", "1_.5", "0b1",
            "+nan", "-NaN", "1f", "٠",
        ] {
            assert_eq!(parse(text).to_bits(), 0, "{text}");
        }
        assert!(parse("NaN").is_nan());
    }
}
