//! The seven watches of a scope as one stream of changes. Of each object only what is needed is kept; the rest is dropped as it is read.

use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt, iter, select_all};
use keyplane_api::{ApiKey, Guarded, Identity, KeyPermission, KeyRole, Keyspace, RateLimit, RateLimitOverride};
use kube::Resource;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher as watch};

use super::ledger::Change;
use super::object::{Kept, Kind, kept};
use crate::config::Scope;
use crate::context::Context;

/// What the watches tell; an error is followed by a new listing.
pub(super) type Changes = BoxStream<'static, Result<Change, watcher::Error>>;

/// Opens the watches of a scope.
pub(super) fn changes(context: &Context, scope: &Scope) -> Changes {
    select_all([
        of_kind::<ApiKey>(context, scope),
        of_kind::<RateLimit>(context, scope),
        of_kind::<RateLimitOverride>(context, scope),
        of_kind::<Keyspace>(context, scope),
        of_kind::<Identity>(context, scope),
        of_kind::<KeyRole>(context, scope),
        of_kind::<KeyPermission>(context, scope),
    ])
    .boxed()
}

fn of_kind<K: Kept>(context: &Context, scope: &Scope) -> Changes {
    let events = watch(scope.api::<Guarded<K>>(&context.client), watcher::Config::default()).default_backoff();
    let context = context.clone();
    events.flat_map(move |event| iter(event.map(|event| change(&context, event)).transpose())).boxed()
}

fn change<K: Kept>(context: &Context, event: Event<Guarded<K>>) -> Option<Change> {
    let gone = |object: &Guarded<K>| {
        let (namespace, name) = names(object)?;
        Some(Change::Gone { kind: K::KIND, namespace, name })
    };
    match event {
        Event::Init => Some(Change::Listing(K::KIND)),
        Event::InitDone => Some(Change::Listed(K::KIND)),
        Event::Delete(object) => gone(&object),
        Event::InitApply(object) | Event::Apply(object) => match &object.0 {
            Ok(readable) => {
                let (namespace, name) = names(&object)?;
                Some(Change::Seen { namespace, name, object: Box::new(kept(readable)) })
            }
            Err(invalid) => {
                // Of a key issuance tells it.
                if K::KIND != Kind::ApiKey {
                    context.unreadable(&object, &invalid.error);
                }
                gone(&object)
            }
        },
    }
}

fn names<K: Resource>(object: &K) -> Option<(Arc<str>, Arc<str>)> {
    let metadata = object.meta();
    Some((metadata.namespace.as_deref()?.into(), metadata.name.as_deref()?.into()))
}
