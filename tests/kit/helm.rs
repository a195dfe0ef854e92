//! The real helm, as one identity.

use std::path::Path;

use anyhow::{Context, Result};

use crate::kubeconfig::Identity;
use crate::tool::Tool;

/// Runs helm. Errors are [`crate::tool::Refused`].
#[derive(Clone, Debug)]
pub struct Helm {
    tool: Tool,
}

impl Helm {
    /// A helm that is `identity` to the API server and keeps its caches and settings in `home`.
    pub(crate) fn new(program: &Path, identity: &Identity, home: &Path) -> Self {
        let tool = Tool::new(program)
            .env("KUBECONFIG", identity.kubeconfig())
            .env("KUBECACHEDIR", home.join("kube-cache")) // else discovery lands in the home of whoever runs the tests
            .env("HELM_CACHE_HOME", home.join("cache"))
            .env("HELM_CONFIG_HOME", home.join("config"))
            .env("HELM_DATA_HOME", home.join("data"));
        Self { tool }
    }

    /// Runs it; returns stdout.
    ///
    /// # Errors
    /// When it exits with another code than 0.
    pub async fn run(&self, args: &[&str]) -> Result<String> {
        self.tool.run(args, "").await
    }

    /// `helm template RELEASE CHART --namespace NAMESPACE` with further arguments; returns the manifests.
    ///
    /// # Errors
    /// When the chart cannot be rendered.
    pub async fn template(&self, release: &str, chart: &Path, namespace: &str, args: &[&str]) -> Result<String> {
        let chart = chart.to_str().with_context(|| format!("{} is not UTF-8", chart.display()))?;
        self.run(&[&["template", release, chart, "--namespace", namespace], args].concat()).await
    }
}
