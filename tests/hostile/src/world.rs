//! A server in this process: the real registry, feed, index and engine, and the routes without a socket.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use keyplane_api_server::counters::Local;
use keyplane_api_server::credits::Balances;
use keyplane_api_server::engine::Engine;
use keyplane_api_server::feed::Feed;
use keyplane_api_server::http::serve::Answers;
use keyplane_api_server::http::{Api, Connection, Service};
use keyplane_api_server::index::Index;
use keyplane_api_server::metrics::Metrics;
use keyplane_api_server::readiness::Readiness;
use keyplane_api_server::registry::manifests::Manifests;
use keyplane_core::hash::KeyHash;
use tokio::runtime::Runtime;

/// The caller.
pub const ROOT: &str = "the-root-key-of-team-a";
/// A key with limits, an identity and permissions; the corpus names it.
pub const KEY: &str = "the-key-of-a-customer";
/// A key with nothing.
pub const BARE_KEY: &str = "the-key-of-nobody";
/// The workspace of all.
pub const NAMESPACE: &str = "team-a";

/// See the module.
pub struct World {
    /// What the server decides with.
    pub engine: Arc<Engine>,
    /// What it counts with.
    pub counters: Arc<Local>,
    service: Service,
    runtime: Runtime,
}

impl World {
    /// With these counters, on one thread.
    pub fn start(counters: Local) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let counters = Arc::new(counters);
        let (engine, service) = runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join("all.yaml"), manifests()).unwrap();
            let registry = Arc::new(Manifests::open(directory.path(), NAMESPACE).unwrap());
            let (index, metrics, readiness) =
                (Arc::new(Index::default()), Arc::new(Metrics::default()), Readiness::default());
            let feed = Feed {
                index: index.clone(),
                readiness: readiness.clone(),
                metrics: metrics.clone(),
                balances: Arc::new(Balances::in_memory()),
                progress: Arc::default(),
            };
            tokio::spawn(feed.run(registry, Vec::new()));
            readiness.wait_for_index().await;
            let engine = Arc::new(Engine::new(index, counters.clone()));
            let api = Api { engine: engine.clone(), metrics, readiness, v1_namespace: Some(NAMESPACE.into()) };
            (engine, Service::new(api))
        });
        Self { engine, counters, service, runtime }
    }

    /// The whole answer to a request.
    pub fn send(&self, request: Request<Body>) -> (StatusCode, Bytes) {
        self.runtime.block_on(async {
            let answer = self.service.answer(request, &Arc::new(Connection::from_peer(None))).await;
            let status = answer.status();
            (status, answer.into_body().collect().await.unwrap().to_bytes())
        })
    }
}

fn manifests() -> String {
    let hash = |plain: &str| KeyHash::of(plain).to_hex();
    format!(
        "apiVersion: keyplane.dev/v1alpha1\nkind: RootKey\nmetadata: {{name: root}}\n\
         spec: {{permissions: [api.*.verify_key, ratelimit.*.limit], key: {{hash: {{sha256: {}}}}}}}\n---\n\
         apiVersion: keyplane.dev/v1alpha1\nkind: ApiKey\nmetadata: {{name: customer}}\n\
         spec: {{key: {{hash: {{sha256: {}}}}}, externalId: acme, meta: {{tier: gold}}, permissions: [a.read], \
         rateLimits: [{{name: requests, limit: 1000, window: 1h, autoApply: true}}, {{name: exports, limit: 5, window: 1h}}]}}\n---\n\
         apiVersion: keyplane.dev/v1alpha1\nkind: ApiKey\nmetadata: {{name: bare}}\nspec: {{key: {{hash: {{sha256: {}}}}}}}\n",
        hash(ROOT),
        hash(KEY),
        hash(BARE_KEY)
    )
}
