//! The custom resource definitions: printed, written, and looked for in the cluster before anything starts.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keyplane_api::{API_VERSION, crd_files};
use kube::Client;

/// How often a cluster without the definitions is looked at again.
const AGAIN: Duration = Duration::from_secs(2);

/// Why the definitions could not be printed or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They have no text form.
    #[error("a definition has no text form: {0}")]
    Text(String),
    /// The file or the terminal refused them.
    #[error(transparent)]
    Output(#[from] std::io::Error),
}

fn files() -> Result<Vec<(String, String)>, Error> {
    crd_files().map_err(|error| Error::Text(error.to_string()))
}

/// Prints all definitions as one YAML stream.
pub fn print() -> Result<(), Error> {
    let files = files()?;
    let texts: Vec<&str> = files.iter().flat_map(|(_, yaml)| ["---\n", yaml]).collect();
    match std::io::stdout().lock().write_all(texts.concat().as_bytes()) {
        // Whoever reads has read enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Writes one file a kind into `directory`, which is made if it is not there.
pub fn write(directory: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(directory)?;
    for (name, yaml) in files()? {
        std::fs::write(directory.join(name), yaml)?;
    }
    Ok(())
}

/// Whether the definitions are in the cluster, for the readiness check.
#[derive(Clone)]
pub struct Presence(Arc<Mutex<Result<(), String>>>);

impl Default for Presence {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Err("not looked for yet".to_owned()))))
    }
}

impl Presence {
    /// `Err` says what is missing and what to do.
    pub fn check(&self) -> Result<(), String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the API server serves every kind that the operator works with. Asks discovery, which every account may read.
    pub async fn wait(&self, client: &Client, wanted: &[&str]) {
        loop {
            let answer = match client.list_api_group_resources(API_VERSION).await {
                Ok(list) => missing(wanted, list.resources.iter().map(|resource| resource.name.as_str())),
                // An unknown group is answered in plain text, so the reason is not `NotFound`.
                Err(kube::Error::Api(status)) if status.code == 404 => missing(wanted, std::iter::empty()),
                Err(error) => Err(format!("failed to ask the API server for its resources: {error}")),
            };
            let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), answer.clone());
            match answer {
                Ok(()) => return,
                Err(message) if before != Err(message.clone()) => tracing::warn!("waiting: {message}"),
                Err(_) => {}
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

fn missing<'a>(wanted: &[&str], served: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let served: Vec<_> = served.collect();
    let missing: Vec<_> = wanted.iter().copied().filter(|plural| !served.contains(plural)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "the API server does not serve {} of {API_VERSION}; apply the definitions with `kubectl apply -f crds/` or the chart keyplane-crds",
        missing.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(missing(&["apikeys"], ["apikeys", "apikeys/status"].into_iter()), Ok(()));
        let message = missing(&["apikeys", "rootkeys"], std::iter::once("apikeys")).unwrap_err();
        assert!(message.contains("rootkeys") && !message.contains("apikeys,"), "{message}");
    }
}
