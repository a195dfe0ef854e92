//! The builder: what a component says about itself, and the router that serves it.

use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::{Path, Request};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{MethodRouter, any};
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use prometheus_client::registry::Registry;

use crate::flags::Flags;
use crate::flagz::{FlagSource, Flagz};
use crate::health::{Check, Health};
use crate::index::{self, Endpoint};
use crate::metrics::Metrics;
use crate::page::plain;
use crate::statusz::Statusz;
use crate::{clock, process};

/// The compiler that built this crate, and with it the program.
const RUNTIME_VERSION: &str = env!("ZPAGES_RUSTC_VERSION");

/// The z-pages of one component. See the [crate] for an example.
pub struct ZPages {
    component: String,
    binary_version: String,
    emulation_version: Option<String>,
    start_time: SystemTime,
    flags: FlagSource,
    checks: Vec<Check>,
    registry: Option<Arc<Registry>>,
    listed: Vec<Endpoint>,
    has_index: bool,
}

impl ZPages {
    /// Pages of a component without flags, metrics and checks but `ping`, started when its process was.
    ///
    /// A leading `v` of the version is not shown.
    pub fn new(component: impl Into<String>, binary_version: impl Into<String>) -> Self {
        let binary_version = binary_version.into();
        Self {
            component: component.into(),
            binary_version: binary_version.strip_prefix('v').unwrap_or(&binary_version).to_owned(),
            emulation_version: None,
            // Where the operating system does not tell: this is called early in `main`.
            start_time: process::start_time().unwrap_or_else(clock::now),
            flags: Box::new(Flags::new),
            checks: vec![Check::ping()],
            registry: None,
            listed: Vec::new(),
            has_index: true,
        }
    }

    /// The version the component behaves like, `1.36`, where it can behave like an older one.
    #[must_use]
    pub fn emulation_version(mut self, version: impl Into<String>) -> Self {
        self.emulation_version = Some(version.into());
        self
    }

    /// Replaces the start of the process as the start of the component.
    #[must_use]
    pub fn start_time(mut self, start_time: SystemTime) -> Self {
        self.start_time = start_time;
        self
    }

    /// The flags of `/flagz`.
    #[must_use]
    pub fn flags(self, flags: Flags) -> Self {
        self.flags_from(move || flags.clone())
    }

    /// Flags that can change while the program runs. As in Kubernetes, JSON and YAML show them as they are at the
    /// request, the text as they were at the first request for it.
    #[must_use]
    pub fn flags_from(mut self, source: impl Fn() -> Flags + Send + Sync + 'static) -> Self {
        self.flags = Box::new(source);
        self
    }

    /// Adds a check behind those that are there. Names are unique on a page.
    #[must_use]
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// The metrics of the component. `/metrics` adds `process_start_time_seconds`, `process_cpu_seconds_total`,
    /// `process_resident_memory_bytes`, `process_virtual_memory_bytes`, `process_open_fds` and `process_max_fds`, so
    /// the registry has none of these names. Counters are registered without `_total`, which the encoder adds.
    #[must_use]
    pub fn metrics(mut self, registry: impl Into<Arc<Registry>>) -> Self {
        self.registry = Some(registry.into());
        self
    }

    /// Names an endpoint that the program serves itself on the same listener, for the index and for `/statusz`.
    #[must_use]
    pub fn listed(mut self, path: impl Into<String>, about: impl Into<String>) -> Self {
        self.listed.push(Endpoint { path: path.into(), about: about.into() });
        self
    }

    /// Leaves `/` to the program into which the router is merged.
    #[must_use]
    pub fn without_index(mut self) -> Self {
        self.has_index = false;
        self
    }

    /// The router. It has no state and no fallback, so it merges into any other; a listener of its own wants
    /// [`not_found`] as its fallback. Every answer forbids caching.
    pub fn router(self) -> Router {
        let Self { component, binary_version, emulation_version, start_time, flags, checks, registry, .. } = self;
        let mut mount = Mount { router: Router::new(), endpoints: self.listed };

        let flagz = Arc::new(Flagz::new(component.clone(), flags));
        mount.page("/flagz", "the flags of the program and their values", move |request| flagz.answer(request));

        let live: Vec<Check> = checks.iter().filter(|check| check.is_live()).cloned().collect();
        let ready: Vec<Check> = checks.iter().filter(|check| check.is_ready()).cloned().collect();
        mount.health("healthz", "whether the process is well (as /livez)", live.clone());
        mount.health("livez", "whether the process is well; ?verbose names the checks", live);
        mount.health("readyz", "whether the process should get traffic; ?verbose names the checks", ready);

        let metrics = Arc::new(Metrics { registry, started: clock::unix_seconds(start_time) });
        mount.page("/metrics", "metrics as Prometheus text or OpenMetrics", move |request| metrics.answer(request));

        // Last, because it lists what is mounted.
        let statusz = Arc::new(Statusz {
            component: component.clone(),
            start_time,
            runtime_version: RUNTIME_VERSION.to_owned(),
            binary_version,
            emulation_version,
            paths: index::listed_on_statusz(&mount.endpoints),
        });
        mount.page("/statusz", "what runs here, which version and since when", move |request| {
            statusz.answer(request, clock::now())
        });

        if self.has_index {
            let text = index::text(&component, &mount.endpoints);
            mount.router = mount.router.route("/", page(move |_| plain(StatusCode::OK, text.clone())));
        }
        mount.router.layer(map_response(async |response: Response| uncached(response)))
    }
}

impl fmt::Debug for ZPages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { component, binary_version, checks, .. } = self;
        formatter
            .debug_struct("ZPages")
            .field("component", component)
            .field("binary_version", binary_version)
            .field("checks", checks)
            .finish_non_exhaustive()
    }
}

/// The answer of Kubernetes to a path that it does not know, for use as a router's fallback.
///
/// # Cancel safety
/// Does not wait.
pub async fn not_found() -> Response {
    uncached(unknown_path())
}

/// What is mounted so far.
struct Mount {
    router: Router,
    endpoints: Vec<Endpoint>,
}

impl Mount {
    fn page(&mut self, path: &str, about: &str, answer: impl Fn(&Parts) -> Response + Clone + Send + Sync + 'static) {
        self.router = std::mem::take(&mut self.router).route(path, page(answer));
        self.endpoints.push(Endpoint { path: path.to_owned(), about: about.to_owned() });
    }

    fn health(&mut self, name: &'static str, about: &str, checks: Vec<Check>) {
        let all = Arc::new(Health { name, checks });
        let single = Arc::clone(&all);
        self.page(&format!("/{name}"), about, move |request| all.answer(request.uri.query().unwrap_or_default()));
        let answer = move |Path(check): Path<String>| ready(single.answer_single(&check).unwrap_or_else(unknown_path));
        // Names of checks may hold slashes.
        self.router = std::mem::take(&mut self.router).route(&format!("/{name}/{{*check}}"), any(answer));
    }
}

/// Any method, as in Kubernetes: who may use which is a matter of authorization.
fn page(answer: impl Fn(&Parts) -> Response + Clone + Send + Sync + 'static) -> MethodRouter {
    any(move |request: Request| ready(answer(&request.into_parts().0)))
}

fn unknown_path() -> Response {
    let mut response = plain(StatusCode::NOT_FOUND, "404 page not found\n");
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

#[cfg(test)]
mod tests;
