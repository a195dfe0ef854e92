//! Issuance: from an `ApiKey` or a `RootKey` to a key in a Secret and its hash in the status.
//!
//! ```text
//! watch -> reconcile: gather (reads) -> decide, generated, rotation, readiness (pure) -> build (pure) -> apply (Secret, then status) -> event
//! ```
//!
//! The Secret comes first, of a first key and of every next one. If the process dies before the status, the next reconcile finds the
//! Secret, sees by the owner's uid and by the hash of the key that it replaces that it is its own, and hashes it again.

mod api_key;
mod apply;
mod build;
mod claims;
pub mod deadlines;
mod decide;
mod gather;
mod generated;
mod indexes;
mod kind;
mod readiness;
mod root_key;
mod rotation;
mod status;
mod watch;

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use keyplane_api::{KeyDefaults, KeySource};
use keyplane_core::key::PlainKey;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use tokio_util::sync::CancellationToken;

use self::decide::{Found, Held, Known, Material};
use self::gather::{Gathered, NamedKeyspace, Trust};
use self::generated::Issue;
use self::indexes::Indexes;
pub use self::kind::{KeyKind, StatusView};
use self::readiness::Surroundings;
pub use self::rotation::Wish;
use self::rotation::{Cause, Turn};
use crate::clock;
use crate::config::Scope;
use crate::context::Context;
use crate::drive::{self, Error, Reconcile, Watched};
use crate::events::Said;
use crate::metrics::{Controller, Rotation};
use crate::retry::Class;

/// Once with the copy from the watch, once with what the API server says; and a Secret that changes between looking and writing is looked
/// at again. More often than this nobody changes one.
const TRIES: usize = 4;

/// The reconciler of one kind of key.
pub struct Issuance<K: KeyKind> {
    context: Context,
    indexes: Arc<Indexes<K>>,
}

/// Runs the controllers of one kind, one for each scope, until `stop`.
pub async fn run<K: KeyKind>(context: Context, scopes: Vec<Scope>, stop: CancellationToken) {
    // One for all scopes: a root key's hash is unique wherever it is.
    let (indexes, pokes) = Indexes::<K>::new(&scopes, context.metrics.deadlines.clone());
    let indexes = Arc::new(indexes);
    let controllers = scopes.iter().zip(pokes).map(|(scope, pokes)| {
        let (store, queue) = watch::queue::<K>(&context.client, scope, &indexes, pokes);
        let reconciler = Issuance { context: context.clone(), indexes: indexes.clone() };
        drive::run(Arc::new(reconciler), store, queue, stop.clone())
    });
    futures::future::join_all(controllers).await;
}

impl<K: KeyKind> Reconcile for Issuance<K> {
    type Kind = K;
    const NAME: &'static str = K::KIND;

    fn context(&self) -> &Context {
        &self.context
    }

    async fn reconcile(self: Arc<Self>, object: Arc<Watched<K>>) -> Result<Action, Error> {
        let cached = match &object.0 {
            Ok(key) => key,
            Err(invalid) => {
                self.context.unreadable(&*object, &invalid.error);
                return Ok(Action::await_change());
            }
        };
        let mut trust = Trust::Copy;
        for _ in 0..TRIES {
            let Some(gathered) = gather::gather(&self.context.client, cached, trust).await? else {
                return Ok(Action::await_change());
            };
            if let Some(action) = self.settle(gathered, trust).await? {
                return Ok(action);
            }
            trust = Trust::Nothing;
        }
        Err(Error::Unsettled)
    }
}

impl<K: KeyKind> Issuance<K> {
    /// Decides and writes. `None`: gather again, trusting no copy. Either the Secret changed meanwhile, or the object is about to be treated
    /// as one that lost its key or gets another one.
    async fn settle(&self, gathered: Gathered<K>, trust: Trust) -> Result<Option<Action>, Error> {
        let Gathered { key, secret, keyspace } = gathered;
        let uid = key.uid().ok_or(Error::Incomplete("uid"))?;
        let id = key.id(&uid);
        let found = secret.as_ref().map(|(name, entry, found)| (name.as_str(), entry.as_str(), found.clone()));
        let mut material = decide::material(K::KIND, key.source(), key.status(), key.wish(), found, clock::now());
        if trust == Trust::Copy && material.departs_from(key.source(), key.status()) {
            return Ok(None);
        }
        let mut cause = None;
        if let Material::Issue(issue) = &material {
            cause = Some(issue.cause);
            let Some(known) = self.issue(&key, issue, &id, &keyspace).await? else { return Ok(None) };
            material = Material::Known(known);
        }
        let action = self.report(&key, &uid, &id, &material, &keyspace, cause).await?;
        // After an issue the Secret is as it must be, but for a previous key without an overlap, which the Secret's own event leads to.
        if let (None, Material::Known(known), KeySource::Generate(_)) = (cause, &material, key.source())
            && let Some((secret_name, _, Found::Present(held))) = &secret
        {
            self.tidy(&key, secret_name, held, known, &id).await?;
        }
        Ok(Some(action))
    }

