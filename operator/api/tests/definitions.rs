//! The committed definitions are the generated ones, and each field keeps the promises that all make.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::{env, fs, path::PathBuf};

use keyplane_api::{ApiKeySpec, KeyRoleSpec, KeyspaceSpec, RootKeySpec, VerifyPoolSpec};
use serde_json::{Value, from_value, json, to_value};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../crds")
}

#[test]
fn committed_definitions_are_the_generated_ones() {
    let files = keyplane_api::crd_files().unwrap();
    if env::var_os("UPDATE").is_some() {
        fs::create_dir_all(directory()).unwrap();
        for (name, text) in &files {
            fs::write(directory().join(name), text).unwrap();
        }
    }
    for (name, text) in &files {
        let committed = fs::read_to_string(directory().join(name)).unwrap_or_default();
        assert!(
            committed == *text,
            "crds/{name} is out of date: run `UPDATE=1 cargo test -p keyplane-api` and commit it"
        );
    }
    let mut found: Vec<_> =
        fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    let mut expected: Vec<_> = files.into_iter().map(|(name, _)| name).collect();
    expected.sort();
    assert_eq!(
        found, expected,
        "crds/ holds the generated files and nothing else, so that `kubectl apply -f crds/` works"
    );
}

/// Calls `check` with the path and schema of every field of every kind, items of lists and values of maps included.
fn every_field(check: &mut dyn FnMut(&str, &Value)) {
    for crd in keyplane_api::all_crds() {
        let schema = to_value(&crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema).unwrap();
        below(&crd.spec.names.kind, &schema, check);
    }
}

fn below(path: &str, schema: &Value, check: &mut dyn FnMut(&str, &Value)) {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let parts = properties.map(|(name, field)| (format!("{path}.{name}"), field)).chain(
        [("items", "[]"), ("additionalProperties", "{}")]
            .into_iter()
            .filter_map(|(part, sign)| Some((format!("{path}{sign}"), schema.get(part)?))),
    );
    for (path, field) in parts {
        check(&path, field);
        below(&path, field, check);
    }
}

#[test]
fn everything_is_bounded() {
    let mut unbounded = Vec::new();
    every_field(&mut |path, field| {
        let has = |keyword: &str| field.get(keyword).is_some();
        let bounded = match field["type"].as_str() {
            Some("string") => has("maxLength") || has("enum") || field["format"] == "date-time",
            Some("array") => has("maxItems") && has("x-kubernetes-list-type"),
            Some("integer") => field["format"] == "int64",
            Some("object") => has("properties") || has("maxProperties") || has("x-kubernetes-preserve-unknown-fields"),
            Some("boolean") => true,
            _ => has("x-kubernetes-int-or-string") && has("maxLength"),
        };
        if !bounded || has("nullable") || has("title") {
            unbounded.push(path.to_owned());
        }
    });
    assert!(unbounded.is_empty(), "{unbounded:#?}");
}

#[test]
fn every_field_is_explained_in_one_line() {
    let mut unexplained = Vec::new();
    every_field(&mut |path, field| {
        let text = field["description"].as_str().unwrap_or_default();
        let sentence = text.ends_with(['.', '…']) && !text.contains('\n');
        if !path.ends_with(['}', ']']) && !sentence {
            unexplained.push(format!("{path}: {text:?}"));
        }
    });
    assert!(unexplained.is_empty(), "{unexplained:#?}");
}

#[test]
fn what_is_required_is_what_cannot_be_guessed() {
    let required: Vec<_> = keyplane_api::all_crds()
        .iter()
        .map(|crd| {
            let schema = to_value(&crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema).unwrap();
            assert_eq!(schema["required"], json!(["spec"]));
            assert_eq!(schema["properties"]["status"].get("required"), None);
            (crd.spec.names.kind.clone(), schema["properties"]["spec"]["required"].clone())
        })
        .collect();
    let kinds = |kind: &str, fields: Value| (kind.to_owned(), fields);
    assert_eq!(
        required,
        [
            kinds("ApiKey", Value::Null),
            kinds("Identity", json!(["externalId"])),
            kinds("KeyPermission", json!(["slug"])),
            kinds("KeyRole", Value::Null),
            kinds("Keyspace", Value::Null),
            kinds("RateLimitOverride", json!(["identifier", "limit", "rateLimit", "window"])),
            kinds("RateLimit", json!(["limit", "window"])),
            kinds("RootKey", Value::Null),
            kinds("VerifyPool", Value::Null),
        ]
    );
}

#[test]
fn an_empty_spec_is_the_default_one() {
    assert_eq!(from_value::<ApiKeySpec>(json!({})).unwrap(), ApiKeySpec::default());
    assert_eq!(from_value::<RootKeySpec>(json!({})).unwrap(), RootKeySpec::default());
    assert_eq!(from_value::<VerifyPoolSpec>(json!({})).unwrap(), VerifyPoolSpec::default());
    assert_eq!(from_value::<KeyspaceSpec>(json!({})).unwrap(), KeyspaceSpec::default());
    assert_eq!(from_value::<KeyRoleSpec>(json!({})).unwrap(), KeyRoleSpec::default());
    // Server-side apply of a default object claims the fields that it writes: no more than the API server would fill in.
    let written = json!({"enabled": true, "key": {"generate": {}}, "keyspace": "default"});
    assert_eq!(to_value(ApiKeySpec::default()).unwrap(), written);
}

#[test]
fn names_and_places_are_the_contract() {
    let crds = keyplane_api::all_crds();
    let names: Vec<_> = crds
        .iter()
        .map(|crd| {
            let names = &crd.spec.names;
            assert_eq!(crd.spec.group, keyplane_api::GROUP);
            assert_eq!(crd.spec.versions[0].name, keyplane_api::VERSION);
            assert_eq!(crd.spec.scope, "Namespaced");
            assert_eq!(names.categories.as_deref(), Some(&[keyplane_api::CATEGORY.to_owned()][..]));
            (names.kind.as_str(), names.plural.as_str(), names.short_names.as_ref().unwrap().join(","))
        })
        .collect();
    let expected = [
        ("ApiKey", "apikeys", "ak"),
        ("Identity", "identities", "idn"),
        ("KeyPermission", "keypermissions", "kp"),
        ("KeyRole", "keyroles", "kr"),
        ("Keyspace", "keyspaces", "ksp"),
        ("RateLimitOverride", "ratelimitoverrides", "rlo"),
        ("RateLimit", "ratelimits", "rl"),
        ("RootKey", "rootkeys", "rk"),
        ("VerifyPool", "verifypools", "vp"),
    ];
    assert_eq!(names, expected.map(|(kind, plural, short)| (kind, plural, short.to_owned())));
}
