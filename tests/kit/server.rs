//! A running program of ours with an HTTP listener for work, one for operations, or both.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::binaries::Binaries;
use crate::directory::Directory;
use crate::kubeconfig::Identity;
use crate::process::{Launch, Process};
use crate::{ports, trial_log, wait};

/// Until /readyz answers 200. A debug build on a busy machine needs a few seconds.
const READY: Duration = Duration::from_secs(30);
/// A drain waits for requests under way; tests have short ones.
const DRAIN: Duration = Duration::from_secs(20);
const ATTEMPTS: usize = 3;
/// From a change to the verdict at a pod: milliseconds when quiet, a lease and a restart of the operator when not.
const VERDICT: Duration = Duration::from_secs(15);

/// Opens the operations of both programs in the clear.
const PLAIN_HTTP: [&str; 2] = ["KEYPLANE_OPS_PLAIN_HTTP", "KEYPLANE_OPERATOR_OPS_PLAIN_HTTP"];

/// A client that takes any certificate: who is at the other end is known by the port.
///
/// # Errors
/// When the certificate that it is to show cannot be used.
pub fn http_client(builder: reqwest::ClientBuilder) -> Result<reqwest::Client> {
    builder.no_proxy().danger_accept_invalid_certs(true).build().context("make an HTTP client")
}

/// What to start; each start takes free ports.
#[derive(Clone, Debug)]
pub struct Program {
    launch: Launch,
    has_listener: bool,
    listen: Option<(u16, u16)>,
    is_tls: bool,
    // Removed when the last copy and the last server are gone.
    directory: Arc<Directory>,
}

impl Program {
    /// `keyplane-api-server`, with its data in a directory of its own, without a kubeconfig: standalone unless told
    /// otherwise.
    ///
    /// # Errors
    /// When our programs do not compile.
    pub fn api_server() -> Result<Self> {
        Self::api_server_at(&Binaries::build()?.api_server)
    }

    /// The same of a certain build, such as a release build in a test.
    ///
    /// # Errors
    /// When its directory cannot be made.
    pub fn api_server_at(program: &Path) -> Result<Self> {
        Self::new("api-server", program, true)
    }

    /// `keyplane-operator`.
    ///
    /// # Errors
    /// When our programs do not compile.
    pub fn operator() -> Result<Self> {
        Self::new("operator", &Binaries::build()?.operator, false)
    }

    fn new(name: &str, program: &Path, has_listener: bool) -> Result<Self> {
        let directory = Directory::temporary("keyplane-program-")?;
        let launch = Launch::new(name, program, directory.path()).env("RUST_BACKTRACE", "1").env("NO_COLOR", "1");
        Ok(Self { launch, has_listener, listen: None, is_tls: false, directory: Arc::new(directory) })
    }

