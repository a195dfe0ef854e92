//! etcd, kube-apiserver and kube-controller-manager as processes on loopback: a real Kubernetes API without nodes, in
//! about 4 seconds.
//!
//! Its state is thrown away, so every stop is SIGKILL (SIGTERM costs the API server a second).

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};

use crate::assets::Assets;
use crate::kubeconfig::{Credentials, Endpoint, Identity};
use crate::pki::{Authority, Certified, TokenKeys};
use crate::process::{Launch, Process};
use crate::{ports, wait};

/// Generous: 3 s on a quiet machine, tens of seconds while a release build takes all cores.
const START: Duration = Duration::from_secs(60);
/// Ports can be taken between our look and the bind; three in a row would be no accident.
const ATTEMPTS: usize = 3;

/// A running control plane. Dropped, it is stopped.
#[derive(Debug)]
pub struct ControlPlane {
    directory: PathBuf,
    authority: Authority,
    endpoint: Endpoint,
    admin: Identity,
    assets: Assets,
    files: Files,
    apiserver_launch: Launch,
    // Dropped in this order: who reads before what is read.
    controller_manager: Mutex<Option<(Process, u16)>>,
    apiserver: Mutex<Process>,
    etcd: Process,
}

/// The files that the three programs read.
#[derive(Debug)]
struct Files {
    authority: PathBuf,
    server: (PathBuf, PathBuf),
    tokens: (PathBuf, PathBuf),
}

impl ControlPlane {
    /// Starts etcd and the API server, with files and logs in `directory`, and returns when the API server is ready.
    /// `port` is the API server's, if it is to be a certain one.
    ///
    /// # Errors
    /// When a part does not start, with the end of its log.
    pub async fn start(assets: &Assets, directory: &Path, port: Option<u16>) -> Result<Self> {
        for attempt in 1..=ATTEMPTS {
            let directory = directory.join(format!("control-plane-{attempt}"));
            match Self::attempt(assets, &directory, port).await {
                Err(error) if attempt < ATTEMPTS && ports::was_taken(&format!("{error:#}")) => {}
                result => return result.context("start a Kubernetes control plane"),
            }
        }
        bail!("start a Kubernetes control plane: free ports were taken {ATTEMPTS} times in a row")
    }

    async fn attempt(assets: &Assets, directory: &Path, port: Option<u16>) -> Result<Self> {
        if directory.exists() {
            fs::remove_dir_all(directory).with_context(|| format!("empty {}", directory.display()))?;
        }
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
        let authority = Authority::new()?;
        let files = Files::write(directory, &authority)?;
        let port = if let Some(port) = port { port } else { ports::free()? };
        let endpoint =
            Endpoint { url: format!("https://127.0.0.1:{port}"), authority: authority.certificate().to_owned() };
        let admin = certified(directory, &endpoint, "admin", &authority.client("admin", Some("system:masters"))?)?;

        let client_port = ports::free()?;
        let etcd = etcd(assets, directory, client_port, ports::free()?).start()?;
        let apiserver_launch = apiserver(assets, directory, &files, client_port, port);
        let apiserver = apiserver_launch.start()?;
        let client = admin.client().await?;
        ready(&client, &[&etcd, &apiserver]).await?;

        let directory = directory.to_owned();
        let (assets, apiserver) = (assets.clone(), Mutex::new(apiserver));
        let controller_manager = Mutex::new(None);
        Ok(Self {
            directory,
            authority,
            endpoint,
            admin,
            assets,
            files,
            apiserver_launch,
            controller_manager,
            apiserver,
            etcd,
        })
    }

    /// Starts the controllers and returns when they work (the default ServiceAccount is there).
    ///
    /// After the CRDs: the garbage collector looks for new kinds only every 30 s, and until then does not see that an
    /// owner of a new kind is gone. After the API server too: controllers that find none look again a second later.
    ///
    /// # Errors
    /// When they do not start, with the end of the log.
    pub async fn start_controllers(&self) -> Result<()> {
        let user = "system:kube-controller-manager";
        let certificate = self.authority.client(user, Some(user))?;
        let identity = certified(&self.directory, &self.endpoint, "controller-manager", &certificate)?;
        let client = self.admin.client().await?;
        for attempt in 1..=ATTEMPTS {
            let port = ports::free()?;
            let launch = controller_manager(&self.assets, &self.directory, &self.files, &identity, port);
            let process = launch.start()?;
            match working(&client, &process).await {
                Err(_) if attempt < ATTEMPTS && ports::was_taken(&process.log_tail()) => {}
                result => {
                    *lock(&self.controller_manager) = Some((process, port));
                    return result;
                }
            }
        }
        bail!("start kube-controller-manager: free ports were taken {ATTEMPTS} times in a row")
    }

    /// Where the API server is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A cluster administrator.
    pub fn admin(&self) -> &Identity {
        &self.admin
    }

