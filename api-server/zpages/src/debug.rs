//! What lies below `/debug`: pages that change or slow the process, for those who may.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use axum::routing::any;
use http::StatusCode;

use crate::endpoint::Endpoint;
use crate::log_levels::{self, BODY_AT_MOST, LogLevels};
use crate::mount::{self, Mount};
use crate::page::plain;
use crate::profile::Profiles;

/// What the index of the profiles says.
const PROFILES: &str = "/debug/pprof/\n\nprofile  CPU profile, gzipped, for `go tool pprof`; ?seconds=N, 30 unless given, 60 \
                        at most; one at a time\n";

/// Mounts the pages.
pub(crate) fn mount(mount: &mut Mount, levels: LogLevels) {
    let shown = levels.clone();
    let flags = mount::page(move |_| plain(StatusCode::OK, format!("/debug/flags/\n\nv  {}\n", shown.current())));
    mount.unlisted("/debug/flags", flags.clone());
    mount.route(Endpoint::new("/debug/flags/", "what is logged now"), flags);
    let about = "sets what is logged: PUT a klog verbosity (0 to 10), or TARGET=LEVEL for one target";
    let put = any(move |request: Request| set_level(levels.clone(), request));
    mount.route(Endpoint::new("/debug/flags/v", about), put);

    mount.unlisted("/debug/pprof", mount::redirect("/debug/pprof/"));
    mount.page(Endpoint::new("/debug/pprof/", "the profiles there are"), |_| plain(StatusCode::OK, PROFILES));
    let profiles = Arc::new(Profiles::new());
    let profile = any(move |request: Request| {
        let profiles = Arc::clone(&profiles);
        async move { profiles.answer(&request.into_parts().0).await }
    });
    mount.route(Endpoint::new("/debug/pprof/profile", "CPU profile as pprof; ?seconds=N"), profile);
}

/// # Cancel safety
/// The level is changed when the whole body is there, or not at all.
async fn set_level(levels: LogLevels, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = match to_bytes(body, BODY_AT_MOST).await {
        Ok(body) => String::from_utf8_lossy(&body).into_owned(),
        Err(_) => {
            return plain(StatusCode::BAD_REQUEST, "error reading request body: longer than 1 KiB, or broken off\n");
        }
    };
    log_levels::answer(&levels, &parts.method, &body)
}
