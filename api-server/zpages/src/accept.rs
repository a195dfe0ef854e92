//! The `Accept` header, read exactly as Kubernetes reads it.
//!
//! Kubernetes parses `Accept` with a small Go library whose oddities clients can see: no quoted strings, parameters
//! without a value dropped, `q=0` not excluding anything, and an order that is not quite an order. This file behaves
//! the same on purpose; it must not be "repaired" to what RFC 9110 says. What a clause is good for is decided in
//! [`crate::negotiate`].

mod quality;

/// More clauses than any client sends. The sort below is quadratic and its comparator inconsistent (so no library sort
/// may be used); 64 clauses cost at most 64 * 63 / 2 = 2016 comparisons, whatever the header holds.
const CLAUSES_AT_MOST: usize = 64;

/// One clause of the header, for example `application/json;q=0.9;as=Statusz`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Clause<'a> {
    media: &'a str,
    subtype: &'a str,
    quality: f32,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    /// Whether the clause covers `media/subtype`: exactly, as `media/*`, or as `*/*`. Case-sensitive, as upstream.
    pub(crate) fn covers(&self, media: &str, subtype: &str) -> bool {
        match (self.media, self.subtype) {
            ("*", "*") => true,
            (own, "*") => own == media,
            (own, own_subtype) => own == media && own_subtype == subtype,
        }
    }

    /// The value of a parameter; of a repeated one the last. `q` is not among them.
    pub(crate) fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    /// "Comes before", with upstream's omission: nothing asks whether `other` has the higher quality.
    fn precedes(&self, other: &Self) -> bool {
        self.quality > other.quality
            || (self.media != "*" && other.media == "*")
            || (self.subtype != "*" && other.subtype == "*")
    }
}

/// Clauses of `header` in the order in which they are tried.
///
/// **Cost**: one pass over the header, one vector, and at most 2016 comparisons.
pub(crate) fn parse(header: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = header.split(',').filter_map(clause).take(CLAUSES_AT_MOST).collect();
    insertion_sort(&mut clauses);
    clauses
}

/// Go sorts up to 12 elements by insertion; because `precedes` is no order, only the very same steps give the same result.
fn insertion_sort(clauses: &mut [Clause<'_>]) {
    for end in 1..clauses.len() {
        let mut at = end;
        while at > 0 && clauses[at].precedes(&clauses[at - 1]) {
            clauses.swap(at, at - 1);
            at -= 1;
        }
    }
}

fn clause(text: &str) -> Option<Clause<'_>> {
    let text = trim(text);
    let (range, parameters) = text.split_once(';').unwrap_or((text, ""));
    let (media, subtype) = media_range(range)?;
    let mut clause = Clause { media, subtype, quality: 1.0, parameters: Vec::new() };
    for (name, value) in parameters.split(';').filter_map(parameter) {
        if name == "q" {
            // Not trimmed and never refused: what is no number counts as 0.
            clause.quality = quality::parse(value);
        } else {
            clause.parameters.push((name, trim(value)));
        }
    }
    Some(clause)
}

fn media_range(range: &str) -> Option<(&str, &str)> {
    let (media, subtype) = range.split_once('/').unwrap_or((range, ""));
    let media = trim(media);
    if subtype.is_empty() {
        return (media == "*").then_some(("*", "*"));
    }
    match subtype.split_once('/') {
        None => Some((media, trim(subtype))),
        // A trailing slash is forgiven, because upstream only looks at what follows it.
        Some((subtype, "")) => Some((media, trim(subtype))),
        Some(_) => None,
    }
}

fn parameter(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let value = match value.split_once('=') {
        None => value,
        Some((value, "")) => value,
        Some(_) => return None,
    };
    // `a=` has no value; `a==` has an empty one, so it stays.
    (text.len() > name.len() + 1).then_some((trim(name), value))
}

/// Only the space character, not tabs.
fn trim(text: &str) -> &str {
    text.trim_matches(' ')
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn order(header: &str) -> Vec<String> {
        parse(header).iter().map(|clause| format!("{}/{}", clause.media, clause.subtype)).collect()
    }

    #[test]
    fn higher_quality_comes_first_and_equal_quality_keeps_the_order() {
        assert_eq!(order("a/a;q=0.1, b/b;q=0.9,c/c;q=0.9"), ["b/b", "c/c", "a/a"]);
    }

    #[test]
    fn concrete_types_come_before_wildcards_of_the_same_quality() {
        assert_eq!(order("*/*,text/*,text/html"), ["text/html", "text/*", "*/*"]);
    }

    #[test]
    fn a_wildcard_and_a_lesser_concrete_type_are_swapped_whichever_comes_first() {
        assert_eq!(order("*/*,text/html;q=0.5"), ["text/html", "*/*"]);
        assert_eq!(order("text/html;q=0.5,*/*"), ["*/*", "text/html"]);
    }

    #[test]
    fn a_bare_star_is_everything_and_other_clauses_without_a_slash_are_dropped() {
        assert_eq!(order("*"), ["*/*"]);
        assert_eq!(order("json, ,text/,a/b/c,/x"), ["/x"]);
    }

    #[test]
    fn a_quality_that_is_no_number_is_zero_and_zero_excludes_nothing() {
        assert_eq!(order("a/a;q=high,b/b;q=0.1"), ["b/b", "a/a"]);
        assert_eq!(order("a/a;q=0"), ["a/a"]);
        assert_eq!(order("a/a;q= 0.9,b/b;q=0.5"), ["b/b", "a/a"], "the space makes it no number");
    }

    #[test]
    fn parameters_need_one_equals_sign_and_know_no_quotes() {
        let clauses = parse("a/b; as = Statusz ;flag;x=1=2;y=;v=\"q\";v=2");
        let clause = &clauses[0];
        assert_eq!(clause.parameter("as"), Some("Statusz"));
        assert_eq!(clause.parameter("v"), Some("2"), "the last of a repeated parameter");
        assert_eq!((clause.parameter("flag"), clause.parameter("x"), clause.parameter("y")), (None, None, None));
        assert_eq!(parse("a/b;v=\"q\"")[0].parameter("v"), Some("\"q\""));
    }

    #[test]
    fn a_header_of_any_length_is_bounded() {
        let header = "*/*,".repeat(100_000);
        assert_eq!(parse(&header).len(), super::CLAUSES_AT_MOST);
    }
}