    /// The files and logs.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A person, in a group or in none, by client certificate. Has no rights beyond what RBAC gives to the name or the
    /// group.
    ///
    /// # Errors
    /// When the kubeconfig cannot be written.
    pub fn user(&self, name: &str, group: Option<&str>) -> Result<Identity> {
        certified(&self.directory, &self.endpoint, &format!("user-{name}"), &self.authority.client(name, group)?)
    }

    /// A client of kube-controller-manager's own pages (statusz, flagz, healthz, metrics), with all rights.
    ///
    /// # Errors
    /// When the controllers were not started, or the kubeconfig cannot be written.
    pub async fn controller_manager_client(&self) -> Result<Client> {
        let port = lock(&self.controller_manager).as_ref().map(|(_, port)| *port);
        let port = port.context("the controllers were not started")?;
        let endpoint = Endpoint { url: format!("https://127.0.0.1:{port}"), ..self.endpoint.clone() };
        let certificate = self.authority.client("admin", Some("system:masters"))?;
        certified(&self.directory, &endpoint, "at-controller-manager", &certificate)?.client().await
    }

    /// Kills the API server: connections break, new ones are refused. etcd keeps its state. For a control plane of the
    /// trial's own.
    pub fn stop_api(&self) {
        lock(&self.apiserver).kill();
    }

    /// Starts the API server again at the same address, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_api(&self) -> Result<()> {
        self.stop_api();
        let started = self.apiserver_launch.start()?;
        drop(std::mem::replace(&mut *lock(&self.apiserver), started));
        let client = self.admin.client().await?;
        wait::eventually("the API server is ready again", START, || is_ready(&client)).await
    }

    /// Freezes the API server: connections stay open, nothing is answered. For a control plane of the trial's own.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pause_api(&self) -> Result<()> {
        lock(&self.apiserver).pause()
    }

    /// Lets a frozen API server go on.
    ///
    /// # Errors
    /// When it has ended.
    pub fn resume_api(&self) -> Result<()> {
        lock(&self.apiserver).resume()
    }

    /// Stops everything at once.
    pub fn stop(&self) {
        drop(lock(&self.controller_manager).take());
        self.stop_api();
        self.etcd.kill();
    }
}

fn lock<T>(slot: &Mutex<T>) -> MutexGuard<'_, T> {
    slot.lock().expect("no thread panics while it holds a process")
}

impl Files {
    fn write(directory: &Path, authority: &Authority) -> Result<Self> {
        let write = |name: &str, text: &str| -> Result<PathBuf> {
            let file = directory.join(name);
            fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
            Ok(file)
        };
        let (server, tokens) = (authority.server()?, TokenKeys::new()?);
        Ok(Self {
            authority: write("ca.crt", authority.certificate())?,
            server: (write("server.crt", &server.certificate)?, write("server.key", &server.key)?),
            tokens: (write("tokens.key", &tokens.private)?, write("tokens.pub", &tokens.public)?),
        })
    }
}

fn certified(directory: &Path, endpoint: &Endpoint, name: &str, certificate: &Certified) -> Result<Identity> {
    let file = directory.join(format!("{name}.kubeconfig"));
    Identity::write(file, endpoint, Credentials::Certificate(certificate), "default")
}

/// `--name=value`; a path need not be UTF-8.
fn flag(name: &str, value: impl Into<OsString>) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    flag.push(value.into());
    flag
}

fn etcd(assets: &Assets, directory: &Path, client_port: u16, peer_port: u16) -> Launch {
    let (client, peer) = (format!("http://127.0.0.1:{client_port}"), format!("http://127.0.0.1:{peer_port}"));
    Launch::new("etcd", &assets.etcd, directory).args([
        flag("name", "only"),
        flag("data-dir", directory.join("etcd")),
        flag("unsafe-no-fsync", "true"), // a lost machine loses nothing that anybody wants back
        flag("listen-client-urls", &client),
        flag("advertise-client-urls", &client),
        flag("listen-peer-urls", &peer),
        flag("initial-advertise-peer-urls", &peer),
        flag("initial-cluster", format!("only={peer}")),
        flag("log-level", "warn"),
    ])
}

