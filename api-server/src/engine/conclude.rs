//! What follows from a verdict that was given: when the key was last used, and an event.

use keyplane_core::hash::KeyHash;
use keyplane_core::time::Millis;
use keyplane_core::verify::Code;

use super::{Engine, Verdict};
use crate::events::Event;

impl Engine {
    /// Called once for each verification, when its verdict is final. `tags` and `request_id` are the wire's. Of a key that was not found nothing
    /// follows. Cost: some loads and an addition to a number of the thread's own, while no sink wants events; nothing is allocated then.
    pub fn concluded<'t>(
        &self,
        verdict: &Verdict<'_>,
        request_id: &(impl AsRef<str> + ?Sized),
        tags: impl IntoIterator<Item = &'t str>,
        cost: u64,
        now: Millis,
    ) {
        let Some(key) = verdict.key else { return };
        if verdict.code == Code::Valid {
            key.last_used.touch(now);
        }
        self.events.record(|| Event {
            time: now,
            namespace: (*key.namespace).into(),
            key_id: key.id().into(),
            keyspace_id: (*key.keyspace_id).into(),
            external_id: key.identity.as_ref().map(|identity| identity.external_id.clone()),
            code: verdict.code,
            tags: tags.into_iter().map(Box::from).collect(),
            request_id: request_id.as_ref().into(),
            spent: if verdict.code == Code::Valid && verdict.credits.is_some() { cost } else { 0 },
            latency: None,
        });
    }

    /// The minute in which the key with this hash was last `VALID` here; `None` when it was not, or when there is no such key. Known since
    /// the process started.
    pub fn last_used(&self, namespace: &str, hash: &KeyHash) -> Option<Millis> {
        let namespace = self.index.namespace(namespace)?;
        self.index.key(namespace, hash, |entry| entry.record.last_used.get()).flatten()
    }
}
