//! `VerifyPool`: the fleet of verify pods.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::GoDuration;

const DEFAULT_MAX_AGE_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// How many verify pods there are, whom they serve and how they run. Every field may be absent.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "keyplane.dev",
    version = "v1alpha1",
    kind = "VerifyPool",
    plural = "verifypools",
    shortname = "vp",
    category = "keyplane",
    namespaced,
    status = "VerifyPoolStatus",
    derive = "PartialEq",
    doc = "A fleet of verify pods: how many, which namespaces they serve, and how they run. The operator makes a \
           StatefulSet, its Services, a PodDisruptionBudget and the least RBAC they need.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Ready pods", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.conditions[?(@.type==\"Available\")].status"),
    printcolumn(name = "Progressing", type_ = "string", json_path = ".status.conditions[?(@.type==\"Progressing\")].status"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image", priority = 1),
    printcolumn(name = "Revision", type_ = "string", json_path = ".status.revision", priority = 1),
    validation = Rule::new("self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,34}[a-z0-9])?$')")
        .message("the name must be at most 36 lower-case letters, digits and dashes, because the pool's StatefulSet and \
                  Services are named after it"),
)]
#[serde(rename_all = "camelCase")]
pub struct VerifyPoolSpec {
    /// How many pods, 0 to 1000. Default 1. kubectl scale and autoscalers set it.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i64,

    /// Whose keys the pods hold. Absent: those of all namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<Serves>,

    /// The image of the verify container. Default: the one of the operator's own version.
    #[schemars(length(min = 1, max = 512))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,

    /// CPU and memory of the verify container. Absent: none requested, none limited.
    #[schemars(schema_with = "crate::embedded::resource_requirements")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// A volume for each pod's snapshot of the keys. Absent: an emptyDir, which survives a container and not a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,

    /// Certificates of the pods. Absent: from a CA that the operator makes and rotates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,

    /// How the pods treat their snapshot of the keys, which they serve from while the Kubernetes API is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Snapshot>,

    /// The Service in front of the pods. Absent: a ClusterIP without annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<VerifyPoolService>,

    /// A partial pod template that is laid over the operator's own: tolerations, affinity, labels, annotations, sidecars,
    /// or more environment for the container "verify". Lists of named things are merged by name. Absent: nothing added.
    #[schemars(schema_with = "crate::embedded::pod_template")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Default for VerifyPoolSpec {
    /// What `spec: {}` means.
    fn default() -> Self {
        Self {
            replicas: one(),
            serves: None,
            image: None,
            resources: None,
            storage: None,
            tls: None,
            snapshot: None,
            service: None,
            pod_template: None,
        }
    }
}

fn one() -> i64 {
    1
}

/// Whose keys the pods of a pool hold: at most one of the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.namespaces) && has(self.namespaceSelector))")
        .message("set namespaces or namespaceSelector, not both"),
)]
pub struct Serves {
    /// Up to 100 namespaces by name. The pods then get Roles in these namespaces only.
    #[schemars(
        length(min = 1, max = 100),
        inner(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Namespaces with these labels; an empty selector means all. The pods then get a ClusterRole for Keyplane's kinds.
    #[schemars(schema_with = "crate::embedded::label_selector")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
}

/// Whose keys the pods of a pool hold, told apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Served<'a> {
    /// Those of every namespace.
    All,
    /// Those of these namespaces.
    Namespaces(&'a [String]),
    /// Those of the namespaces with these labels.
    Selector(&'a LabelSelector),
}

impl VerifyPoolSpec {
    /// Whose keys the pods hold. With both parts set, which the rules refuse, the narrower list of names counts.
    pub fn served(&self) -> Served<'_> {
        match &self.serves {
            Some(serves) if !serves.namespaces.is_empty() => Served::Namespaces(&serves.namespaces),
            Some(Serves { namespace_selector: Some(selector), .. }) => Served::Selector(selector),
            _ => Served::All,
        }
    }

    /// How old a snapshot may be for its pod to be ready without the Kubernetes API, in milliseconds.
    pub fn snapshot_max_age_millis(&self) -> i64 {
        let written = self.snapshot.as_ref().and_then(|snapshot| snapshot.max_age.as_ref());
        written.map_or(DEFAULT_MAX_AGE_MILLIS, GoDuration::millis)
    }
}

/// A volume for each pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// How much each pod gets, such as 1Gi. About 300 bytes a key are needed.
    #[schemars(schema_with = "crate::embedded::quantity")]
    pub size: Quantity,
    /// The StorageClass of the volumes. Absent: the cluster's default class.
    #[schemars(length(min = 1, max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
}

/// Where the certificates of the pods come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.secretName) || has(self.issuerRef)")
        .message("set secretName, issuerRef or both; leave tls out for certificates that the operator makes"),
)]
pub struct Tls {
    /// A Secret of type kubernetes.io/tls in the pool's namespace. With issuerRef the certificate is requested into it.
    /// Default with issuerRef: a name made from the pool's.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// The cert-manager issuer that the certificate is requested from. Absent: the Secret must be there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<TlsIssuerRef>,
}

/// A cert-manager issuer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsIssuerRef {
    /// Name of the issuer.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Issuer (default) or ClusterIssuer, or the kind of an external issuer.
    #[serde(default = "issuer_kind")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// The API group of the issuer. Default cert-manager.io.
    #[serde(default = "issuer_group")]
    #[schemars(length(min = 1, max = 253))]
    pub group: String,
}

fn issuer_kind() -> String {
    "Issuer".to_owned()
}

fn issuer_group() -> String {
    "cert-manager.io".to_owned()
}

/// How pods treat their snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// How old what a pod serves may be while it can't reach the Kubernetes API, whether it started from its snapshot or lost
    /// the API while it ran. A pod whose keys are older is not ready and answers 503. Default 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = crate::duration::at_least_one_second())]
    pub max_age: Option<GoDuration>,
}

/// The Service in front of the pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifyPoolService {
    /// ClusterIP (default), NodePort or LoadBalancer.
    #[serde(rename = "type", default)]
    pub type_: ServiceType,
    /// Annotations of the Service, such as those that a cloud's load balancer reads. Absent: none.
    #[schemars(schema_with = "crate::embedded::annotations")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// How a Service is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// From inside the cluster.
    #[default]
    ClusterIP,
    /// Also at a port of every node.
    NodePort,
    /// Also through a load balancer outside the cluster.
    LoadBalancer,
}

impl ServiceType {
    /// The word that a Service has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// What is known of a pool, written by the operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifyPoolStatus {
    /// How many pods there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
    /// How many of them are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i64>,
    /// The revision of the pod template that the pods run or are moving to.
    #[schemars(length(max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The label selector of the pods, as text, for autoscalers.
    #[schemars(length(max = 1024))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Available: enough pods are ready to serve. Progressing: pods are being added, removed or replaced. Ready: the pool
    /// runs as written.
    #[schemars(schema_with = "crate::embedded::conditions")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
