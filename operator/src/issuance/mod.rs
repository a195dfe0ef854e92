//! Issuance: from an `ApiKey` or a `RootKey` to a key in a Secret and its hash in the status.
//!
//! ```text
//! watch -> reconcile: gather (reads) -> decide, readiness (pure) -> build (pure) -> apply (Secret, then status) -> event
//! ```
//!
//! The Secret comes first. If the process dies before the status, the next reconcile finds the Secret, sees by the owner's uid that it
//! is its own, and hashes it again.

mod api_key;
mod apply;
mod build;
mod claims;
mod decide;
mod gather;
mod indexes;
mod kind;
mod readiness;
mod root_key;
mod status;
mod watch;

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use keyplane_api::{KeyDefaults, KeySource};
use keyplane_core::key::PlainKey;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use tokio_util::sync::CancellationToken;

use self::decide::{Known, Material};
use self::gather::{Gathered, NamedKeyspace};
use self::indexes::Indexes;
pub use self::kind::{KeyKind, StatusView};
use self::readiness::Surroundings;
use crate::clock;
use crate::config::Scope;
use crate::context::Context;
use crate::drive::{self, Error, Reconcile, Watched};
use crate::metrics::Controller;

/// A Secret that appears between looking and creating is looked at again; more often than this nobody makes and deletes one.
const TRIES: usize = 3;

/// The reconciler of one kind of key.
pub struct Issuance<K: KeyKind> {
    context: Context,
    indexes: Arc<Indexes<K>>,
}

/// Runs the controllers of one kind, one for each scope, until `stop`.
pub async fn run<K: KeyKind>(context: Context, scopes: Vec<Scope>, stop: CancellationToken) {
    // One for all scopes: a root key's hash is unique wherever it is.
    let (indexes, pokes) = Indexes::<K>::new(&scopes);
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
        for _ in 0..TRIES {
            let Some(gathered) = gather::gather(&self.context.client, cached).await? else {
                return Ok(Action::await_change());
            };
            if let Some(action) = self.settle(gathered).await? {
                return Ok(action);
            }
        }
        Err(Error::Unsettled)
    }
}

impl<K: KeyKind> Issuance<K> {
    /// Decides and writes. `None`: a Secret of the name appeared meanwhile, gather again.
    async fn settle(&self, gathered: Gathered<K>) -> Result<Option<Action>, Error> {
        let Gathered { key, secret, keyspace } = gathered;
        let uid = key.uid().ok_or(Error::Incomplete("uid"))?;
        let id = key.id(&uid);
        let found = secret.as_ref().map(|(name, entry, found)| (name.as_str(), entry.as_str(), found.clone()));
        let mut material = decide::material(K::KIND, key.source(), key.status(), found);
        if let Material::Generate { secret_name } = &material {
            let Some(known) = self.generate(&key, secret_name, &id, &keyspace).await? else { return Ok(None) };
            material = Material::Known(known);
        }
        self.report(&key, &uid, id, &material, &keyspace).await.map(Some)
    }

    /// Makes the key and its Secret. `None`: there is a Secret of this name already.
    async fn generate(
        &self,
        key: &K,
        secret_name: &str,
        id: &str,
        keyspace: &NamedKeyspace,
    ) -> Result<Option<Known>, Error> {
        let KeySource::Generate(wish) = key.source() else { return Ok(None) };
        let defaults =
            if let NamedKeyspace::Exists(defaults) = keyspace { defaults.clone() } else { KeyDefaults::default() };
        let shape = build::shape(wish, &defaults);
        let mut entropy = vec![0; usize::from(shape.byte_length)];
        getrandom::fill(&mut entropy).map_err(Error::Entropy)?;
        let plain = PlainKey::generate(shape.prefix.as_deref(), &entropy);
        let namespace = key.namespace().ok_or(Error::Incomplete("namespace"))?;
        let secret = build::secret(key, secret_name, id, &plain);
        let Some(created) = apply::create_secret(&self.context.client, &namespace, &secret).await? else {
            return Ok(None);
        };
        self.context.metrics.keys_generated.get_or_create(&Controller { controller: K::KIND }).inc();
        Ok(Some(Known {
            hash: plain.hash(),
            // Also what a later adoption of this Secret would say.
            issued_at: created.metadata.creation_timestamp,
            start: Some(plain.start()),
            secret_name: Some(secret_name.to_owned()),
        }))
    }

    /// Writes the status if it differs, and says when to look again.
    async fn report(
        &self,
        key: &K,
        uid: &str,
        id: String,
        material: &Material,
        keyspace: &NamedKeyspace,
    ) -> Result<Action, Error> {
        let now = clock::now();
        let claimed = match material {
            Material::Known(known) => Some(known.hash),
            Material::Prefixed { lookup, .. } => Some(*lookup),
            Material::Generate { .. } | Material::Trouble { .. } => None,
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
        };
        let ready = readiness::ready(material, around, now);
        let status = status::status(id, key.meta().generation, material, &ready, key.status(), Time(now));
        if status.differs_from(key.status()) {
            let patch = status.patch(K::KIND, uid);
            apply::write_status::<K>(&self.context.client, &namespace, &key.name_any(), &patch).await?;
            self.context.metrics.status_writes.get_or_create(&Controller { controller: K::KIND }).inc();
            if let Some(said) = status.news(key.status()) {
                self.context.events.publish(key, said);
            }
        }
        let again = readiness::look_again(key.source(), &ready, key.expires(), now);
        Ok(again.map_or_else(Action::await_change, Action::requeue))
    }
}
