//! What tests use: a control plane with our CRDs and our chart, and a namespace for each test.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Namespace as NamespaceObject, Secret};
use kube::api::{ObjectMeta, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};

use crate::assets::Assets;
use crate::control_plane::ControlPlane;
use crate::directory::Directory;
use crate::helm::Helm;
use crate::kubeconfig::Identity;
use crate::kubectl::Kubectl;
use crate::server::Program;
use crate::{identity, wait, workspace};

/// Where the chart installs the operator, and where its leases are.
pub const SYSTEM_NAMESPACE: &str = "keyplane-system";
/// The ServiceAccount that the chart makes for the operator.
pub const OPERATOR_ACCOUNT: &str = "keyplane-operator";
/// Tests that kill a leader wait for its lease to end; the default of 15 s would be most of the test.
const LEASE: &str = "3s";
/// What the operator makes appears in milliseconds, after a change of the leader in seconds.
const APPEARS: Duration = Duration::from_secs(15);

/// What of ours is installed after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Install {
    /// Nothing: for tests of installing. Garbage collection sees kinds that are installed later only after up to 30 s.
    Nothing,
    /// `crds/` and the rendered chart.
    CrdsAndChart,
}

/// A control plane with Keyplane installed but nothing of it running. Dropped, it is stopped.
#[derive(Debug)]
pub struct Cluster {
    control_plane: ControlPlane,
    assets: Assets,
    namespaces: AtomicU32,
    // Dropped last: the processes of the control plane write into it.
    directory: Directory,
}

impl Cluster {
    /// Starts one in a directory that is removed with it. Trials share one; a trial that breaks the API server starts
    /// its own.
    ///
    /// # Errors
    /// When the control plane does not start or refuses what is to be installed.
    pub async fn start(install: Install) -> Result<Arc<Self>> {
        Ok(Arc::new(Self::start_in(Directory::temporary("keyplane-cluster-")?, None, install).await?))
    }

    /// Starts one in a directory that stays, for a developer; its API server on `port` if given.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn start_at(directory: &Path, port: Option<u16>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self::start_in(Directory::kept(directory)?, port, Install::CrdsAndChart).await?))
    }

    async fn start_in(directory: Directory, port: Option<u16>, install: Install) -> Result<Self> {
        let assets = Assets::find()?;
        let control_plane = ControlPlane::start(&assets, directory.path(), port).await?;
        let cluster = Self { control_plane, assets, namespaces: AtomicU32::new(0), directory };
        match install {
            Install::Nothing => cluster.control_plane.start_controllers().await?,
            Install::CrdsAndChart => {
                cluster.install_crds().await?;
                cluster.control_plane.start_controllers().await?;
                cluster.install_chart().await?;
            }
        }
        Ok(cluster)
    }

    async fn install_crds(&self) -> Result<()> {
        self.kubectl().apply_path(&workspace::root().join("crds")).await.context("apply crds/")?;
        self.kubectl().run(&["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"]).await?;
        Ok(())
    }

    async fn install_chart(&self) -> Result<()> {
        self.create_namespace(SYSTEM_NAMESPACE).await?;
        let chart = workspace::root().join("charts/keyplane");
        let manifests = self.helm().template("keyplane", &chart, SYSTEM_NAMESPACE, &[]).await?;
        // Every object names its namespace, and one lies in another.
        self.kubectl().apply(&manifests).await.context("apply the rendered charts/keyplane")?;
        Ok(())
    }

    /// The control plane: stops, outages, users.
    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// A new client with all rights. It belongs to the runtime that makes it, so make one in each trial.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read.
    pub async fn client(&self) -> Result<Client> {
        self.control_plane.admin().client().await
    }

    /// kubectl with all rights.
    pub fn kubectl(&self) -> Kubectl {
        self.kubectl_as(self.control_plane.admin())
    }

    /// kubectl with the rights of someone.
    pub fn kubectl_as(&self, identity: &Identity) -> Kubectl {
        Kubectl::new(&self.assets.kubectl, identity, &self.directory.path().join("kubectl-cache"))
    }

    /// helm with all rights.
    pub fn helm(&self) -> Helm {
        Helm::new(&self.assets.helm, self.control_plane.admin(), &self.directory.path().join("helm-home"))
    }

    /// Where the programs of the control plane are: kubectl for a person's PATH.
    pub fn assets(&self) -> &Assets {
        &self.assets
    }

    /// A ServiceAccount as the identity of a program; waits up to 20 s for it to appear.
    ///
    /// # Errors
    /// When it does not appear or gets no token.
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<Identity> {
        let client = self.client().await?;
        identity::of_service_account(client, self.control_plane.endpoint(), self.directory.path(), namespace, name)
            .await
    }

    /// A new namespace, named `PURPOSE-NUMBER`. It is not removed: the whole control plane is.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn namespace(self: &Arc<Self>, purpose: &str) -> Result<Namespace> {
        let name = format!("{purpose}-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        self.create_namespace(&name).await?;
        Ok(Namespace { cluster: Arc::clone(self), client: self.client().await?, name })
    }

    async fn create_namespace(&self, name: &str) -> Result<()> {
        let namespaces: Api<NamespaceObject> = Api::all(self.client().await?);
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let object = NamespaceObject { metadata, ..NamespaceObject::default() };
        namespaces.create(&PostParams::default(), &object).await.with_context(|| format!("create namespace {name}"))?;
        Ok(())
    }
}

