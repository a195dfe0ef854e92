//! The two Services of a pool.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::decide::Plan;
use super::pod::{HTTP, OPS};
use super::{headless_name, name, owned, pod_selector};

/// Where clients go: the ready pods, under one name. Operations are not reachable through it.
pub(super) fn service(plan: &Plan) -> Service {
    let mut metadata = owned(plan, name(&plan.pool));
    if !plan.service_annotations.is_empty() {
        metadata.annotations = Some(plan.service_annotations.clone());
    }
    let spec = ServiceSpec {
        type_: Some(plan.service_type.to_owned()),
        selector: Some(pod_selector(plan)),
        ports: Some(vec![port(HTTP)]),
        ..ServiceSpec::default()
    };
    Service { metadata, spec: Some(spec), ..Service::default() }
}

/// A name for each pod, ready or not: who asks a single pod wants exactly that one.
pub(super) fn headless(plan: &Plan) -> Service {
    let spec = ServiceSpec {
        cluster_ip: Some("None".to_owned()),
        publish_not_ready_addresses: Some(true),
        selector: Some(pod_selector(plan)),
        ports: Some(vec![port(HTTP), port(OPS)]),
        ..ServiceSpec::default()
    };
    Service { metadata: owned(plan, headless_name(&plan.pool)), spec: Some(spec), ..Service::default() }
}

fn port((name, number): (&str, i32)) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number,
        target_port: Some(IntOrString::String(name.to_owned())),
        // Part of the key by which the API server merges ports, so it is said and not left to the default.
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}
