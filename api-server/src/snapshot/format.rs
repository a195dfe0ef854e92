//! What is in a snapshot's file: a row for each object, and a head that says what the rows are together.
//!
//! | table | key | value |
//! |---|---|---|
//! | `objects` | `Kind/namespace/name` | checksum, JSON of the [lean](super::lean) object |
//! | `head` | `head` | checksum, JSON of [`Head`] |
//!
//! A checksum is the CRC-32 of key and JSON, 4 bytes in little-endian order. It finds what a disk broke; a file that someone forges is
//! kept out by who may write the directory.

use keyplane_core::time::Millis;
use serde::{Deserialize, Serialize};

use crate::registry::{Kind, ObjectKey, Source};

/// The number of this format. A program reads no snapshot with a higher one.
pub(super) const FORMAT: u32 = 1;
/// The key of the head.
pub(super) const HEAD: &str = "head";

const CHECKSUM: usize = size_of::<u32>();

/// What the rows are together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head {
    /// See [`FORMAT`].
    pub(super) format: u32,
    /// The version of the program that wrote it, for people.
    pub(super) written_by: String,
    /// Up to when the rows are known to be what the registry held, in milliseconds since 1970.
    pub(super) as_of: i64,
    /// Rows.
    pub(super) objects: u64,
    /// The sum of the checksums of all rows, so that a row that is missing is noticed.
    pub(super) sum: u64,
    /// What was watched.
    pub(super) sources: Vec<SourceHead>,
}

/// One source of the rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SourceHead {
    pub(super) kind: String,
    /// `None` for all namespaces.
    pub(super) namespace: Option<String>,
    /// The newest `resourceVersion` that came of it.
    pub(super) revision: Option<u64>,
}

impl SourceHead {
    pub(super) fn new(source: &Source, revision: Option<u64>) -> Self {
        Self { kind: source.kind.as_str().to_owned(), namespace: source.namespace.clone(), revision }
    }

    fn is(&self, source: &Source) -> bool {
        self.kind == source.kind.as_str() && self.namespace == source.namespace
    }
}

/// Why a snapshot is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A later version of the program wrote it.
    #[error(
        "it has format {0}, and this version reads formats up to {FORMAT}; it is replaced once everything was listed"
    )]
    Newer(u32),
    /// It is of other namespaces or kinds than are served now.
    #[error("it is of {0}, and now {1} are served; it is replaced once everything was listed")]
    OtherSources(String, String),
    /// It is from a time to come, so its age can't be told.
    #[error("it says that it is of {0}, which is in the future; set the clock of this machine")]
    Future(String),
    /// It is broken.
    #[error("it is damaged ({0}); it is replaced once everything was listed")]
    Damaged(String),
}

impl Head {
    /// Whether it can be served from, by what it says of itself.
    pub(super) fn check(&self, sources: &[Source], now: Millis) -> Result<(), Refusal> {
        let same = self.sources.len() == sources.len()
            && sources.iter().all(|source| self.sources.iter().any(|head| head.is(source)));
        if !same {
            let theirs = described(self.sources.iter().map(|head| (head.kind.as_str(), head.namespace.as_deref())));
            let ours = described(sources.iter().map(|source| (source.kind.as_str(), source.namespace.as_deref())));
            return Err(Refusal::OtherSources(theirs, ours));
        }
        if self.as_of > now.plus(AHEAD).0 {
            return Err(Refusal::Future(super::shown(Millis(self.as_of))));
        }
        Ok(())
    }
}

/// Clocks of two machines that share a volume differ by less.
const AHEAD: i64 = 5 * 60 * 1000;

/// Kinds and namespaces, each once: `ApiKey, RootKey in team-a, team-b`.
fn described<'a>(sources: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let (mut kinds, mut namespaces): (Vec<&str>, Vec<&str>) =
        sources.map(|(kind, namespace)| (kind, namespace.unwrap_or("all namespaces"))).unzip();
    for list in [&mut kinds, &mut namespaces] {
        list.sort_unstable();
        list.dedup();
    }
    format!("{} in {}", kinds.join(", "), namespaces.join(", "))
}

/// A value with its checksum in front.
pub(super) fn seal(key: &str, json: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(CHECKSUM + json.len());
    sealed.extend_from_slice(&checksum(key, json).to_le_bytes());
    sealed.extend_from_slice(json);
    sealed
}

/// The JSON of a sealed value and its checksum; `None` when they don't belong together, or to this key.
pub(super) fn unseal<'a>(key: &str, sealed: &'a [u8]) -> Option<(&'a [u8], u32)> {
    let (stored, json) = sealed.split_first_chunk::<CHECKSUM>()?;
    let stored = u32::from_le_bytes(*stored);
    (stored == checksum(key, json)).then_some((json, stored))
}