    /// Makes a key and puts it into its Secret. `None`: the Secret is another one than it was when it was read.
    async fn issue(&self, key: &K, issue: &Issue, id: &str, keyspace: &NamedKeyspace) -> Result<Option<Known>, Error> {
        let KeySource::Generate(wish) = key.source() else { return Ok(None) };
        let defaults =
            if let NamedKeyspace::Exists(defaults) = keyspace { defaults.clone() } else { KeyDefaults::default() };
        let shape = build::shape(wish, &defaults);
        let mut entropy = vec![0; usize::from(shape.byte_length)];
        getrandom::fill(&mut entropy).map_err(Error::Entropy)?;
        let plain = PlainKey::generate(shape.prefix.as_deref(), &entropy);
        let Some(created) = self.hand_over(key, issue, id, &plain).await? else { return Ok(None) };
        self.context.metrics.keys_generated.get_or_create(&Controller { controller: K::KIND }).inc();
        if issue.cause != Cause::First {
            let rotation = Rotation { controller: K::KIND, cause: issue.cause.as_str() };
            self.context.metrics.rotations.get_or_create(&rotation).inc();
        }
        let wish = key.wish();
        Ok(Some(Known {
            hash: plain.hash(),
            issued_at: Some(rotation::issued_at(created)),
            start: Some(plain.start()),
            secret_name: Some(issue.secret_name.clone()),
            turn: rotation::begun(wish, issue.replaces.as_deref(), wish.request().or(handled(key)), created),
        }))
    }

    /// Writes the key into its Secret; says when it was issued. Of a first key that is when the Secret was made, which a later adoption of it
    /// would say too.
    async fn hand_over(&self, key: &K, issue: &Issue, id: &str, plain: &PlainKey) -> Result<Option<Timestamp>, Error> {
        let (client, namespace) = (&self.context.client, key.namespace().ok_or(Error::Incomplete("namespace"))?);
        let written = if let Some(over) = &issue.over {
            let patch = build::next_key(key, issue, over, id, plain);
            let changed = apply::patch_secret(client, &namespace, &issue.secret_name, &patch).await;
            changed.map(|is_changed| is_changed.then(clock::now))
        } else {
            let created = apply::create_secret(client, &namespace, &build::secret(key, issue, id, plain)).await;
            let made = |time: Option<Time>| {
                time.filter(|_| issue.cause == Cause::First).map_or_else(clock::now, |time| time.0)
            };
            created.map(|created| created.map(|secret| made(secret.metadata.creation_timestamp)))
        };
        if let Err(error) = &written
            && issue.cause != Cause::First
            && error.class() == Class::Refused
        {
            let note = format!(
                "the next key cannot be written into Secret `{}`, so the current one stays: the API server refuses it; a Secret \
                 with `immutable: true` must be deleted first, and the operator's role must let it patch Secrets",
                issue.secret_name
            );
            let said = Said { warning: true, reason: "RotationFailed".to_owned(), note, action: "Rotate" };
            self.context.events.publish(key, said);
        }
        written
    }

    /// Sets right what is wrong in a Secret that holds the current key.
    async fn tidy(&self, key: &K, secret_name: &str, held: &Held, known: &Known, id: &str) -> Result<(), Error> {
        let Some(untidy) = generated::untidy(held, known, id) else { return Ok(()) };
        let namespace = key.namespace().ok_or(Error::Incomplete("namespace"))?;
        let patch = build::tidy(&untidy, id);
        // A Secret that was changed meanwhile has its turn again by that change.
        apply::patch_secret(&self.context.client, &namespace, secret_name, &patch).await.map(drop)
    }

    /// Writes the status if it differs, and says when to look again.
    async fn report(
        &self,
        key: &K,
        uid: &str,
        id: &str,
        material: &Material,
        keyspace: &NamedKeyspace,
        cause: Option<Cause>,
    ) -> Result<Action, Error> {
        let now = clock::now();
        let claimed = match material {
            Material::Known(known) => Some(known.hash),
            Material::Prefixed { lookup, .. } => Some(*lookup),
            Material::Issue(_) | Material::Trouble { .. } => None,
        };
        let older = claimed.and_then(|hash| self.indexes.older(key, hash));
        let namespace = key.namespace().ok_or(Error::Incomplete("namespace"))?;
        let missing_keyspace = if let NamedKeyspace::Missing(name) = keyspace { Some(name.as_str()) } else { None };
        let around = Surroundings {
            source: key.source(),
            names_migration: K::NAMES_MIGRATION,
            missing_keyspace,
            older: older.as_ref(),
            namespace: &namespace,
            expires: key.expires(),
            created: key.creation_timestamp().map_or(Timestamp::MIN, |time| time.0),
        };
        let ready = readiness::ready(material, around, now);
        let status = status::status(id.to_owned(), key.meta().generation, material, &ready, key.status(), Time(now));
        if status.differs_from(key.status()) {
            let version = key.resource_version().filter(|_| status.is_delicate(key.status()));
            let patch = status.patch(K::KIND, uid, version.as_deref());
            apply::write_status::<K>(&self.context.client, &namespace, &key.name_any(), &patch).await?;
            self.context.metrics.status_writes.get_or_create(&Controller { controller: K::KIND }).inc();
            let is_generated = matches!(key.source(), KeySource::Generate(_));
            for said in status.news(key.status(), is_generated, cause) {
                self.context.events.publish(key, said);
            }
        }
        let nowhere = Turn::default();
        let turn = match material {
            Material::Known(Known { turn, .. }) | Material::Trouble { turn, .. } => turn,
            Material::Issue(_) | Material::Prefixed { .. } => &nowhere,
        };
        let again = readiness::look_again(around, &ready, turn, now);
        Ok(again.map_or_else(Action::await_change, Action::requeue))
    }
}

fn handled<K: KeyKind>(key: &K) -> Option<String> {
    key.status().handled.map(str::to_owned)
}
