//! Writes what was learnt into the objects: one task behind the verify path, for a registry that this process may write.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use keyplane_api::{ApiKey, CurrentKey, KeySource};
use keyplane_core::hash::KeyHash;
use keyplane_core::prefixed;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Learnt;
use crate::registry::{Kind, Object, ObjectKey, Registry, RegistryError};

/// Learnt keys on their way to the store: 16 times what a disk writes in a second at 4 ms a flush. Each is about 200 bytes.
pub const QUEUE: usize = 4096;
/// Someone else may change the object between reading and writing it. So often in a row nobody does.
const TRIES: usize = 5;

/// Writes until `stop`, and then what is still queued.
pub async fn keep(registry: Arc<dyn Registry>, mut offers: mpsc::Receiver<Learnt>, stop: CancellationToken) {
    while let Some(Some(learnt)) = stop.run_until_cancelled(offers.recv()).await {
        write(&*registry, &learnt).await;
    }
    while let Ok(learnt) = offers.try_recv() {
        write(&*registry, &learnt).await;
    }
}

async fn write(registry: &dyn Registry, learnt: &Learnt) {
    let key =
        ObjectKey { kind: Kind::ApiKey, namespace: learnt.namespace.to_string(), name: learnt.object.to_string() };
    match attempts(registry, &key, learnt).await {
        // Gone meanwhile: nothing is left to be kept.
        Ok(()) | Err(RegistryError::NotFound(_)) => {}
        Err(error) => tracing::warn!(
            object = %key,
            error = &error as &dyn std::error::Error,
            "a migrated key was learnt but its object can't be written: after a restart it needs its migrationId once more"
        ),
    }
}

async fn attempts(registry: &dyn Registry, key: &ObjectKey, learnt: &Learnt) -> Result<(), RegistryError> {
    let mut tries = 1;
    loop {
        let Object::ApiKey(object) = registry.get(key).await? else { return Ok(()) };
        let Some(object) = with_learnt(*object, learnt) else { return Ok(()) };
        match registry.update(object.into()).await {
            Err(RegistryError::Conflict(_)) if tries < TRIES => tries += 1,
            other => return other.map(drop),
        }
    }
}

/// The object with the whole key's hash in its status; `None` when there is nothing to add: it says one already, or is another key by now.
fn with_learnt(mut object: ApiKey, learnt: &Learnt) -> Option<ApiKey> {
    let KeySource::PrefixedHash(imported) = &object.spec.key else { return None };
    let long_token = KeyHash::parse(&imported.sha256).ok()?;
    let is_the_key = prefixed::lookup(&imported.migration_id, long_token) == learnt.lookup;
    let status = object.status.get_or_insert_default();
    if !is_the_key || status.current.is_some() {
        return None;
    }
    let issued_at = Time(Timestamp::from_millisecond(learnt.at.0).ok()?);
    status.current = Some(CurrentKey { sha256: learnt.whole.to_hex(), issued_at });
    status.start = Some(learnt.start.to_string());
    Some(object)
}

#[cfg(test)]
mod tests {
    use keyplane_core::time::Millis;

    use super::*;
    use crate::registry::embedded::Embedded;

    const LONG: &str = "51FwqftsmMDHHbJAMEXXHCgG";

    fn object(source: &str) -> ApiKey {
        let yaml = format!(
            "{{apiVersion: keyplane.dev/v1alpha1, kind: ApiKey, metadata: {{name: k, namespace: n}}, spec: {{key: {source}}}}}"
        );
        serde_yaml::from_str(&yaml).unwrap()
    }

    fn imported() -> ApiKey {
        object(&format!("{{prefixedHash: {{sha256: {}, migrationId: seam}}}}", KeyHash::of(LONG).to_hex()))
    }

    fn learnt(migration: &str, whole: &str) -> Learnt {
        Learnt {
            namespace: "n".into(),
            object: "k".into(),
            lookup: prefixed::lookup(migration, KeyHash::of(LONG)),
            whole: KeyHash::of(whole),
            start: "p_shor".into(),
            at: Millis(1_000),
        }
    }

    #[test]
    fn the_status_says_the_whole_keys_hash_once() {
        let first = with_learnt(imported(), &learnt("seam", "whole")).unwrap();
        let status = first.status.as_ref().unwrap();
        assert_eq!(status.current.as_ref().unwrap().sha256, KeyHash::of("whole").to_hex());
        assert_eq!(status.start.as_deref(), Some("p_shor"));
        assert_eq!(with_learnt(first, &learnt("seam", "another")), None);
    }

    #[test]
    fn another_key_is_left_alone() {
        assert_eq!(with_learnt(imported(), &learnt("another migration", "whole")), None);
        assert_eq!(with_learnt(object("{generate: {}}"), &learnt("seam", "whole")), None);
    }

    #[tokio::test]
    async fn what_was_queued_before_the_stop_is_in_the_store() {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(directory.path()).unwrap();
        store.create(imported().into()).await.unwrap();
        let (sender, offers) = mpsc::channel(QUEUE);
        let gone = Learnt { object: "gone".into(), ..learnt("seam", "whole") };
        for learnt in [gone, learnt("seam", "whole")] {
            sender.try_send(learnt).unwrap();
        }
        let stop = CancellationToken::new();
        stop.cancel();
        keep(Arc::new(store.clone()), offers, stop).await;
        let key = ObjectKey { kind: Kind::ApiKey, namespace: "n".to_owned(), name: "k".to_owned() };
        let Object::ApiKey(object) = store.get(&key).await.unwrap() else { panic!("not an ApiKey") };
        assert_eq!(object.status.unwrap().current.unwrap().sha256, KeyHash::of("whole").to_hex());
        assert_eq!(object.metadata.generation, Some(1), "the spec is its owner's");
    }
}
