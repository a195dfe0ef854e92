//! One number for a whole content, whatever the order in which it came: two pods with equal digests hold the same.
//!
//! ```text
//! entry -> SHA-256 of its fields, the first half of it -> Fingerprint
//! digest = sum of the fingerprints of all entries, modulo 2^128; what goes is subtracted
//! ```
//! Proof against accidents, not against someone who writes entries for the purpose: sums of chosen numbers can be made to agree. Equal
//! only between builds of one version on machines of one byte order: a field is fed as `Hash` feeds it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Add, AddAssign, SubAssign};

use sha2::{Digest as _, Sha256};

use crate::plan::Configured;
use crate::record::KeyRecord;

/// Of one entry, or the sum of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(u128);

impl Fingerprint {
    /// Of one entry, which says everything about itself through `Hash`. Two entries of different sorts need a different `sort`.
    pub fn of(sort: &str, entry: &impl Hash) -> Self {
        let mut fields = Fields(Sha256::new());
        sort.hash(&mut fields);
        entry.hash(&mut fields);
        let half = fields.0.finalize().first_chunk().copied().unwrap_or_default();
        Self(u128::from_le_bytes(half))
    }

    /// Of a key: of everything that decides an answer about it, its hashes included. **Cost**: a microsecond for a key of usual size.
    pub fn of_key(record: &KeyRecord) -> Self {
        Self::of("key", &Key(record))
    }
}

impl Add for Fingerprint {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

impl AddAssign for Fingerprint {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Fingerprint {
    fn sub_assign(&mut self, other: Self) {
        self.0 = self.0.wrapping_sub(other.0);
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

struct Key<'a>(&'a KeyRecord);

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, fields: &mut H) {
        let Self(record) = self;
        for served in record.hashes() {
            (served.hash.as_bytes(), served.valid_until).hash(fields);
        }
        (record.id(), record.object_name(), record.name_json(), record.meta_json()).hash(fields);
        let place = &*record.place;
        (&place.namespace, &place.keyspace, &place.keyspace_id, &place.allowed).hash(fields);
        (record.permissions(), record.roles()).hash(fields);
        record.identity.is_some().hash(fields);
        if let Some(identity) = &record.identity {
            (&identity.head_json, identity.meta.as_ref().map(|meta| meta.get())).hash(fields);
            limits(&identity.limits, fields);
        }
        limits(record.own_limits(), fields);
        limits(record.selected_limits(), fields);
        (record.enabled, record.expires, &record.credits).hash(fields);
    }
}

fn limits(limits: &[Configured], fields: &mut impl Hasher) {
    limits.len().hash(fields);
    for limit in limits {
        (&*limit.id, limit.counter, &limit.terms).hash(fields);
    }
}

/// Feeds SHA-256 with what `Hash` writes.
struct Fields(Sha256);

impl Hasher for Fields {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Nobody asks: the whole hash is taken.
    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::hash::KeyHash;
    use crate::record::{IdentityRecord, PermissionList, PermissionSet, ServedHash};
    use crate::time::Millis;

    #[test]
    fn the_order_of_entries_does_not_matter_and_what_goes_leaves_nothing() {
        let [a, b, c] = ["a", "b", "c"].map(|entry| Fingerprint::of("test", &entry));
        let mut sum = c + a + b;
        assert_eq!(sum, a + b + c);
        sum -= b;
        assert_eq!(sum, a + c);
        assert_ne!(Fingerprint::of("test", &"a"), Fingerprint::of("other", &"a"));
        assert_eq!(Fingerprint(10).to_string(), "0000000000000000000000000000000a");
    }

    /// Each change is one of a field that decides an answer.
    #[test]
    fn every_field_that_decides_an_answer_is_in_it() {
        let hashed = |mut record: KeyRecord| {
            record.hash = Some(KeyHash::of("a"));
            record
        };
        let key = || hashed(KeyRecord::bare("key_1", "n".into(), "one", "api_1"));
        let plain = Fingerprint::of_key(&key());
        assert_eq!(plain, Fingerprint::of_key(&key()));
        let other = |id, namespace: &str, name, keyspace| hashed(KeyRecord::bare(id, namespace.into(), name, keyspace));
        let place = || Arc::clone(&key().place);
        let meta = serde_json::value::RawValue::from_string(r#"{"a":1}"#.to_owned()).unwrap();
        let set = |permissions: &[&str], roles: &[&str]| {
            let list = |texts: &[&str]| texts.iter().map(|text| Arc::from(*text)).collect();
            Arc::new(PermissionSet::from(PermissionList {
                permissions: list(permissions),
                own: permissions.len(),
                roles: list(roles),
            }))
        };
        let with = |change: &dyn Fn(&mut KeyRecord)| {
            let mut record = key();
            change(&mut record);
            record
        };
        let changed = [
            with(&|record| record.enabled = false),
            with(&|record| record.expires = Some(Millis(7))),
            with(&|record| record.hash = Some(KeyHash::of("b"))),
            with(&|record| record.former = Some(Box::new(ServedHash { hash: KeyHash::of("b"), valid_until: None }))),
            with(&|record| {
                record.former = Some(Box::new(ServedHash { hash: KeyHash::of("b"), valid_until: Some(Millis(7)) }));
            }),
            with(&|record| record.identity = Some(Arc::new(IdentityRecord::bare("id_1", "acme")))),
            with(&|record| record.identity = Some(Arc::new(IdentityRecord::bare("id_1", "acme2")))),
            with(&|record| record.permission_set = set(&["a"], &[])),
            with(&|record| record.permission_set = set(&[], &["a"])),
            other("key_2", "n", "one", "api_1"),
            other("key_1", "m", "one", "api_1"),
            other("key_1", "n", "two", "api_1"),
            other("key_1", "n", "one", "api_2"),
            hashed(KeyRecord::new("key_1", "one", Some("One"), None, place(), Arc::default())),
            hashed(KeyRecord::new("key_1", "one", None, Some(&meta), place(), Arc::default())),
        ];
        let mut seen = vec![plain.0];
        seen.extend(changed.iter().map(|record| Fingerprint::of_key(record).0));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), changed.len() + 1, "two of them are the same");
    }
}
