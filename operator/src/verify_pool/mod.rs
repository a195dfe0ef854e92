//! Verify pools: from a `VerifyPool` to its pods, their Services and their rights.
//!
//! ```text
//! watch -> reconcile: gather (namespaces) -> decide (pure) -> build (pure) -> apply -> orphans -> status
//! ```
//!
//! What lives in the pool's namespace is owned by it and goes with it. Rights in other namespaces and in the cluster are found by
//! labels and removed before the finalizer lets the pool go.

mod apply;
pub(crate) mod build;
mod covers;
mod decide;
mod finalizer;
mod gather;
mod orphans;
mod status;
mod watch;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use keyplane_api::condition::reason;
use keyplane_api::{STATUS_FIELD_MANAGER, VerifyPool};
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use tokio_util::sync::CancellationToken;

use self::decide::{Plan, Refusal};
use self::status::Obstacle;
use crate::clock;
use crate::config::Scope;
use crate::context::Context;
use crate::drive::{self, Error, Reconcile, Watched};
use crate::metrics::Controller;
use crate::retry::Class;

const KIND: &str = "VerifyPool";

/// The reconciler of pools.
pub struct Pools {
    context: Context,
    default_image: String,
}

/// Runs the controllers, one for each scope, until `stop`.
pub async fn run(context: Context, scopes: Vec<Scope>, default_image: String, stop: CancellationToken) {
    let controllers = scopes.iter().map(|scope| {
        let (store, queue) = watch::queue(&context.client, scope);
        let reconciler = Pools { context: context.clone(), default_image: default_image.clone() };
        drive::run(Arc::new(reconciler), store, queue, stop.clone())
    });
    futures::future::join_all(controllers).await;
}

impl Reconcile for Pools {
    type Kind = VerifyPool;
    const NAME: &'static str = KIND;

    fn context(&self) -> &Context {
        &self.context
    }

    async fn reconcile(self: Arc<Self>, object: Arc<Watched<VerifyPool>>) -> Result<Action, Error> {
        let pool = match &object.0 {
            Ok(pool) => pool,
            Err(invalid) => {
                self.context.unreadable(&*object, &invalid.error);
                return Ok(Action::await_change());
            }
        };
        if pool.metadata.deletion_timestamp.is_some() {
            return self.clean_up(pool).await;
        }
        match Box::pin(self.settle(pool)).await {
            Err(error) => self.report_failure(pool, error).await,
            settled => settled,
        }
    }
}

impl Pools {
    async fn settle(&self, pool: &VerifyPool) -> Result<Action, Error> {
        let namespaces = gather::namespaces(&self.context.client, pool).await?;
        match decide::decide(pool, &namespaces, &self.default_image) {
            Ok(plan) => self.carry_out(pool, &plan).await,
            Err(refusal) => self.refuse(pool, refusal).await,
        }
    }

    async fn carry_out(&self, pool: &VerifyPool, plan: &Plan) -> Result<Action, Error> {
        let client = &self.context.client;
        // Some of its rights always live where no owner reference reaches.
        finalizer::hold(client, pool, true).await?;
        let bundle = build::bundle(plan).map_err(Error::Serialise)?;
        let kept = orphans::kept(Some(&bundle));
        let applied = Box::pin(apply::apply(client, bundle, &self.context.metrics.applied)).await?;
        orphans::remove(client, &plan.pool, &plan.namespace, &kept).await?;
        let obstacle = match plan.missing_namespaces.as_slice() {
            [] => Obstacle::None,
            missing => Obstacle::Missing(missing.to_vec()),
        };
        self.report(pool, Some(&applied), &obstacle).await
    }

    /// What can be helped only by a person is shown in the status; what passes by itself is only logged and tried again.
    async fn report_failure(&self, pool: &VerifyPool, error: Error) -> Result<Action, Error> {
        if error.class() == Class::Refused {
            let refusal = Refusal { reason: reason::APPLY_FAILED, message: error.to_string() };
            self.refuse(pool, refusal).await?;
        }
        Err(error)
    }

    async fn refuse(&self, pool: &VerifyPool, refusal: Refusal) -> Result<Action, Error> {
        let namespace = pool.namespace().ok_or(Error::Incomplete("namespace"))?;
        let sets = Api::<StatefulSet>::namespaced(self.context.client.clone(), &namespace);
        let name = build::name(&pool.name_any());
        let set = sets.get_opt(&name).await.map_err(Error::api("read the pool's StatefulSet"))?;
        // One of the same name that is not of this pool says nothing about it.
        let set = set.filter(|set| set.labels().get(keyplane_api::POOL_LABEL) == Some(&pool.name_any()));
        self.report(pool, set.as_ref(), &Obstacle::Refused(refusal)).await
    }

    async fn clean_up(&self, pool: &VerifyPool) -> Result<Action, Error> {
        if !finalizer::is_held(pool) {
            return Ok(Action::await_change());
        }
        let namespace = pool.namespace().ok_or(Error::Incomplete("namespace"))?;
        orphans::remove(&self.context.client, &pool.name_any(), &namespace, &orphans::kept(None)).await?;
        finalizer::hold(&self.context.client, pool, false).await?;
        Ok(Action::await_change())
    }

    async fn report(&self, pool: &VerifyPool, set: Option<&StatefulSet>, obstacle: &Obstacle) -> Result<Action, Error> {
        let status = status::status(pool, set, obstacle, &Time(clock::now()));
        if status::differs(pool, &status) {
            let namespace = pool.namespace().ok_or(Error::Incomplete("namespace"))?;
            let api = Api::<VerifyPool>::namespaced(self.context.client.clone(), &namespace);
            let params = PatchParams::apply(STATUS_FIELD_MANAGER).force();
            let patch = Patch::Apply(status::patch(pool, &status));
            api.patch_status(&pool.name_any(), &params, &patch).await.map_err(Error::api("write the pool's status"))?;
            self.context.metrics.status_writes.get_or_create(&Controller { controller: KIND }).inc();
            if let Some(said) = status::news(pool, &status) {
                self.context.events.publish(pool, said);
            }
        }
        Ok(Action::await_change())
    }
}
