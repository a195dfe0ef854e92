//! The builder: what a component says about itself, and the router that serves it.

use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::Path;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{MethodRouter, any};
use prometheus_client::registry::Registry;

use crate::configz::ConfigName;
use crate::endpoint::Endpoint;
use crate::flags::Flags;
use crate::flagz::Flagz;
use crate::health::{Check, Health};
use crate::index::{self, Index};
use crate::log_levels::LogLevels;
use crate::metrics::{self, Metrics};
use crate::mount::{self, Mount};
use crate::own::{self, NotFound, Page};
use crate::statusz::Statusz;
use crate::version::Build;
use crate::{clock, configz, debug, page, process, slis, version};

/// The compiler that built this crate, and with it the program.
const RUNTIME_VERSION: &str = env!("ZPAGES_RUSTC_VERSION");

/// The z-pages of one component. See the [crate] for an example.
pub struct ZPages {
    component: String,
    binary_version: String,
    emulation_version: Option<String>,
    start_time: SystemTime,
    build: Build,
    flags: Arc<dyn Fn() -> Flags + Send + Sync>,
    config: Option<ConfigName>,
    checks: Vec<Check>,
    registry: Option<Arc<Registry>>,
    log_levels: Option<LogLevels>,
    own: Vec<(Endpoint, MethodRouter)>,
    listed: Vec<Endpoint>,
    group: Option<&'static str>,
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
            build: Build::default(),
            flags: Arc::new(Flags::new),
            config: None,
            checks: vec![Check::ping()],
            registry: None,
            log_levels: None,
            own: Vec::new(),
            listed: Vec::new(),
            group: None,
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
        self.flags = Arc::new(source);
        self
    }

    /// Where the program was built from, for `/version`.
    #[must_use]
    pub fn build(mut self, build: Build) -> Self {
        self.build = build;
        self
    }

    /// Serves the flags at `/configz` too, as the configuration `name` (usually the component) of this kind:
    /// `("a-server", "config.example.dev/v1alpha1", "ServerConfiguration")`. Secrets are hidden as on `/flagz`.
    #[must_use]
    pub fn configz(mut self, name: impl Into<String>, api_version: impl Into<String>, kind: impl Into<String>) -> Self {
        self.config = Some(ConfigName { name: name.into(), api_version: api_version.into(), kind: kind.into() });
        self
    }

    /// Serves what changes or slows the process, below `/debug`: the log level at `/debug/flags/v`, CPU profiles at
    /// `/debug/pprof/profile`. Components of Kubernetes do so unless they run with `--profiling=false`.
    #[must_use]
    pub fn debugging(mut self, log_levels: LogLevels) -> Self {
        self.log_levels = Some(log_levels);
        self
    }

    /// The API group of the program's own pages. With it the index at `/` has a structure as well, of kind `Index` and
    /// version `v1alpha1`.
    #[must_use]
    pub fn group(mut self, group: &'static str) -> Self {
        self.group = Some(group);
        self
    }

    /// Adds a page of the program's own. `read` is called for each request, for one at a time, on a thread where it may
    /// take a while; it must not wait for the network.
    #[must_use]
    pub fn page<P: Page>(
        mut self,
        path: impl Into<String>,
        about: impl Into<String>,
        read: impl Fn() -> P + Send + Sync + 'static,
    ) -> Self {
        self.own.push((Endpoint::new(path, about), own::route(self.component.clone(), read)));
        self
    }

    /// Adds a page about one thing, which the last part of the path names: `path` ends in `/{parameter}`. A thing that is
    /// not there is answered with 404, in the form that was asked for.
    #[must_use]
    pub fn page_about<P: Page>(
        mut self,
        path: impl Into<String>,
        about: impl Into<String>,
        read: impl Fn(&str) -> Result<P, NotFound> + Send + Sync + 'static,
    ) -> Self {
        self.own.push((Endpoint::new(path, about), own::route_about(self.component.clone(), read)));
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
        self.listed.push(Endpoint::new(path, about));
        self
    }

    /// Leaves `/` to the program into which the router is merged.
    #[must_use]
    pub fn without_index(mut self) -> Self {
        self.has_index = false;
        self
    }

    /// The router. It has no state and no fallback, so it merges into any other; a listener of its own wants
    /// [`crate::not_found`] as its fallback. Every answer forbids caching.
    pub fn router(self) -> Router {
        let Self { component, binary_version, emulation_version, start_time, flags, checks, registry, .. } = self;
        let mut mount = Mount::new(self.listed);
        let started = clock::unix_seconds(start_time);

        let source = Arc::clone(&flags);
        let flagz = Arc::new(Flagz::new(component.clone(), Box::new(move || source())));
        let endpoint = Endpoint::new("/flagz", "the flags of the program and their values");
        mount.page(endpoint, move |request| flagz.answer(request));

        if let Some(name) = self.config {
            let endpoint = Endpoint::new("/configz", "the configuration in force, as JSON");
            mount.page(endpoint, move |_| page::without_sniffing(page::json(configz::body(&name, flags()))));
        }

        let (live, ready): (Vec<_>, Vec<_>) = (
            checks.iter().filter(|check| check.is_live()).cloned().collect(),
            checks.iter().filter(|check| check.is_ready()).cloned().collect(),
        );
        let pages = Arc::new([
            health(&mut mount, "healthz", "whether the process is well (as /livez)", live.clone()),
            health(&mut mount, "livez", "whether the process is well; ?verbose names the checks", live),
            health(&mut mount, "readyz", "whether the process should get traffic; ?verbose names the checks", ready),
        ]);

        let metrics = Arc::new(Metrics { registry, started });
        let endpoint = Endpoint::new("/metrics", "metrics as Prometheus text or OpenMetrics");
        mount.page(endpoint, move |request| metrics.answer(request));
        let endpoint = Endpoint::new("/metrics/slis", "what the health checks came to, in the same formats");
        mount.page(endpoint, move |request| {
            let slis = pages.iter().flat_map(|page| page.slis());
            metrics::exposed(request, started, || Ok(slis::exposition(slis) + &process::start_exposition(started)))
        });

        let version = version::body(&binary_version, RUNTIME_VERSION, &self.build).unwrap_or_default();
        let version = mount::page(move |_| page::json(version.clone()));
        mount.unlisted("/version/", version.clone());
        mount.route(Endpoint::new("/version", "what was built, from what, with what"), version);

        for (endpoint, route) in self.own {
            mount.route(endpoint, route);
        }
        if let Some(levels) = self.log_levels {
            debug::mount(&mut mount, levels);
        }

        // Last, because it lists what is mounted.
        let statusz = Arc::new(Statusz {
            component: component.clone(),
            start_time,
            runtime_version: RUNTIME_VERSION.to_owned(),
            binary_version,
            emulation_version,
            paths: index::listed_on_statusz(&mount.endpoints),
        });
        let endpoint = Endpoint::new("/statusz", "what runs here, which version and since when");
        mount.page(endpoint, move |request| statusz.answer(request, clock::now()));

        if self.has_index {
            let index = Arc::new(Index::new(component, self.group, mount.endpoints.clone()));
            mount.unlisted("/", mount::page(move |request| index.answer(request)));
        }
        mount.router.layer(map_response(async |response: Response| mount::uncached(response)))
    }
}

/// Mounts a page of health checks and the pages of its single checks.
fn health(mount: &mut Mount, name: &'static str, about: &str, checks: Vec<Check>) -> Arc<Health> {
    let health = Arc::new(Health::new(name, checks));
    let (all, single) = (Arc::clone(&health), Arc::clone(&health));
    let endpoint = Endpoint::new(format!("/{name}"), about);
    mount.page(endpoint, move |request| all.answer(request.uri.query().unwrap_or_default()));
    let answer =
        move |Path(check): Path<String>| ready(single.answer_single(&check).unwrap_or_else(mount::unknown_path));
    // Names of checks may hold slashes.
    mount.unlisted(&format!("/{name}/{{*check}}"), any(answer));
    health
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

#[cfg(test)]
mod tests;
