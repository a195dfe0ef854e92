//! Permission queries.

use keyplane_core::permission::{Query, QueryError};

/// A query that is read says the same after it was printed, and holds when the text does, reduced step by step; an error points into the
/// text.
pub fn permission_query(bytes: &[u8]) {
    let Some(text) = crate::text(bytes) else { return };
    let query = match Query::parse(text) {
        Ok(query) => query,
        Err(error) => return points_into(text, &error),
    };
    let printed = print(&query);
    assert!(printed.len() > 1_000 || Query::parse(&printed) == Ok(query.clone()), "{text:?} printed is {printed:?}");
    // Three keys whose permissions have nothing to do with the query.
    for seed in 0..3 {
        let has = |permission: &str| {
            permission.bytes().fold(seed, |sum: u8, byte| sum.wrapping_mul(31).wrapping_add(byte)) % 2 == 0
        };
        assert_eq!(query.holds(&has), reduce(text, &has), "{text:?}");
    }
}

fn points_into(text: &str, error: &QueryError) {
    let position = match error {
        QueryError::UnexpectedEnd(position)
        | QueryError::MissingParenthesis(position)
        | QueryError::EmptyParentheses(position) => *position,
        QueryError::UnexpectedToken { token, position } => {
            assert!(text[*position..].starts_with(token.as_str()), "{error} is not what stands there");
            *position
        }
        QueryError::TooLong(length) => return assert!(*length == text.len() && *length > 1_000),
        QueryError::NotOnePermission(_) | QueryError::EmptyList => panic!("{error} is not about a text"),
    };
    assert!(text.is_char_boundary(position), "{error} points outside of {text:?}");
}

fn print(query: &Query) -> String {
    let join = |parts: &[Query], word: &str| {
        let part = |part: &Query| match part {
            Query::Permission(permission) => permission.to_string(),
            Query::All(_) | Query::Any(_) => format!("({})", print(part)),
        };
        parts.iter().map(part).collect::<Vec<_>>().join(word)
    };
    match query {
        Query::Permission(permission) => permission.to_string(),
        Query::All(parts) => join(parts, " AND "),
        Query::Any(parts) => join(parts, " OR "),
    }
}

/// The truth of a query by rewriting: permissions become T or F, then `(T)`, `T&F`, and only where no `&` is left `T|F` become one letter.
fn reduce(text: &str, has: &impl Fn(&str) -> bool) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "._-*:/".contains(c);
    let (mut formula, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let word = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
        formula.push(match word {
            "" if first.is_ascii_whitespace() => ' ',
            "" => first,
            word if word.eq_ignore_ascii_case("and") => '&',
            word if word.eq_ignore_ascii_case("or") => '|',
            word if has(word) => 'T',
            _ => 'F',
        });
        rest = &rest[word.len().max(first.len_utf8())..];
    }
    formula.retain(|c| c != ' ');
    loop {
        let before = formula.len();
        for (long, short) in [("(T)", "T"), ("(F)", "F"), ("T&T", "T"), ("T&F", "F"), ("F&T", "F"), ("F&F", "F")] {
            formula = formula.replace(long, short);
        }
        if formula.len() == before {
            // Inside of parentheses that hold nothing but `|`, all at once: a part of `T|T&(…)` must wait.
            formula = any_of(&formula);
        }
        match formula.as_str() {
            "T" => return true,
            "F" => return false,
            _ => assert!(formula.len() < before, "{formula} of {text:?} can't be reduced"),
        }
    }
}

/// Replaces one innermost chain of `|` by its truth.
fn any_of(formula: &str) -> String {
    let end = formula.find(')').unwrap_or(formula.len());
    let start = formula[..end].rfind('(').map_or(0, |open| open + 1);
    let chain = &formula[start..end];
    assert!(!chain.contains('&'), "{formula}: not reduced so far");
    let truth = if chain.contains('T') { "T" } else { "F" };
    format!("{}{truth}{}", &formula[..start], &formula[end..])
}
