//! The pod template of a pool. It fits the Pod Security level "restricted".

use k8s_openapi::DeepMerge;
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, HTTPGetAction, Lifecycle, LifecycleHandler,
    PodSecurityContext, PodSpec, PodTemplateSpec, Probe, SeccompProfile, SecurityContext, SleepAction,
    TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ObjectMeta;

use super::super::decide::{Plan, Serves};
use super::{labels, name, pod_selector};

/// Name and number of the port for clients.
pub(super) const HTTP: (&str, i32) = ("http", 8080);
/// Name and number of the port for probes, metrics and z-pages.
pub(super) const OPS: (&str, i32) = ("ops", 8081);
/// Name of the volume with the snapshot.
pub(super) const DATA: &str = "data";

const DATA_DIRECTORY: &str = "/var/lib/keyplane";
/// The user that images without a root user commonly have ("nonroot" of distroless).
const USER: i64 = 65_532;
/// Until the other nodes have taken the pod out of the Service; requests that arrive meanwhile are still served.
const LEAVE_SERVICE_SECONDS: i64 = 5;
/// Leaving the Service, 20 s of draining, and some.
const GRACE_SECONDS: i64 = 30;

/// Our template with the pool's own laid over it. What selects and names the pods stays ours.
pub(super) fn template(plan: &Plan) -> PodTemplateSpec {
    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels(&plan.pool, &plan.namespace)), ..ObjectMeta::default() }),
        spec: Some(pod(plan)),
    };
    if let Some(theirs) = plan.pod_template.clone() {
        template.merge_from(theirs);
        let metadata = template.metadata.get_or_insert_default();
        metadata.labels.get_or_insert_default().extend(labels(&plan.pool, &plan.namespace));
    }
    template
}

fn pod(plan: &Plan) -> PodSpec {
    PodSpec {
        service_account_name: Some(name(&plan.pool)),
        automount_service_account_token: Some(true),
        // A Service whose name begins with "keyplane-" would otherwise look like one of our KEYPLANE_… settings.
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() }),
            ..PodSecurityContext::default()
        }),
        // Asked for, not demanded: a small cluster still gets all of its pods.
        topology_spread_constraints: Some(vec![
            spread(plan, "kubernetes.io/hostname"),
            spread(plan, "topology.kubernetes.io/zone"),
        ]),
        volumes: plan.storage.is_none().then(|| {
            let empty = Some(EmptyDirVolumeSource::default());
            vec![Volume { name: DATA.to_owned(), empty_dir: empty, ..Volume::default() }]
        }),
        containers: vec![container(plan)],
        ..PodSpec::default()
    }
}

fn spread(plan: &Plan, topology_key: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: topology_key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector { match_labels: Some(pod_selector(plan)), ..LabelSelector::default() }),
        ..TopologySpreadConstraint::default()
    }
}

fn container(plan: &Plan) -> Container {
    Container {
        name: "verify".to_owned(),
        image: Some(plan.image.clone()),
        args: Some(arguments(&plan.serves, &plan.snapshot_max_age)),
        ports: Some(vec![port(HTTP), port(OPS)]),
        resources: plan.resources.clone(),
        volume_mounts: Some(vec![VolumeMount {
            name: DATA.to_owned(),
            mount_path: DATA_DIRECTORY.to_owned(),
            ..VolumeMount::default()
        }]),
        // Ready only when the index is complete; a pod that is alive and still reading is left to finish.
        readiness_probe: Some(probe("/readyz", 2, 3)),
        liveness_probe: Some(probe("/livez", 10, 6)),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: LEAVE_SERVICE_SECONDS }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

/// The command line of the api-server. `Nothing` has no pods; should somebody scale the StatefulSet by hand, they may read nothing.
fn arguments(serves: &Serves, snapshot_max_age: &str) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "--registry",
        "kubernetes",
        "--roles",
        "verify",
        "--listen",
        "0.0.0.0:8080",
        "--ops-listen",
        "0.0.0.0:8081",
        "--data-dir",
        DATA_DIRECTORY,
        "--snapshot-dir",
        DATA_DIRECTORY,
        "--snapshot-max-age",
        snapshot_max_age,
    ]
    .map(str::to_owned)
    .to_vec();
    if let Serves::Only(names) = serves {
        arguments.extend(["--namespaces".to_owned(), names.join(",")]);
    }
    arguments
}

fn port((name, number): (&str, i32)) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(OPS.0.to_owned()),
            // The kubelet takes any certificate: ours is self-signed.
            scheme: Some("HTTPS".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failure_threshold),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}
