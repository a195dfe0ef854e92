//! What is kept of a directory: which objects it has, and by a digest what they say. What they say in full is kept until the watch of
//! their kind has taken it; the directory itself has it for whoever asks later.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use keyplane_core::hash::KeyHash;

use super::parse::{Document, Documents};
use crate::registry::{Event, Kind, Object, ObjectKey, Source};

/// One object of the directory. 72 bytes and its name; its text is ten times as much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    kind: Kind,
    namespace: Arc<str>,
    name: Box<str>,
    /// Changes when the object does.
    digest: [u8; 16],
    /// The file that it stands in.
    pub(super) path: Arc<Path>,
}

/// Sorted by kind, namespace and name.
pub(super) type Entries = Arc<[Entry]>;

/// One state of the directory. Cheap to clone.
#[derive(Clone)]
pub(super) struct State {
    pub(super) entries: Entries,
    /// Documents by their kind, in the order of the entries, until someone takes them.
    documents: Arc<Mutex<BTreeMap<Kind, Vec<Json>>>>,
}

type Json = Box<str>;

impl State {
    pub(super) fn new(read: Documents) -> Self {
        let mut entries: Vec<Entry> = Vec::with_capacity(read.len());
        let mut documents: BTreeMap<Kind, Vec<Json>> = BTreeMap::new();
        for (ObjectKey { kind, namespace, name }, Document { json, path }) in read {
            let before = entries.last().filter(|before| *before.namespace == *namespace);
            let namespace = before.map_or_else(|| namespace.into(), |before| before.namespace.clone());
            entries.push(Entry { kind, namespace, name: name.into(), digest: digest(&json), path });
            documents.entry(kind).or_default().push(json);
        }
        Self { entries: entries.into(), documents: Arc::new(Mutex::new(documents)) }
    }

    /// The documents of a kind; `None` when they were taken before.
    fn take(&self, kind: Kind) -> Option<Vec<Json>> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner).remove(&kind)
    }

    /// Every object of a source, each made when its turn comes: all of them at once would be most of the memory of a large directory.
    /// `None` when the documents were taken before.
    fn objects(&self, source: &Source) -> Option<impl Iterator<Item = (Entry, Event)> + Send + use<>> {
        let range = of_kind(&self.entries, source.kind);
        let documents = if range.is_empty() { Vec::new() } else { self.take(source.kind)? };
        let (entries, source) = (self.entries.clone(), source.clone());
        let pairs = range.zip(documents).filter_map(move |(place, json)| Some((entries.get(place)?.clone(), json)));
        Some(pairs.filter(move |(entry, _)| entry.is_of(&source)).map(|(entry, json)| {
            let event = match Object::from_json(entry.kind, json.as_bytes()) {
                Ok(object) => Event::Applied(object),
                Err(error) => Event::Unreadable(entry.key(), error.to_string()),
            };
            (entry, event)
        }))
    }

    /// The listing of a source; `None` when its documents were taken before.
    pub(super) fn listing(&self, source: &Source) -> Option<impl Iterator<Item = Event> + Send + use<>> {
        let objects = self.objects(source)?.map(|(_, event)| event);
        Some([Event::Restarted].into_iter().chain(objects).chain([Event::Listed]))
    }

    /// What turns a former state into this one, of one source; `None` when the documents were taken before.
    pub(super) fn changes(&self, before: &Entries, source: &Source) -> Option<Vec<Event>> {
        let changed = self.objects(source)?.filter(|(entry, _)| find(before, &entry.key()) != Some(entry));
        let gone = before.iter().filter(|entry| entry.is_of(source) && find(&self.entries, &entry.key()).is_none());
        Some(changed.map(|(_, event)| event).chain(gone.map(|entry| Event::Deleted(entry.key()))).collect())
    }
}

impl Entry {
    /// Which object it is.
    pub(super) fn key(&self) -> ObjectKey {
        ObjectKey { kind: self.kind, namespace: self.namespace.to_string(), name: self.name.to_string() }
    }

    /// Whether the object still says what it said.
    pub(super) fn is(&self, document: &Document) -> bool {
        self.digest == digest(&document.json)
    }

    fn is_of(&self, source: &Source) -> bool {
        self.kind == source.kind && source.namespace.as_deref().is_none_or(|namespace| *namespace == *self.namespace)
    }

    fn order(&self) -> (Kind, &str, &str) {
        (self.kind, &self.namespace, &self.name)
    }
}

pub(super) fn find<'a>(entries: &'a [Entry], key: &ObjectKey) -> Option<&'a Entry> {
    let wanted = (key.kind, key.namespace.as_str(), key.name.as_str());
    entries.binary_search_by(|entry| entry.order().cmp(&wanted)).ok().and_then(|place| entries.get(place))
}

fn of_kind(entries: &[Entry], kind: Kind) -> std::ops::Range<usize> {
    entries.partition_point(|entry| entry.kind < kind)..entries.partition_point(|entry| entry.kind <= kind)
}

/// The first half of SHA-256: two documents with one digest would be one to us.
fn digest(json: &str) -> [u8; 16] {
    KeyHash::of(json).as_bytes().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Entry>(), 72);
    }
}
