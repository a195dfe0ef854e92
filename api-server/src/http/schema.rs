//! The form of request bodies, as data: what an operation asks for is readable in one place, and every failure names its field.

use serde_json::{Map, Value};

use crate::http::error::FieldError;

/// What a JSON value must be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    /// A string of so many characters.
    Text { min: usize, max: usize },
    /// A whole number in this range. `63.0` is one.
    Integer { min: i64, max: i64 },
    /// A list of so many items, each following one rule.
    List { min: usize, max: usize, item: &'static Self },
    /// Any value: whoever reads it checks it.
    Any,
    /// An object with these fields; others are refused, or taken away where it is `open`.
    Object { fields: &'static [Field], open: bool },
}

/// A field of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) rule: Rule,
}

impl Field {
    pub(crate) const fn required(name: &'static str, rule: Rule) -> Self {
        Self { name, required: true, rule }
    }

    pub(crate) const fn optional(name: &'static str, rule: Rule) -> Self {
        Self { name, required: false, rule }
    }
}

impl Rule {
    /// Holds a value against the rule and adds what is wrong. A whole number written as a fraction (`63.0`) becomes an integer and what an
    /// open object does not name is taken away, so that what passes here can be read into its type.
    pub(crate) fn check(&self, location: &str, value: &mut Value, errors: &mut Vec<FieldError>) {
        let mut wrong = |message: String| {
            errors.push(FieldError { location: location.to_owned(), message, fix: None });
        };
        match (self, value) {
            (Self::Any, _) => {}
            (Self::Text { min, max }, Value::String(text)) => match text.chars().count() {
                length if length < *min => wrong(format!("must have at least {min} characters, has {length}")),
                length if length > *max => wrong(format!("must have at most {max} characters, has {length}")),
                _ => {}
            },
            (Self::Integer { min, max }, value @ Value::Number(_)) => match whole_number(value) {
                None => wrong("must be a whole number of 64 bits".to_owned()),
                Some(number) if number < *min => wrong(format!("must be at least {min}, is {number}")),
                Some(number) if number > *max => wrong(format!("must be at most {max}, is {number}")),
                Some(number) => *value = number.into(),
            },
            (Self::List { min, max, item }, Value::Array(items)) => {
                if items.len() < *min {
                    return wrong(format!("must have at least {min} items, has {}", items.len()));
                }
                if items.len() > *max {
                    return wrong(format!("must have at most {max} items, has {}", items.len()));
                }
                for (position, value) in items.iter_mut().enumerate() {
                    item.check(&format!("{location}[{position}]"), value, errors);
                }
            }
            (Self::Object { fields, open }, Value::Object(object)) => {
                check_object(fields, *open, location, object, errors);
            }
            (_, value) => wrong(format!("must be {}, is {}", self.name(), name_of(value))),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Text { .. } => "a string",
            Self::Integer { .. } => "a whole number",
            Self::List { .. } => "a list",
            Self::Object { .. } => "an object",
            Self::Any => "a value",
        }
    }
}

fn check_object(
    fields: &[Field],
    open: bool,
    location: &str,
    object: &mut Map<String, Value>,
    errors: &mut Vec<FieldError>,
) {
    for field in fields {
        let location = format!("{location}.{}", field.name);
        match object.get_mut(field.name) {
            Some(value) => field.rule.check(&location, value, errors),
            None if field.required => {
                errors.push(FieldError { location, message: "is required and missing".to_owned(), fix: None });
            }
            None => {}
        }
    }
    if open {
        object.retain(|name, _| fields.iter().any(|field| field.name == name));
        return;
    }
    for name in object.keys().filter(|name| !fields.iter().any(|field| field.name == **name)) {
        let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
        // The name is the client's own text: cut, so that an answer never grows with what was sent.
        let shown: String = name.chars().take(64).collect();
        errors.push(FieldError {
            location: format!("{location}.{shown}"),
            message: "is not a field of this request".to_owned(),
            fix: Some(format!("remove it; known fields are {}", known.join(", "))),
        });
        if errors.len() >= MAX_ERRORS {
            return;
        }
    }
}

/// Failures reported for one object's unknown fields; more help nobody and would let a small request draw a large answer.
const MAX_ERRORS: usize = 20;

#[expect(clippy::cast_possible_truncation, reason = "the fraction is zero and the range is checked")]
fn whole_number(value: &Value) -> Option<i64> {
    /// 2^53: beyond it a float no longer holds every whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value.as_i64().or_else(|| value.as_f64().filter(|f| f.fract() == 0.0 && f.abs() <= EXACT).map(|f| f as i64))
}

const fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const RULE: Rule = Rule::Object {
        open: false,
        fields: &[
            Field::required("name", Rule::Text { min: 1, max: 3 }),
            Field::optional("costs", Rule::List { min: 0, max: 2, item: &Rule::Integer { min: 0, max: 10 } }),
        ],
    };

    fn errors(mut value: Value) -> Vec<String> {
        let mut errors = Vec::new();
        RULE.check("body", &mut value, &mut errors);
        errors.into_iter().map(|e| format!("{}: {}", e.location, e.message)).collect()
    }

    #[test]
    fn every_failure_names_its_field_and_rule() {
        for (value, expected) in [
            (json!({"name": "abc", "costs": [0, 10]}), vec![]),
            (json!({}), vec!["body.name: is required and missing"]),
            (json!({"name": null}), vec!["body.name: must be a string, is null"]),
            (json!({"name": ""}), vec!["body.name: must have at least 1 characters, has 0"]),
            (json!({"name": "äöüß"}), vec!["body.name: must have at most 3 characters, has 4"]),
            (
                json!({"name": "a", "costs": [11, -1]}),
                vec!["body.costs[0]: must be at most 10, is 11", "body.costs[1]: must be at least 0, is -1"],
            ),
            (json!({"name": "a", "costs": [0.5]}), vec!["body.costs[0]: must be a whole number of 64 bits"]),
            (json!({"name": "a", "costs": [1, 1, 1]}), vec!["body.costs: must have at most 2 items, has 3"]),
            (json!({"name": "a", "x": 1}), vec!["body.x: is not a field of this request"]),
            (json!([]), vec!["body: must be an object, is a list"]),
        ] {
            assert_eq!(errors(value.clone()), expected, "{value}");
        }
    }

    #[test]
    fn a_whole_number_may_be_written_as_a_fraction() {
        let mut value = json!({"name": "a", "costs": [7.0]});
        RULE.check("body", &mut value, &mut Vec::new());
        assert_eq!(value["costs"][0], json!(7));
    }

    #[test]
    fn many_unknown_fields_draw_a_short_answer() {
        let object: Map<String, Value> = (0..1000).map(|n| (format!("x{n}"), Value::Null)).collect();
        assert!(errors(Value::Object(object)).len() <= MAX_ERRORS);
    }
}
