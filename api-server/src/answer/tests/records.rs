//! Random keys with everything that an answer can show.

use std::sync::Arc;

use keyplane_core::limit::{Algorithm, Decision, Limit, Rule};
use keyplane_core::plan::{Configured, Scope, Terms};
use keyplane_core::record::{IdentityRecord, KeyRecord, PermissionList, Place};
use keyplane_core::time::Millis;
use keyplane_core::verify::Code;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::value::RawValue;

/// Any text, often one that JSON must escape.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-z\"\\\\\\n/é]{0,12}"]
}

/// A few names, so that limits shadow each other.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[ab]".boxed(), 1 => Just("default".to_owned()).boxed(), 1 => text().boxed()]
}

fn meta() -> impl Strategy<Value = Option<Box<RawValue>>> {
    let object = proptest::collection::btree_map(text(), text(), 0..3);
    option::of(object.prop_map(|object| serde_json::value::to_raw_value(&object).unwrap()))
}

fn limits(scope: Scope) -> impl Strategy<Value = Vec<Configured>> {
    let limit = ("rl_[a-z0-9]{1,16}", name(), 0..i64::MAX, 1_000..i64::MAX, any::<bool>());
    let configured = move |(id, name, count, window, auto_apply): (String, String, i64, i64, bool)| {
        let limit = Limit::new(count.max(1), window).or_else(|_| Limit::new(1, 1_000)).unwrap();
        let terms = Terms { name: name.into(), rule: Rule { limit, algorithm: Algorithm::SlidingWindow }, auto_apply };
        Configured::new(&id, Arc::new(terms), scope, KeyRecord::bare("key_1", "n".into(), "k", "api_1").owner())
    };
    vec(limit.prop_map(configured), 0..3)
}

fn identity() -> impl Strategy<Value = Option<Arc<IdentityRecord>>> {
    let identity = (text(), meta(), limits(Scope::Identity)).prop_map(|(external_id, meta, limits)| {
        Arc::new(IdentityRecord { meta, limits: limits.into(), ..IdentityRecord::bare("id_1", &external_id) })
    });
    option::of(identity)
}

/// A key with anything or nothing.
pub(super) fn key() -> impl Strategy<Value = KeyRecord> {
    let texts = || vec(text().prop_map(|text| Arc::from(text.as_str())), 0..4);
    let names = (text(), "[a-z_]{1,20}", option::of(text()), meta(), texts(), texts());
    let rest = (identity(), limits(Scope::Key), limits(Scope::Key), any::<bool>(), option::of(any::<i64>()));
    (names, rest).prop_map(
        |((id, keyspace_id, name, meta, permissions, roles), (identity, own, selected, enabled, expires))| {
            let place =
                Place { namespace: "n".into(), keyspace: "k".into(), keyspace_id: keyspace_id.into(), allowed: None };
            let own_permissions = permissions.len();
            let set = PermissionList { permissions: permissions.into(), own: own_permissions, roles: roles.into() };
            let mut record =
                KeyRecord::new(&id, "object", name.as_deref(), meta.as_deref(), Arc::new(place), Arc::new(set.into()));
            record.identity = identity;
            record.set_own_limits(own);
            record.set_selected_limits(&selected);
            record.enabled = enabled;
            record.expires = expires.map(Millis);
            record
        },
    )
}

/// What a verdict has besides its key.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) code: Code,
    pub(super) credits: Option<u64>,
    pub(super) limits: Vec<(String, String, u64, i64, bool, Decision)>,
}

/// Any outcome for a key that was found.
pub(super) fn outcome() -> impl Strategy<Value = Outcome> {
    let decision = (any::<bool>(), any::<u64>(), any::<i64>()).prop_map(|(allowed, remaining, reset)| Decision {
        allowed,
        remaining,
        reset: Millis(reset),
    });
    let limit = ("(rl_[a-z]{4})?", name(), any::<u64>(), any::<i64>(), any::<bool>(), decision);
    (proptest::sample::select(&Code::ALL), option::of(any::<u64>()), vec(limit, 0..4))
        .prop_map(|(code, credits, limits)| Outcome { code, credits, limits })
}
