//! kubectl, as one identity.

use std::path::Path;

use anyhow::{Context, Result};

use crate::kubeconfig::Identity;
use crate::tool::Tool;

/// Runs kubectl. Errors are [`crate::tool::Refused`]: their text is what a person would read.
#[derive(Clone, Debug)]
pub struct Kubectl {
    tool: Tool,
}

impl Kubectl {
    /// A kubectl that is `identity` to the API server; discovery is cached in `cache`, not in the developer's home.
    pub(crate) fn new(program: &Path, identity: &Identity, cache: &Path) -> Self {
        let tool = Tool::new(program).env("KUBECONFIG", identity.kubeconfig()).env("KUBECACHEDIR", cache);
        Self { tool }
    }

    /// The same, in a namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self { tool: self.tool.clone().args(["--namespace", namespace]) }
    }

    /// Runs it; returns stdout.
    ///
    /// # Errors
    /// When it exits with another code than 0.
    pub async fn run(&self, args: &[&str]) -> Result<String> {
        self.tool.run(args, "").await
    }

    /// `kubectl apply --server-side -f -` with this YAML.
    ///
    /// # Errors
    /// With the API server's words when it refuses.
    pub async fn apply(&self, yaml: &str) -> Result<String> {
        self.tool.run(&["apply", "--server-side", "-f", "-"], yaml).await
    }

    /// `kubectl apply -f PATH`, as the README has it; a directory means all its files.
    ///
    /// # Errors
    /// With the API server's words when it refuses.
    pub async fn apply_path(&self, path: &Path) -> Result<String> {
        let path = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
        self.run(&["apply", "-f", path]).await
    }
}
