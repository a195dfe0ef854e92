//! Random bodies after a rule: good ones, ones at the edges, and ones with a mistake in them, as bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use serde::Deserialize;

use super::super::body::{self, Credentials};
use super::super::caller::Head;
use super::super::schema::Rule;

/// What the direct reading takes, the second reading takes with the same values. Returns whether the direct reading took it.
pub(crate) fn agrees<'a, T>(bytes: &'a [u8], slow: &'a mut serde_json::Value, rule: &Rule) -> bool
where
    T: Deserialize<'a> + PartialEq + std::fmt::Debug,
{
    let headers = [("content-type".parse().unwrap(), "application/json".parse().unwrap())].into_iter().collect();
    let head = Head::new(&headers, None);
    let Some(direct) = body::direct::<T>(head, bytes, Credentials::Open) else { return false };
    let shown = String::from_utf8_lossy(bytes);
    *slow = body::checked(head, bytes, rule, Credentials::Open).unwrap_or_else(|error| panic!("{shown}: {error:?}"));
    assert_eq!(body::typed::<T>(slow), Ok(direct), "{shown}");
    true
}

/// Bytes that are, or once were, a body after the rule.
pub(crate) fn bodies(rule: &'static Rule) -> impl Strategy<Value = Vec<u8>> {
    let at = || any::<prop::sample::Index>();
    let mistake = prop_oneof![
        8 => Just(None),
        1 => (at(), Just(None)).prop_map(Some),
        1 => (at(), any::<u8>().prop_map(Some)).prop_map(Some),
    ];
    (json(rule), mistake).prop_map(|(json, mistake)| {
        let mut bytes = json.into_bytes();
        match mistake {
            Some((at, None)) => bytes.truncate(at.index(bytes.len() + 1)),
            Some((at, Some(byte))) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            _ => {}
        }
        bytes
    })
}

fn json(rule: &'static Rule) -> BoxedStrategy<String> {
    let good = match rule {
        Rule::Text { min, max } => text(*min, *max),
        Rule::Integer { min, max } => integer(*min, *max),
        Rule::List { max, item, .. } => prop_oneof![
            20 => vec(json(item), 0..4),
            1 => json(item).prop_map(move |item| vec![item; *max]),
            1 => json(item).prop_map(move |item| vec![item; *max + 1]),
        ]
        .prop_map(|items| format!("[{}]", items.join(", ")))
        .boxed(),
        Rule::Any => anything(),
        Rule::Object { fields, .. } => {
            let member = |name: &'static str, rule: &'static Rule, required: bool| {
                let name = prop_oneof![
                    60 => Just(name.to_owned()),
                    1 => Just(name.to_uppercase()),
                    1 => Just(format!("\\u00{:02x}{}", name.as_bytes()[0], &name[1..])),
                ];
                let weights = if required { [1, 40, 1] } else { [20, 10, 1] };
                let times = prop_oneof![weights[0] => Just(0), weights[1] => Just(1), weights[2] => Just(2_usize)];
                times.prop_flat_map(move |times| vec((name.clone(), json(rule)), times))
            };
            let members: Vec<_> = fields.iter().map(|f| member(f.name, &f.rule, f.required).boxed()).collect();
            let unknown = prop_oneof![15 => Just(Vec::new()), 1 => ("[a-z$]{1,4}", anything()).prop_map(|m| vec![m])];
            (members, unknown)
                .prop_map(|(members, unknown)| members.into_iter().flatten().chain(unknown).collect::<Vec<_>>())
                .prop_shuffle()
                .prop_map(|members| {
                    let members = members.into_iter().map(|(name, value)| format!("\"{name}\" :{value}"));
                    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
                })
                .boxed()
        }
    };
    prop_oneof![40 => good, 1 => anything()].boxed()
}

fn text(min: usize, max: usize) -> BoxedStrategy<String> {
    let character =
        || prop_oneof![6 => proptest::char::range('a', 'z'), 1 => any::<char>(), 1 => Just('"'), 1 => Just('é')];
    let lengths = prop_oneof![20 => min..=max.min(min + 8), 1 => Just(min.saturating_sub(1)), 1 => Just(max.min(2000)), 1 => Just(max.min(2000) + 1)];
    let text = lengths.prop_flat_map(move |length| vec(character(), length)).prop_map(String::from_iter);
    (text, prop_oneof![4 => Just(false), 1 => Just(true)])
        .prop_map(|(text, escaped)| {
            if escaped {
                let units = text.encode_utf16().map(|unit| format!("\\u{unit:04X}"));
                return format!("\"{}\"", units.collect::<String>());
            }
            serde_json::to_string(&text).unwrap()
        })
        .boxed()
}

fn integer(min: i64, max: i64) -> BoxedStrategy<String> {
    let number = prop_oneof![
        10 => i128::from(min)..=i128::from(max),
        10 => i128::from(min)..i128::from(min) + 100,
        1 => Just(i128::from(min) - 1),
        1 => Just(i128::from(max)),
        1 => Just(i128::from(max) + 1),
        1 => Just(i128::from(u64::MAX) + 1),
    ];
    let form = prop_oneof![20 => Just(""), 1 => Just(".0"), 1 => Just(".5"), 1 => Just("e0"), 1 => Just("e999")];
    (number, form).prop_map(|(number, form)| format!("{number}{form}")).boxed()
}

fn anything() -> BoxedStrategy<String> {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("-0".to_owned()),
        Just("1e999".to_owned()),
        Just("\"\\ud800\"".to_owned()),
        Just("{}".to_owned()),
        Just(r#"{"$serde_json::private::RawValue":"1"}"#.to_owned()),
        Just(r#"{"and":["a"],"and":["b"]}"#.to_owned()),
        (100..200_usize).prop_map(deep),
        text(0, 10),
        integer(-5, 5),
    ]
    .boxed()
}