fn apiserver(assets: &Assets, directory: &Path, files: &Files, etcd_port: u16, port: u16) -> Launch {
    Launch::new("kube-apiserver", &assets.kube_apiserver, directory).args([
        flag("etcd-servers", format!("http://127.0.0.1:{etcd_port}")),
        flag("bind-address", "127.0.0.1"),
        flag("advertise-address", "127.0.0.1"),
        flag("endpoint-reconciler-type", "none"), // it refuses to publish a loopback address as an endpoint
        flag("secure-port", port.to_string()),
        flag("tls-cert-file", &files.server.0),
        flag("tls-private-key-file", &files.server.1),
        flag("client-ca-file", &files.authority),
        // Published in kube-system for servers that delegate authentication.
        flag("requestheader-client-ca-file", &files.authority),
        flag("requestheader-allowed-names", "front-proxy-client"),
        flag("requestheader-username-headers", "X-Remote-User"),
        flag("requestheader-group-headers", "X-Remote-Group"),
        flag("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        flag("authorization-mode", "RBAC"),
        flag("service-cluster-ip-range", "10.96.0.0/16"),
        flag("service-account-issuer", "https://kubernetes.default.svc"),
        flag("service-account-signing-key-file", &files.tokens.0),
        flag("service-account-key-file", &files.tokens.1),
        flag("profiling", "true"),
    ])
}

fn controller_manager(assets: &Assets, directory: &Path, files: &Files, identity: &Identity, port: u16) -> Launch {
    let kubeconfig = identity.kubeconfig();
    Launch::new("kube-controller-manager", &assets.kube_controller_manager, directory).args([
        flag("kubeconfig", kubeconfig),
        flag("authentication-kubeconfig", kubeconfig),
        flag("authorization-kubeconfig", kubeconfig),
        flag("bind-address", "127.0.0.1"),
        flag("secure-port", port.to_string()),
        flag("tls-cert-file", &files.server.0),
        flag("tls-private-key-file", &files.server.1),
        flag("leader-elect", "false"),
        flag("use-service-account-credentials", "true"),
        // The default rate of 20 requests a second makes its own start 4 s longer.
        flag("kube-api-qps", "500"),
        flag("kube-api-burst", "1000"),
        flag("service-account-private-key-file", &files.tokens.0),
        flag("root-ca-file", &files.authority),
        flag("profiling", "true"),
    ])
}

async fn is_ready(client: &Client) -> Result<bool> {
    let request = http::Request::get("/readyz").body(Vec::new()).context("a request for /readyz")?;
    Ok(client.request_text(request).await.context("GET /readyz")? == "ok")
}

/// Waits until the API server is ready; at once an error when a process that it needs has ended.
async fn ready(client: &Client, processes: &[&Process]) -> Result<()> {
    let looked = wait::eventually("the API server is ready", START, || async {
        let dead = processes.iter().find(|process| process.exit_status().is_some());
        match dead {
            Some(process) => Ok(Some(process.name().to_owned())),
            None => is_ready(client).await.map(|ready| ready.then(String::new)),
        }
    });
    let tails = || {
        let tails = processes.iter().map(|process| format!("{}:\n{}", process.name(), process.log_tail()));
        tails.collect::<Vec<_>>().join("\n")
    };
    match looked.await {
        Ok(dead) if dead.is_empty() => Ok(()),
        Ok(dead) => bail!("{dead} ended during its start; logs end:\n{}", tails()),
        Err(error) => Err(error.context(tails())),
    }
}

async fn working(client: &Client, controller_manager: &Process) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let looked = wait::eventually("the default ServiceAccount is there", START, || async {
        if controller_manager.exit_status().is_some() {
            return Ok(Some(false));
        }
        accounts.get_opt("default").await.map(|account| account.map(|_| true))
    });
    match looked.await {
        Ok(true) => Ok(()),
        Ok(false) => {
            bail!("kube-controller-manager ended during its start; its log ends:\n{}", controller_manager.log_tail())
        }
        Err(error) => Err(error.context(controller_manager.log_tail())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Programs of a control plane that never comes up: `etcd` stays, the API server does as told.
    fn broken(directory: &Path, apiserver: &str) -> Assets {
        let script = |name: &str, text: &str| {
            let file = directory.join(name);
            fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
            file
        };
        let etcd = script("etcd", "exec sleep 600");
        let kube_apiserver = script("kube-apiserver", apiserver);
        let none = PathBuf::new;
        Assets { etcd, kube_apiserver, kube_controller_manager: none(), kubectl: none(), helm: none() }
    }

    #[tokio::test]
    async fn a_failed_start_shows_which_part_failed_and_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let assets = broken(directory.path(), "echo unknown flag: --nonsense; exit 1");
        let error = format!("{:#}", ControlPlane::start(&assets, directory.path(), None).await.unwrap_err());
        assert!(error.contains("kube-apiserver ended during its start") && error.contains("--nonsense"), "{error}");
        assert!(!directory.path().join("control-plane-2").exists(), "no second try");
    }

    #[tokio::test]
    async fn a_taken_port_is_tried_again_with_others() {
        let directory = tempfile::tempdir().unwrap();
        let assets = broken(directory.path(), "echo $* >> ../tries; echo bind: address already in use; exit 1");
        ControlPlane::start(&assets, directory.path(), None).await.unwrap_err();
        let tries = fs::read_to_string(directory.path().join("tries")).unwrap();
        let port = |line: &str| line.split_once("--secure-port=").map(|(_, rest)| rest[..5].to_owned());
        let ports: std::collections::HashSet<_> = tries.lines().map(port).collect();
        assert_eq!((tries.lines().count(), ports.len()), (ATTEMPTS, ATTEMPTS), "{tries}");
    }
}