/// The checksum that a sealed value carries, unchecked.
pub(super) fn carried(sealed: &[u8]) -> u32 {
    sealed.first_chunk::<CHECKSUM>().map_or(0, |stored| u32::from_le_bytes(*stored))
}

fn checksum(key: &str, json: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(&[0]);
    hasher.update(json);
    hasher.finalize()
}

/// Reads a sealed head, the format's number first: of a later format nothing else is understood.
pub(super) fn read_head(sealed: &[u8]) -> Result<Head, Refusal> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let damaged = |what: &str| Refusal::Damaged(format!("its head {what}"));
    let (json, _) = unseal(HEAD, sealed).ok_or_else(|| damaged("has another checksum"))?;
    let Format { format } = serde_json::from_slice(json).map_err(|_| damaged("names no format"))?;
    if format > FORMAT {
        return Err(Refusal::Newer(format));
    }
    serde_json::from_slice(json).map_err(|_| damaged("can't be read"))
}

/// The key of an object's row. None of its parts can hold a slash.
pub(super) fn path(key: &ObjectKey) -> String {
    format!("{}/{}/{}", key.kind, key.namespace, key.name)
}

/// The kind and the namespace in a row's key.
pub(super) fn kind_and_namespace(path: &str) -> Option<(Kind, &str)> {
    let mut parts = path.splitn(3, '/');
    let (kind, namespace) = (parts.next().and_then(Kind::parse)?, parts.next()?);
    parts.next()?;
    Some((kind, namespace))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(kind: Kind, namespace: Option<&str>) -> Source {
        Source { kind, namespace: namespace.map(str::to_owned) }
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_read_and_one_changed_byte_is_not(
            key in "[a-zA-Z/]{1,20}", json in proptest::collection::vec(any::<u8>(), 0..64), at in any::<prop::sample::Index>(), bit in 0_u8..8,
        ) {
            let sealed = seal(&key, &json);
            prop_assert_eq!(unseal(&key, &sealed), Some((json.as_slice(), carried(&sealed))));
            let mut broken = sealed.clone();
            broken[at.index(sealed.len())] ^= 1 << bit;
            prop_assert_eq!(unseal(&key, &broken), None);
            prop_assert_eq!(unseal(&format!("{key}x"), &sealed), None);
            for end in 0..sealed.len() {
                prop_assert_eq!(unseal(&key, &sealed[..end]), None, "cut at {}", end);
            }
        }
    }

    #[test]
    fn a_head_of_a_later_format_is_told_from_a_broken_one() {
        let head = Head { format: FORMAT, as_of: 5, ..Head::default() };
        let json = serde_json::to_vec(&head).unwrap();
        assert_eq!(read_head(&seal(HEAD, &json)), Ok(head));
        assert_eq!(read_head(&seal(HEAD, br#"{"format": 9, "whatever": []}"#)), Err(Refusal::Newer(9)));
        for broken in [seal(HEAD, b"{}"), seal(HEAD, b"nonsense"), seal("other", &json), Vec::new()] {
            assert!(matches!(read_head(&broken), Err(Refusal::Damaged(_))), "{broken:?}");
        }
    }

    #[test]
    fn a_snapshot_of_other_sources_or_of_tomorrow_is_refused() {
        let (keys, roles) = (source(Kind::ApiKey, Some("a")), source(Kind::KeyRole, Some("a")));
        let of = |sources: &[&Source]| sources.iter().map(|source| SourceHead::new(source, Some(1))).collect();
        let head = Head { as_of: 1000, sources: of(&[&keys, &roles]), ..Head::default() };
        let now = Millis(2000);
        assert_eq!(head.check(&[roles.clone(), keys.clone()], now), Ok(()), "in whatever order");
        for others in [
            vec![],
            vec![keys.clone()],
            vec![keys.clone(), source(Kind::KeyRole, None)],
            vec![keys.clone(), roles.clone(), source(Kind::Identity, Some("a"))],
        ] {
            assert!(matches!(head.check(&others, now), Err(Refusal::OtherSources(..))), "{others:?}");
        }
        let sources = [keys, roles];
        assert_eq!(head.check(&sources, Millis(1000 - AHEAD)), Ok(()));
        assert!(matches!(head.check(&sources, Millis(999 - AHEAD)), Err(Refusal::Future(_))));
        let text = head.check(&[source(Kind::ApiKey, None)], now).unwrap_err().to_string();
        assert!(text.contains("ApiKey, KeyRole in a, and now ApiKey in all namespaces"), "{text}");
    }
}
