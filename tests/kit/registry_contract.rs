//! What every writable registry must do, as one test body that each backend runs.

use std::time::Duration;

use futures::StreamExt;
use keyplane_api::{KeyRole, KeyRoleSpec};
use keyplane_api_server::registry::{Event, Kind, Object, Registry, RegistryError, Source, Watch};

fn role(namespace: &str, name: &str, permission: &str) -> Object {
    let spec = KeyRoleSpec { permissions: vec![permission.to_owned()], ..KeyRoleSpec::default() };
    let mut role = KeyRole::new(name, spec);
    role.metadata.namespace = Some(namespace.to_owned());
    role.into()
}

/// The next event, within a time that only a hang exceeds.
async fn next(watch: &mut Watch) -> Event {
    let event = tokio::time::timeout(Duration::from_secs(20), watch.next()).await;
    event.expect("an event in time").expect("the watch goes on").expect("no error")
}

/// Writing, reading and watching, with optimistic concurrency, in a namespace without roles.
///
/// # Panics
/// Where the registry does something else.
pub async fn a_writable_registry(registry: &dyn Registry, namespace: &str) {
    let role = |name: &str, permission: &str| role(namespace, name, permission);
    let source = registry.sources(&[Kind::KeyRole]).remove(0);
    let created = registry.create(role("a", "read")).await.unwrap();
    let (key, metadata) = (created.key(), created.metadata().clone());
    assert!(metadata.uid.is_some() && metadata.resource_version.is_some() && metadata.creation_timestamp.is_some());
    assert_eq!(metadata.generation, Some(1));
    assert!(
        matches!(registry.create(role("a", "read")).await, Err(RegistryError::AlreadyExists(taken)) if taken == key)
    );

    let mut watch = registry.watch(&source);
    assert!(matches!(next(&mut watch).await, Event::Restarted));
    assert!(matches!(next(&mut watch).await, Event::Applied(listed) if listed == created));
    assert!(matches!(next(&mut watch).await, Event::Listed));

    let mut changed = role("a", "write");
    *changed.metadata_mut() = metadata.clone();
    let updated = registry.update(changed.clone()).await.unwrap();
    assert_eq!(updated.metadata().generation, Some(2));
    assert_eq!(updated.metadata().uid, metadata.uid);
    assert_ne!(updated.metadata().resource_version, metadata.resource_version);
    assert!(matches!(next(&mut watch).await, Event::Applied(seen) if seen == updated));
    assert!(matches!(registry.update(changed).await, Err(RegistryError::Conflict(stale)) if stale == key));
    assert_eq!(registry.get(&key).await.unwrap(), updated);
    assert_eq!(registry.list(&source).await.unwrap(), std::slice::from_ref(&updated));
    let elsewhere = Source { kind: Kind::KeyRole, namespace: Some(namespace[..namespace.len() - 1].to_owned()) };
    assert!(registry.list(&elsewhere).await.unwrap().is_empty(), "a namespace is not a prefix of another");

    registry.delete(&key).await.unwrap();
    assert!(matches!(next(&mut watch).await, Event::Deleted(gone) if gone == key));
    assert!(matches!(registry.get(&key).await, Err(RegistryError::NotFound(_))));
    assert!(matches!(registry.delete(&key).await, Err(RegistryError::NotFound(_))));
    assert!(matches!(registry.update(updated).await, Err(RegistryError::NotFound(_))));
}
