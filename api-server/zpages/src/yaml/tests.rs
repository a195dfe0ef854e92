//! The documents of `golden.jsonl` were written by the Go library of Kubernetes 1.36 (`sigs.k8s.io/yaml` 1.6.0) from
//! the values beside them, one pair a line.

use serde::Deserialize;
use serde_json::{Value, json};

use super::document;

#[derive(Deserialize)]
struct Golden {
    value: Value,
    yaml: String,
}

#[test]
fn documents_are_those_of_the_go_library() {
    let mut compared = 0;
    for line in include_str!("golden.jsonl").lines() {
        let Golden { value, yaml } = serde_json::from_str(line).unwrap();
        assert_eq!(document(&value), yaml, "{value}");
        compared += 1;
    }
    assert!(compared >= 94, "only {compared} documents");
}

#[test]
fn an_order_of_keys_that_is_none_does_no_harm() {
    // `20` is before `2b` by its digits, `9-b11` before `20` by value and `2b` before `9-b11`: a circle.
    let value = json!({"20": 0, "2b": 0, "9-b11": 0, "a": 0});
    assert_eq!(document(&value).lines().count(), 4);
}

#[test]
fn scalars_and_empty_collections_are_documents_too() {
    assert_eq!(document(&json!("on")), "\"on\"\n");
    assert_eq!(document(&json!({})), "{}\n");
    assert_eq!(document(&json!(["a"])), "- a\n");
}
