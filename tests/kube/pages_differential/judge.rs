//! Who knows the right answer: a component of Kubernetes itself, and the paths on which it can be asked.

use std::sync::Arc;

use anyhow::Result;
use keyplane_tests::Cluster;
use kube::Client;

/// A real component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judge {
    /// The API server: it has all health pages, and filters in front that only an API server has.
    ApiServer,
    /// The controllers: the same pages with less in front, as ours; of the health pages only `/healthz`.
    ControllerManager,
}

impl Judge {
    /// A client that asks it, with all rights.
    pub(super) async fn client(self, cluster: &Arc<Cluster>) -> Result<Client> {
        match self {
            Self::ApiServer => cluster.client().await,
            Self::ControllerManager => cluster.control_plane().controller_manager_client().await,
        }
    }

    /// Health pages that it has.
    pub(super) fn health_roots(self) -> &'static [&'static str] {
        match self {
            Self::ApiServer => &["healthz", "livez", "readyz"],
            Self::ControllerManager => &["healthz"],
        }
    }

    /// Other paths, known and unknown. Not `/`, which is an index of ours and the list of all paths, as JSON, of an API server, and not
    /// what only one side serves at all.
    pub(super) fn other_paths(self) -> &'static [&'static str] {
        match self {
            Self::ApiServer => &[
                "/metrics",
                "/metrics/",
                "/metrics/slis",
                "/metrics/slis/",
                "/version",
                "/version/",
                "/version/x",
                "/debug/flags",
                "/debug/flags/",
                "/debug/pprof",
                "/debug/nothing",
                "/nothing",
                "/nothing/",
                "/no/thing",
                "/no%2Fthing",
                "/favicon.ico",
                "/healthzz",
            ],
            Self::ControllerManager => &[
                "/metrics",
                "/metrics/slis",
                "/configz",
                "/configz/",
                "/debug/flags",
                "/debug/flags/",
                "/debug/pprof",
                "/nothing",
                "/nothing/",
                "/healthzz",
            ],
        }
    }
}
