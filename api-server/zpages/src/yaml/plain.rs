//! What a plain word would be read as: only strings may stand without quotes.
//!
//! Follows YAML 1.1 with the extensions of the Go library: `yes`, `0x1f`, `1_000`, `12:30` and dates are no strings.

/// Whether `text`, written without quotes, would be read as the string it is.
pub(super) fn reads_as_string(text: &str) -> bool {
    match text.bytes().next() {
        None => false,
        Some(b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~') => !is_word(text),
        Some(b'.') => !is_special_float(text) && !is_fraction(text),
        Some(b'+' | b'-' | b'0'..=b'9') => {
            let digits = text.replace('_', "");
            !(is_signed_infinity(text)
                || is_timestamp(text)
                || is_integer(&digits)
                || is_float(&digits)
                || is_base_60(text))
        }
        Some(_) => true,
    }
}

fn is_word(text: &str) -> bool {
    const WORDS: [&str; 8] = ["y", "yes", "true", "on", "n", "no", "false", "off"];
    // Lower case, Capitalised or UPPER CASE, nothing between.
    let capitalised = |word: &str| {
        let (first, rest) = text.split_at(1);
        first == word[..1].to_ascii_uppercase() && rest == &word[1..]
    };
    let spelled = |word: &str| text == word || text == word.to_ascii_uppercase() || capitalised(word);
    text == "~" || spelled("null") || WORDS.into_iter().any(spelled)
}

fn is_special_float(text: &str) -> bool {
    matches!(text, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN")
}

/// `.5`, `.000_5`: here an underscore must stand between digits.
fn is_fraction(text: &str) -> bool {
    let outside_digits = |part: &str| !part.ends_with(|it: char| it.is_ascii_digit());
    let (whole, last) = text.rsplit_once('_').unwrap_or(("0", text));
    let misplaced =
        whole.split('_').any(outside_digits) || !last.starts_with(|it: char| it.is_ascii_digit() || it == '.');
    !misplaced && is_finite(&text.replace('_', ""))
}

fn is_signed_infinity(text: &str) -> bool {
    matches!(text.strip_prefix(['+', '-']), Some(".inf" | ".Inf" | ".INF"))
}

fn is_finite(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Decimal, or with a sign the prefix `0x`, `0o`, `0b` or `0`, in 64 bits.
fn is_integer(text: &str) -> bool {
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let has_sign = unsigned.len() < text.len();
    let (radix, digits) = match unsigned.get(..2) {
        Some("0x" | "0X") => (16, &unsigned[2..]),
        Some("0o" | "0O") => (8, &unsigned[2..]),
        Some("0b" | "0B") => (2, &unsigned[2..]),
        _ => (10, unsigned), // a leading zero means octal, but what is no octal number is a float, so no string either way
    };
    if !digits.starts_with(|digit: char| digit.is_digit(radix)) {
        // An accident of the Go library: `0b-1` is a number.
        return text.strip_prefix("0b").is_some_and(|signed| i64::from_str_radix(signed, 2).is_ok());
    }
    u64::from_str_radix(digits, radix).is_ok_and(|number| match (has_sign, negative) {
        (false, _) => true,
        (true, false) => i64::try_from(number).is_ok(),
        (true, true) => number <= i64::MIN.unsigned_abs(),
    })
}

/// Digits with an optional point and exponent; too large a number is no number.
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let shaped = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && unsigned.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    shaped && is_finite(text)
}

/// `12:30`, which old readers take for a number in base 60.
fn is_base_60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut groups = whole.split(':');
    let first = groups.next().unwrap_or_default();
    let mut rest = groups.peekable();
    first.starts_with(|digit: char| digit.is_ascii_digit())
        && first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
        && rest.peek().is_some()
        && rest.all(|group| matches!(group.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']))
        && fraction.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
}

/// A date, or a date with a time: `2026-1-2`, `2026-01-02T03:04:05.6Z`, `2026-01-02 03:04:05`.
fn is_timestamp(text: &str) -> bool {
    let Some(((month, day), time)) = date(text) else { return false };
    let well_formed = match time.as_bytes().first() {
        None => true,
        Some(b'T' | b't') => time_of_day(&time[1..]).is_some_and(is_zone),
        Some(b' ') => time_of_day(&time[1..]).is_some_and(str::is_empty),
        Some(_) => false,
    };
    well_formed && (1..=12).contains(&month) && (1..=31).contains(&day)
}

/// Month and day, and what follows.
fn date(text: &str) -> Option<((u32, u32), &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = text.get(4..).filter(|_| digits == 4)?.strip_prefix('-')?;
    let (month, rest) = number(rest)?;
    let (day, rest) = number(rest.strip_prefix('-')?)?;
    Some(((month, day), rest))
}

/// What follows the time of day.
fn time_of_day(text: &str) -> Option<&str> {
    let (hour, rest) = number(text)?;
    let (minute, rest) = number(rest.strip_prefix(':')?)?;
    let (second, rest) = number(rest.strip_prefix(':')?)?;
    let rest = match rest.strip_prefix('.') {
        Some(fraction) if fraction.starts_with(|digit: char| digit.is_ascii_digit()) => {
            fraction.trim_start_matches(|digit: char| digit.is_ascii_digit())
        }
        _ => rest,
    };
    (hour < 24 && minute < 60 && second < 60).then_some(rest)
}

fn is_zone(text: &str) -> bool {
    let two_digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    match text.as_bytes() {
        b"Z" => true,
        [b'+' | b'-', hours @ .., b':', _, _] if hours.len() == 2 => {
            two_digits(hours) && two_digits(&text.as_bytes()[4..])
        }
        _ => false,
    }
}

/// A number of one or two digits, and what follows.
fn number(text: &str) -> Option<(u32, &str)> {
    let digits = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}