    /// Another name in errors and logs: tests with several of a kind want to tell them apart.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.launch.name);
        self
    }

    /// Adds `--FLAG VALUE`.
    #[must_use]
    pub fn flag(mut self, flag: &str, value: impl Into<OsString>) -> Self {
        self.launch = self.launch.arg(format!("--{flag}")).arg(value);
        self
    }

    /// Sets a variable of its environment; of ours it sees nothing but PATH and the like.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.launch = self.launch.env(name, value);
        self
    }

    /// Who it is to the API server.
    #[must_use]
    pub fn identity(self, identity: &Identity) -> Self {
        self.env("KUBECONFIG", identity.kubeconfig())
    }

    /// Operations over TLS, to those whom the program lets; any certificate of it will do. Otherwise they are plain HTTP and open, so that
    /// tests of other things need no token.
    #[must_use]
    pub fn over_tls(mut self) -> Self {
        self.is_tls = true;
        self
    }

    /// Certain ports instead of free ones: of work (unused by the operator) and of operations.
    #[must_use]
    pub fn on_ports(mut self, work: u16, operations: u16) -> Self {
        self.listen = Some((work, operations));
        self
    }

    /// Its files and log in a certain directory, which stays. The default is one that goes with the last server.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn in_directory(mut self, path: &Path) -> Result<Self> {
        self.directory = Arc::new(Directory::kept(path)?);
        path.clone_into(&mut self.launch.directory);
        Ok(self)
    }

    /// Its working directory: the default home of data files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Starts it and waits until `/readyz` on its operations listener answers 200.
    ///
    /// # Errors
    /// When it ends instead, or is not ready within 30 s; with the end of its log.
    pub async fn start(&self) -> Result<Server> {
        for _ in 1..ATTEMPTS {
            let server = self.start_unready()?;
            match server.wait_ready().await {
                Err(_) if self.listen.is_none() && ports::was_taken(&server.process.log_tail()) => {}
                result => return result.map(|()| server),
            }
        }
        let server = self.start_unready()?;
        server.wait_ready().await?;
        Ok(server)
    }

    /// Starts it and returns at once, for tests of what happens before it is ready, or of a start that fails.
    ///
    /// # Errors
    /// When it cannot be run at all.
    pub fn start_unready(&self) -> Result<Server> {
        let (work, operations) = match self.listen {
            Some(ports) => ports,
            None => (ports::free()?, ports::free()?),
        };
        let mut launch = self.launch.clone();
        if self.has_listener {
            launch = launch.arg("--listen").arg(format!("127.0.0.1:{work}"));
        }
        launch = launch.arg("--ops-listen").arg(format!("127.0.0.1:{operations}"));
        if !self.is_tls {
            // By the environment, which a build that does not know it ignores.
            launch = PLAIN_HTTP.iter().fold(launch, |launch, variable| launch.env(variable, "true"));
        }
        let process = launch.start()?;
        let http = http_client(reqwest::Client::builder())?;
        let is_tls = self.is_tls;
        Ok(Server { process, launch, http, work, operations, is_tls, _directory: Arc::clone(&self.directory) })
    }
}

/// A running program of ours. Dropped, it is killed.
#[derive(Debug)]
pub struct Server {
    process: Process,
    launch: Launch,
    http: reqwest::Client,
    work: u16,
    operations: u16,
    is_tls: bool,
    _directory: Arc<Directory>,
}

