//! The operational listener: health, metrics and z-pages.
//!
//! `/readyz` does not say who leads: it is ready when the process runs and the resource definitions are there. A follower is ready to
//! take over, and a Deployment must not wait for all of its pods to lead. Who leads is `keyplane_operator_leader`.

use std::net::SocketAddr;

use axum::Router;
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use zpages::access::Guard;
use zpages::serve::{Certificate, CertificateError, Exposure};
use zpages::{Build, Check, Flags, LogLevels, Shutdown, ZPages};

use crate::config::RunArgs;
use crate::crds::Presence;

/// All routes of the listener. `debugging` adds those below `/debug`.
pub fn router(
    flags: Flags,
    presence: Presence,
    shutdown: &Shutdown,
    registry: Registry,
    debugging: Option<LogLevels>,
) -> Router {
    let mut pages = ZPages::new("keyplane-operator", env!("CARGO_PKG_VERSION"))
        .build(Build::of_environment(option_env!("KEYPLANE_GIT_COMMIT"), option_env!("KEYPLANE_BUILD_DATE")))
        .group("debug.keyplane.dev")
        .flags(flags)
        .configz("keyplane-operator", "config.keyplane.dev/v1alpha1", "OperatorConfiguration")
        .check(Check::ready("resource-definitions", move || presence.check()))
        .check(shutdown.check())
        .metrics(registry);
    if let Some(log_levels) = debugging {
        pages = pages.debugging(log_levels);
    }
    pages.router().fallback(zpages::not_found)
}

/// Binds the address, so that a port that is taken is an error at once.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// How the listener is exposed, as the flags say: in the clear, or over TLS to those whom the API server of `client` lets.
pub fn exposure(args: &RunArgs, client: Client) -> Result<Exposure, CertificateError> {
    let ops = &args.ops;
    if ops.ops_plain_http {
        return Ok(Exposure::plain());
    }
    let guard = Guard::delegated(client).with_client_ca_file(ops.ops_client_ca_file.clone())?;
    let certificate = match (&ops.ops_tls_cert_file, &ops.ops_tls_private_key_file) {
        (Some(chain), Some(key)) => Certificate::from_files(chain, key)?,
        _ => Certificate::self_signed(["localhost".to_owned(), args.ops_listen.ip().to_string()])?,
    };
    Ok(Exposure::guarded(certificate, guard.with_always_allow_paths(&ops.ops_always_allow_paths)))
}

/// Serves until `stop`, then finishes requests under way.
pub async fn serve(listener: TcpListener, exposure: Exposure, router: Router, stop: CancellationToken) {
    if let Err(error) = exposure.serve(listener, router, stop.cancelled_owned()).await {
        tracing::error!(error = %error, "the ops listener failed");
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use clap::Parser;
    use tower::ServiceExt;

    use super::*;
    use crate::config::Cli;

    async fn get(router: &Router, path: &str, accept: &str) -> (u16, String) {
        let request = Request::builder().uri(path).header("accept", accept).body(Body::empty()).unwrap();
        let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        (parts.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_pages_of_a_component_are_served_and_those_for_debugging_by_choice() {
        let levels = LogLevels::unchanging("info");
        let router = |debugging| {
            let flags = Flags::new().with("lease-name", "keyplane-operator");
            router(flags, Presence::default(), &Shutdown::new(), Registry::default(), debugging)
        };
        let open = router(Some(levels));
        for path in ["/statusz", "/flagz", "/livez", "/metrics", "/metrics/slis", "/version", "/debug/pprof/"] {
            assert_eq!(get(&open, path, "*/*").await.0, 200, "{path}");
        }
        let (_, configz) = get(&open, "/configz", "*/*").await;
        let wanted =
            r#"{"keyplane-operator":{"kind":"OperatorConfiguration","apiVersion":"config.keyplane.dev/v1alpha1","#;
        assert!(configz.starts_with(wanted) && configz.contains(r#""leaseName":"keyplane-operator""#), "{configz}");
        let (_, index) = get(&open, "/", "application/json;g=debug.keyplane.dev;v=v1alpha1;as=Index").await;
        assert!(index.contains(r#"{"path":"/debug/flags/v","#), "{index}");
        assert_eq!(get(&router(None), "/debug/pprof/", "*/*").await.0, 404);
    }

    #[test]
    fn debugging_is_on_unless_it_is_switched_off() {
        let profiling = |arguments: &[&str]| {
            let arguments = std::iter::once(&"keyplane-operator").chain(arguments);
            Cli::try_parse_from(arguments).unwrap().run.profiling
        };
        assert!(profiling(&[]));
        assert!(!profiling(&["--profiling=false"]));
    }
}
