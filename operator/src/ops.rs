//! The operational listener: health, metrics and z-pages.
//!
//! `/readyz` does not say who leads: it is ready when the process runs and the resource definitions are there. A follower is ready to
//! take over, and a Deployment must not wait for all of its pods to lead. Who leads is `keyplane_operator_leader`.

use std::net::SocketAddr;

use axum::Router;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use zpages::{Check, Flags, Shutdown, ZPages};

use crate::crds::Presence;

/// All routes of the listener.
pub fn router(flags: Flags, presence: Presence, shutdown: &Shutdown, registry: Registry) -> Router {
    ZPages::new("keyplane-operator", env!("CARGO_PKG_VERSION"))
        .flags(flags)
        .check(Check::ready("resource-definitions", move || presence.check()))
        .check(shutdown.check())
        .metrics(registry)
        .router()
        .fallback(zpages::not_found)
}

/// Binds the address, so that a port that is taken is an error at once.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `stop`, then finishes requests under way.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(error = %error, "the ops listener failed");
    }
}
