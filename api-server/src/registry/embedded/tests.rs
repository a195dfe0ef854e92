//! What only the embedded store has to show; what every backend must do is `tests/kit/registry_contract.rs`.

use keyplane_api::{KeyRole, KeyRoleSpec};

use super::*;

fn open(directory: &Path) -> Embedded {
    Embedded::open(directory).unwrap()
}

fn role(name: &str, permission: &str) -> Object {
    let spec = KeyRoleSpec { permissions: vec![permission.to_owned()], ..KeyRoleSpec::default() };
    let mut role = KeyRole::new(name, spec);
    role.metadata.namespace = Some("team-a".to_owned());
    role.into()
}

/// The next event, within a time that only a hang exceeds.
async fn next(watch: &mut Watch) -> Event {
    let event = tokio::time::timeout(Duration::from_secs(20), watch.next()).await;
    event.expect("an event in time").expect("the watch goes on").expect("no error")
}

fn roles() -> Source {
    Source { kind: Kind::KeyRole, namespace: None }
}

#[tokio::test]
async fn objects_are_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let created = open(directory.path()).create(role("a", "read")).await.unwrap();
    let opened_again = open(directory.path());
    assert_eq!(opened_again.list(&roles()).await.unwrap(), std::slice::from_ref(&created));
    let next = opened_again.create(role("b", "read")).await.unwrap();
    let revision = |object: &Object| object.metadata().resource_version.as_ref().unwrap().parse::<u64>().unwrap();
    assert!(revision(&next) > revision(&created), "revisions never start anew");
}

#[tokio::test]
async fn a_second_process_is_told_that_the_store_is_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let _first = open(directory.path());
    assert!(matches!(Embedded::open(directory.path()), Err(OpenError::InUse(_))));
}

#[tokio::test]
async fn a_watcher_that_falls_behind_lists_again_and_ends_up_right() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    // A backlog of one write: the second one that a watcher has not taken makes it lag.
    *store.0.announce.lock().unwrap() = broadcast::Sender::new(1);
    let mut watch = store.watch(&roles());
    assert!(matches!(next(&mut watch).await, Event::Restarted));
    assert!(matches!(next(&mut watch).await, Event::Listed));
    for number in 0..2 * LISTING_BUFFER {
        // Announced without the disk, which would only make the test slow.
        let written = Written {
            revision: u64::MAX - 1,
            key: role("x", "x").key(),
            object: Some(role(&format!("r{number}"), "x")),
        };
        let _ = store.0.announce.lock().unwrap().send(written);
    }
    let real = store.create(role("last", "read")).await.unwrap();
    let mut relisted = false;
    loop {
        match next(&mut watch).await {
            Event::Restarted => relisted = true,
            Event::Applied(object) if object == real => break,
            _ => {}
        }
    }
    assert!(relisted);
}

#[test]
fn opening_needs_a_directory_that_can_be_made() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(Embedded::open(file.path()), Err(OpenError::Directory(..))));
}

#[tokio::test]
async fn an_import_is_one_write_that_watchers_see_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut watch = store.watch(&roles());
    assert!(matches!(next(&mut watch).await, Event::Restarted));
    assert!(matches!(next(&mut watch).await, Event::Listed));

    let taken = store.import(vec![role("a", "read"), role("b", "read"), role("a", "write")]).await;
    assert!(matches!(taken, Err(RegistryError::AlreadyExists(key)) if key.name == "a"));
    assert_eq!(store.list(&roles()).await.unwrap(), [], "nothing of a refused import stays");

    store.import(vec![role("a", "read"), role("b", "read")]).await.unwrap();
    let stored = store.list(&roles()).await.unwrap();
    let metadata = stored.iter().map(Object::metadata);
    assert!(metadata.clone().all(|m| m.uid.is_some() && m.generation == Some(1)));
    assert_eq!(metadata.map(|m| m.resource_version.as_deref()).collect::<Vec<_>>(), [Some("1"), Some("2")]);
    for expected in stored {
        assert!(matches!(next(&mut watch).await, Event::Applied(object) if object == expected));
    }
}