impl Server {
    /// `http://127.0.0.1:PORT` of the work listener, followed by `path`. The operator has none.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.work)
    }

    /// `http://127.0.0.1:PORT` of the operations listener, `https` for one over TLS, followed by `path`.
    pub fn ops_url(&self, path: &str) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}{path}", self.operations)
    }

    /// An HTTP client with kept-alive connections. It belongs to the runtime of the trial.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The process: its log, its end, signals.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Everything it has printed so far.
    ///
    /// # Errors
    /// When the log file cannot be read.
    pub fn log(&self) -> Result<String> {
        self.process.log()
    }

    /// The text of a page of the operations listener, such as `/metrics` or `/statusz`.
    ///
    /// # Errors
    /// When it does not answer 200.
    pub async fn ops_page(&self, path: &str) -> Result<String> {
        let answer = self.http.get(self.ops_url(path)).send().await.with_context(|| format!("GET {path}"))?;
        let status = answer.status();
        let text = answer.text().await.with_context(|| format!("read {path}"))?;
        if !status.is_success() {
            bail!("{path} of {} answers {status}: {text}", self.process.name());
        }
        Ok(text)
    }

    /// The value of one sample on `/metrics`, named with its labels as it is printed there; `None` when there is no
    /// such line.
    ///
    /// # Errors
    /// When `/metrics` does not answer.
    pub async fn metric(&self, sample: &str) -> Result<Option<f64>> {
        Ok(sample_value(&self.ops_page("/metrics").await?, sample))
    }

    /// POSTs JSON to the work listener; returns the status and the answer, which must be JSON too.
    ///
    /// # Errors
    /// When there is no answer, or one that is not JSON.
    pub async fn post(&self, path: &str, bearer: &str, body: &serde_json::Value) -> Result<(u16, serde_json::Value)> {
        let request = self.http.post(self.url(path)).bearer_auth(bearer).json(body);
        let answer = request.send().await.with_context(|| format!("POST {path} to {}", self.process.name()))?;
        let status = answer.status().as_u16();
        let text = answer.text().await.with_context(|| format!("read the answer of {path}"))?;
        let json =
            serde_json::from_str(&text).with_context(|| format!("{path} answers {status} with no JSON: {text}"))?;
        Ok((status, json))
    }

    /// `POST /v2/keys.verifyKey`: the `code` of the answer, such as `VALID` or `NOT_FOUND`.
    ///
    /// # Errors
    /// When the answer is not a verdict, for instance because the root key is not known (yet); the text holds the
    /// answer, never a key.
    pub async fn verify(&self, root_key: &str, key: &str) -> Result<String> {
        let (status, answer) = self.post("/v2/keys.verifyKey", root_key, &serde_json::json!({ "key": key })).await?;
        let code = answer["data"]["code"].as_str().filter(|_| status == 200);
        Ok(code.with_context(|| format!("{} answers {status}: {answer}", self.process.name()))?.to_owned())
    }

    /// Waits until a key has this `code`.
    ///
    /// # Errors
    /// When it has another one for 15 s, with the last one seen.
    pub async fn wait_for_code(&self, root_key: &str, key: &str, code: &str) -> Result<()> {
        let what = format!("{} answers {code}", self.process.name());
        wait::eventually(what, VERDICT, || async {
            let seen = self.verify(root_key, key).await?;
            ensure!(seen == code, "{seen}");
            Ok(())
        })
        .await
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Errors
    /// When it ends instead, or is not ready within 30 s; with the end of its log.
    pub async fn wait_ready(&self) -> Result<()> {
        let what = format!("{} is ready", self.process.name());
        let looked = wait::eventually(what, READY, || async {
            if self.process.exit_status().is_some() {
                return Ok(Some(false));
            }
            self.ops_page("/readyz").await.map(|_| Some(true))
        });
        let reason = match looked.await {
            Ok(true) => return Ok(()),
            Ok(false) => format!("{} ended during its start", self.process.name()),
            Err(error) => format!("{error:#}"),
        };
        bail!("{reason}; its log ends:\n{}", self.process.log_tail());
    }

    /// Asks it to end (SIGTERM) and waits; returns the exit code.
    ///
    /// # Errors
    /// When it does not end within 20 s.
    pub async fn terminate(&self) -> Result<i32> {
        self.process.terminate(DRAIN).await
    }

    /// Kills it at once.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Starts it again after its end: the same arguments, the same ports, the same data; the log goes on in the same
    /// file.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_again(&mut self) -> Result<()> {
        self.process.kill();
        self.process = self.launch.start()?;
        self.wait_ready().await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill();
        trial_log::keep(self.process.name(), || self.process.log_tail());
    }
}

/// The value of the line `SAMPLE VALUE` in Prometheus text.
fn sample_value(metrics: &str, sample: &str) -> Option<f64> {
    metrics.lines().find_map(|line| {
        let value = line.strip_prefix(sample)?.strip_prefix(' ')?;
        value.split_whitespace().next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_found_by_its_full_name() {
        let metrics = "# TYPE up gauge\nup_total 3\nup 1\nkeys{shard=\"1\"} 7 1700000000\n";
        assert_eq!(sample_value(metrics, "up"), Some(1.0));
        assert_eq!(sample_value(metrics, "keys{shard=\"1\"}"), Some(7.0));
        assert_eq!(sample_value(metrics, "keys"), None);
    }

    fn script(text: &str) -> Program {
        let program = Program::new("fake", Path::new("/bin/sh"), false).unwrap();
        Program { launch: program.launch.clone().args(["-c", text]), ..program }
    }

    #[tokio::test]
    async fn a_program_that_ends_at_once_fails_with_its_log() {
        let error = script("echo no such flag; exit 2").start().await.unwrap_err();
        assert!(format!("{error:#}").contains("no such flag"), "{error:#}");
    }

    #[tokio::test]
    async fn a_taken_port_is_tried_again_with_others() {
        let program = script("echo \"$1\" >> ports; echo Address already in use; exit 1");
        program.start().await.unwrap_err();
        let tried = std::fs::read_to_string(program.directory().join("ports")).unwrap();
        let distinct: std::collections::HashSet<&str> = tried.lines().collect();
        assert_eq!(distinct.len(), ATTEMPTS, "{tried}");
    }
}
