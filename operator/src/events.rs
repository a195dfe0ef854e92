//! Kubernetes events, published beside the reconciles so that none waits for them.
//!
//! ```text
//! reconcile -> Events::publish (bounded queue) -> publisher task -> events.k8s.io
//! ```

use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;

/// A burst of a thousand keys issued within the 2 s that a thousand events take to write (2 ms each); an event has about 1 KiB,
/// so 1 MiB at most. What comes on top is dropped and counted: events are for people, the truth is in the conditions.
const QUEUE: usize = 1024;
/// `events.k8s.io` refuses longer notes.
const LONGEST_NOTE: usize = 1024;

/// What is said of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Something a person should look at.
    pub warning: bool,
    /// Stable `CamelCase` word.
    pub reason: String,
    /// For people; never a secret.
    pub note: String,
    /// What the operator was doing.
    pub action: &'static str,
}

/// The handle that reconcilers publish through; cheap to clone.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<(Event, k8s_openapi::api::core::v1::ObjectReference)>,
    dropped: Counter,
}

impl Events {
    /// The handle and the task that publishes. The task ends when every handle is gone and the queue is empty.
    pub fn start(client: Client, instance: &str, dropped: Counter) -> (Self, impl Future<Output = ()> + use<>) {
        let (queue, mut waiting) = mpsc::channel(QUEUE);
        let reporter =
            Reporter { controller: keyplane_api::FIELD_MANAGER.to_owned(), instance: Some(instance.to_owned()) };
        let recorder = Recorder::new(client, reporter);
        let publisher = async move {
            while let Some((event, about)) = waiting.recv().await {
                if let Err(error) = recorder.publish(&event, &about).await {
                    tracing::warn!(error = %error, object.name = about.name, "failed to publish an event");
                }
            }
        };
        (Self { queue, dropped }, publisher)
    }

    /// Queues one event about an object; never waits.
    pub fn publish<K: Resource<DynamicType = ()>>(&self, object: &K, said: Said) {
        let event = Event {
            type_: if said.warning { EventType::Warning } else { EventType::Normal },
            reason: said.reason,
            note: Some(shortened(said.note)),
            action: said.action.to_owned(),
            secondary: None,
        };
        if self.queue.try_send((event, object.object_ref(&()))).is_err() {
            self.dropped.inc();
        }
    }
}

fn shortened(mut note: String) -> String {
    if note.len() > LONGEST_NOTE {
        let end = (0..=LONGEST_NOTE - '…'.len_utf8()).rev().find(|at| note.is_char_boundary(*at)).unwrap_or(0);
        note.truncate(end);
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_at_the_limit_of_the_api() {
        assert_eq!(shortened("short".to_owned()), "short");
        let long = shortened("é".repeat(1000));
        assert!(long.len() <= LONGEST_NOTE && long.ends_with("é…"), "{}", long.len());
    }
}
