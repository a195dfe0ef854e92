use std::fs;

use tempfile::TempDir;

use super::*;

fn role(name: &str, permission: &str) -> String {
    format!(
        "apiVersion: keyplane.dev/v1alpha1\nkind: KeyRole\nmetadata: {{name: {name}}}\nspec: {{permissions: [{permission}]}}\n"
    )
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn read(directory: &TempDir) -> Result<Vec<String>, String> {
    let read = parse::read_directory(directory.path(), "default");
    read.map(|objects| objects.keys().map(ToString::to_string).collect()).map_err(|error| error.to_string())
}

#[test]
fn documents_of_ours_are_read_and_others_passed_over() {
    let two = format!("---\n{}---\n{}---\n", role("a", "x"), "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n");
    let json =
        r#"{"apiVersion":"keyplane.dev/v1alpha1","kind":"ApiKey","metadata":{"name":"k","namespace":"n"},"spec":{}}"#;
    let dir = directory(&[("b.yaml", &two), ("a.json", json), (".hidden.yaml", "{"), ("readme.txt", "{")]);
    assert_eq!(read(&dir), Ok(vec!["ApiKey `n/k`".to_owned(), "KeyRole `default/a`".to_owned()]));
}

#[test]
fn a_wrong_document_is_named() {
    for (text, expected) in [
        ("a: [", "document 1: "),
        (
            "apiVersion: keyplane.dev/v1alpha1\nkind: ApiKeys\nmetadata: {name: a}",
            "document 1: kind `ApiKeys` is not known",
        ),
        (
            "apiVersion: keyplane.dev/v9\nkind: ApiKey\nmetadata: {name: a}",
            "document 1: apiVersion `keyplane.dev/v9` is not known",
        ),
        ("kind: ApiKey", "document 1: apiVersion and kind are missing"),
        (&role("''", "x"), "document 1: metadata.name is missing"),
        (
            &format!("{}---\n{}", role("a", "x"), role("a", "y")),
            "document 2: KeyRole `default/a` stands in this directory twice",
        ),
    ] {
        let error = read(&directory(&[("f.yaml", text)])).unwrap_err();
        assert!(error.contains("f.yaml") && error.contains(expected), "{error}");
    }
}

#[test]
fn of_several_wrong_files_the_first_is_named() {
    let many: Vec<(String, String)> = (0..40).map(|n| (format!("f{n:02}.yaml"), role(&format!("r{n}"), "x"))).collect();
    let mut files: Vec<(&str, &str)> = many.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(read(&directory(&files)).map(|objects| objects.len()), Ok(40));
    (files[9].1, files[31].1) = ("a: [", "b: [");
    let error = read(&directory(&files)).unwrap_err();
    assert!(error.contains("f09.yaml"), "{error}");
    (files[9].1, files[31].1) = (&many[3].1, &many[3].1);
    let error = read(&directory(&files)).unwrap_err();
    assert!(error.contains("f09.yaml") && error.contains("`default/r3` stands"), "{error}");
}

#[test]
fn a_wrong_field_is_named_and_text_in_it_is_not_repeated() {
    for (spec, expected) in [
        ("enabled: 7", "spec.enabled: invalid type: integer `7`, expected a boolean"),
        ("key: a-plain-key", "spec.key: invalid type: a string, expected"),
        ("key: {hash: a-plain-key}", "spec.key.hash: invalid type: a string, expected"),
        ("key: {hash: {sha256: a-plain-key}}", "spec.key.hash: sha256 must be 64 hex digits"),
        ("key: {prefixedHash: {sha256: a-plain-key, migrationId: seam}}", "spec.key.prefixedHash: sha256 must be"),
        ("key: {}", "spec.key: key must set exactly one of"),
        ("meta: 'a-plain-key\", expected'", "spec.meta: "),
    ] {
        for kind in ["ApiKey", "RootKey"] {
            let text =
                format!("apiVersion: keyplane.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {{{spec}}}\n");
            let Err(error) = read(&directory(&[("f.yaml", &text)])) else {
                assert!(kind == "RootKey" && spec.starts_with("meta"), "{kind} {spec} was taken");
                continue;
            };
            assert!(error.contains(expected) && !error.contains("a-plain-key"), "{spec}: {error}");
        }
    }
}

async fn next(watch: &mut Watch) -> Event {
    tokio::time::timeout(Duration::from_secs(20), watch.next()).await.expect("an event in time").unwrap().unwrap()
}

#[tokio::test]
async fn a_change_of_the_directory_becomes_events_and_a_broken_file_changes_nothing() {
    let dir = directory(&[("a.yaml", &role("a", "x")), ("b.yaml", &role("b", "x"))]);
    let manifests = Manifests::open(dir.path(), "default").unwrap();
    let mut watch = manifests.watch(&Source { kind: Kind::KeyRole, namespace: None });
    assert!(matches!(next(&mut watch).await, Event::Restarted));
    assert!(matches!(next(&mut watch).await, Event::Applied(_)));
    assert!(matches!(next(&mut watch).await, Event::Applied(_)));
    assert!(matches!(next(&mut watch).await, Event::Listed));

    fs::write(dir.path().join("a.yaml"), role("a", "changed")).unwrap();
    let Event::Applied(Object::KeyRole(changed)) = next(&mut watch).await else { panic!("not applied") };
    assert_eq!(changed.spec.permissions, ["changed"]);

    // Broken and mended: what was broken was refused, and `b` was never gone.
    let mut refused = manifests.refused();
    fs::write(dir.path().join("b.yaml"), "a: [").unwrap();
    tokio::time::timeout(Duration::from_secs(20), refused.wait_for(|count| *count > 0))
        .await
        .expect("in time")
        .unwrap();
    fs::write(dir.path().join("b.yaml"), role("b", "mended")).unwrap();
    let Event::Applied(Object::KeyRole(mended)) = next(&mut watch).await else { panic!("not applied") };
    assert_eq!(mended.spec.permissions, ["mended"]);

    fs::remove_file(dir.path().join("a.yaml")).unwrap();
    let Event::Deleted(key) = next(&mut watch).await else { panic!("not deleted") };
    assert_eq!(key.name, "a");
}

#[tokio::test]
async fn a_broken_directory_stops_the_start() {
    let dir = directory(&[("a.yaml", "a: [")]);
    assert!(matches!(Manifests::open(dir.path(), "default"), Err(OpenError::Manifest(ManifestError::Document { .. }))));
}

#[tokio::test]
async fn what_a_watch_has_taken_is_read_again_for_whoever_asks_later() {
    let dir = directory(&[("a.yaml", &role("a", "x")), ("b.yaml", &role("b", "y"))]);
    let manifests = Manifests::open(dir.path(), "default").unwrap();
    let source = Source { kind: Kind::KeyRole, namespace: None };
    for _ in 0..2 {
        let mut watch = manifests.watch(&source);
        let mut applied = Vec::new();
        loop {
            match next(&mut watch).await {
                Event::Applied(object) => applied.push(object.key().name),
                Event::Listed => break,
                other => assert!(matches!(other, Event::Restarted), "{other:?}"),
            }
        }
        assert_eq!(applied, ["a", "b"]);
    }
    let listed = manifests.list(&source).await.unwrap();
    assert_eq!(listed.iter().map(|object| object.key().name).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(manifests.get(&listed[1].key()).await.unwrap(), listed[1]);
    let missing = ObjectKey { name: "c".to_owned(), ..listed[1].key() };
    assert!(matches!(manifests.get(&missing).await, Err(RegistryError::NotFound(_))));
}