/// A namespace of one test, and the programs that serve only it.
#[derive(Clone)]
pub struct Namespace {
    cluster: Arc<Cluster>,
    client: Client,
    name: String,
}

impl Namespace {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster that it is in.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// A client with all rights, for this trial only.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The objects of a kind in this namespace, with all rights.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client(), &self.name)
    }

    /// kubectl in this namespace, with all rights.
    pub fn kubectl(&self) -> Kubectl {
        self.cluster.kubectl().in_namespace(&self.name)
    }

    /// The plain key in a Secret that the operator makes; waits until it is there.
    ///
    /// # Errors
    /// When it is not there within 15 s, or has no `key`.
    pub async fn issued_key(&self, secret: &str) -> Result<String> {
        let secrets = self.api::<Secret>();
        let what = format!("Secret {}/{secret} is there", self.name);
        let data =
            wait::eventually(what, APPEARS, || async { secrets.get_opt(secret).await }).await?.data.unwrap_or_default();
        let bytes = data.get("key").with_context(|| format!("Secret {}/{secret} has no data `key`", self.name))?;
        String::from_utf8(bytes.0.clone())
            .with_context(|| format!("`key` of Secret {}/{secret} is not UTF-8", self.name))
    }

    /// An operator, not started, that watches only this namespace, with the rights that the chart gives and a lease
    /// named after the namespace. Start two for a standby: the lease decides.
    ///
    /// # Errors
    /// When our programs do not compile, or the chart made no ServiceAccount.
    pub async fn operator(&self, replica: &str) -> Result<Program> {
        let identity = self.cluster.service_account(SYSTEM_NAMESPACE, OPERATOR_ACCOUNT).await?;
        let program = Program::operator()?.named(&format!("operator-{replica}")).identity(&identity);
        Ok(program
            .flag("watch-namespaces", &self.name)
            .flag("lease-namespace", SYSTEM_NAMESPACE)
            .flag("lease-name", &self.name)
            .flag("lease-duration", LEASE)
            .flag("identity", replica))
    }

    /// An api-server, not started, with the role `verify` for this namespace, as `identity`:
    /// [`Namespace::pool_account`] for the rights that a pool gives, [`Namespace::reader`] where there is no pool.
    ///
    /// # Errors
    /// When our programs do not compile.
    pub fn verify_pod(&self, name: &str, identity: &Identity) -> Result<Program> {
        let program = Program::api_server()?.named(name).identity(identity);
        let program = program.flag("registry", "kubernetes").flag("roles", "verify").flag("namespaces", &self.name);
        let data = program.directory().join("data");
        Ok(program.flag("data-dir", &data).flag("snapshot-dir", &data))
    }

    /// The ServiceAccount of the pods of a VerifyPool here; waits until the operator has made it.
    ///
    /// # Errors
    /// When it does not appear within 20 s.
    pub async fn pool_account(&self, pool: &str) -> Result<Identity> {
        self.cluster.service_account(&self.name, &format!("keyplane-verify-{pool}")).await
    }

    /// A ServiceAccount that may read all kinds of ours here and nothing else: the least that a verify pod needs,
    /// without an operator.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn reader(&self) -> Result<Identity> {
        self.kubectl().apply(READER).await?;
        self.cluster.service_account(&self.name, "reader").await
    }
}

const READER: &str = r"
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [keyplane.dev], resources: ['*'], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader}]
";
