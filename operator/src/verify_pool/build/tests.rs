use super::super::decide::tests::plan;
use super::*;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::json;

fn built(spec: serde_json::Value) -> Bundle {
    bundle(&plan(spec)).unwrap()
}

fn pod(spec: serde_json::Value) -> PodSpec {
    built(spec).stateful_set.spec.unwrap().template.spec.unwrap()
}

fn arguments(spec: serde_json::Value) -> String {
    pod(spec).containers[0].args.clone().unwrap().join(" ")
}

#[test]
fn the_arguments_are_those_of_the_api_server() {
    let common = "--registry kubernetes --roles verify --listen 0.0.0.0:8080 --ops-listen 0.0.0.0:8081 --data-dir /var/lib/keyplane --snapshot-dir /var/lib/keyplane";
    assert_eq!(arguments(json!({})), format!("{common} --snapshot-max-age 24h"));
    let hours = arguments(json!({"snapshot": {"maxAge": "36h30m"}}));
    assert_eq!(hours, format!("{common} --snapshot-max-age 36h30m"));
    let named = arguments(json!({"serves": {"namespaces": ["team-b", "team-a"]}}));
    assert_eq!(named, format!("{common} --snapshot-max-age 24h --namespaces team-a,team-b"));
}

#[test]
fn the_pod_fits_the_restricted_level_of_pod_security() {
    let pod = pod(json!({}));
    let security = pod.security_context.unwrap();
    assert_eq!(security.run_as_non_root, Some(true));
    assert_eq!(security.seccomp_profile.unwrap().type_, "RuntimeDefault");
    assert_eq!((pod.host_network, pod.host_pid, pod.host_ipc), (None, None, None));
    assert!(pod.volumes.unwrap().iter().all(|volume| volume.host_path.is_none()));
    for container in pod.containers {
        let security = container.security_context.unwrap();
        assert_eq!(security.allow_privilege_escalation, Some(false));
        assert_eq!(security.capabilities.unwrap().drop.unwrap(), ["ALL"]);
        assert_eq!(security.read_only_root_filesystem, Some(true));
        assert!(container.ports.unwrap().iter().all(|port| port.host_port.is_none()));
    }
}

#[test]
fn probes_and_services_agree_on_the_ports() {
    let bundle = built(json!({"service": {"type": "LoadBalancer", "annotations": {"a": "b"}}}));
    let container = &bundle.stateful_set.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0];
    let ports: Vec<_> =
        container.ports.iter().flatten().map(|port| (port.name.as_deref().unwrap(), port.container_port)).collect();
    assert_eq!(ports, [("http", 8080), ("ops", 8081)]);
    for (probe, path) in [(&container.readiness_probe, "/readyz"), (&container.liveness_probe, "/livez")] {
        let http = probe.as_ref().unwrap().http_get.as_ref().unwrap();
        assert_eq!((http.path.as_deref(), http.scheme.as_deref()), (Some(path), Some("HTTPS")));
    }
    let service = bundle.service.spec.unwrap();
    assert_eq!(service.type_.as_deref(), Some("LoadBalancer"));
    assert_eq!(service.ports.unwrap().len(), 1, "operations are not reachable through the Service");
    assert_eq!(bundle.service.metadata.annotations.unwrap()["a"], "b");
    let headless = bundle.headless_service.spec.unwrap();
    assert_eq!((headless.cluster_ip.as_deref(), headless.publish_not_ready_addresses), (Some("None"), Some(true)));
    assert_eq!(bundle.stateful_set.spec.unwrap().service_name, bundle.headless_service.metadata.name);
}

#[test]
fn storage_is_a_volume_for_each_pod_or_an_empty_directory() {
    assert!(pod(json!({})).volumes.unwrap()[0].empty_dir.is_some());
    let stored = built(json!({"storage": {"size": "1Gi", "storageClassName": "fast"}})).stateful_set.spec.unwrap();
    let claim = stored.volume_claim_templates.unwrap().remove(0);
    assert_eq!(claim.metadata.name.as_deref(), Some("data"));
    let claim = claim.spec.unwrap();
    assert_eq!(claim.resources.unwrap().requests.unwrap()["storage"].0, "1Gi");
    assert_eq!(claim.storage_class_name.as_deref(), Some("fast"));
    assert!(stored.template.spec.unwrap().volumes.is_none());
}

#[test]
fn a_pod_template_is_laid_over_ours() {
    let template = json!({
        "metadata": {"labels": {"team": "a", "keyplane.dev/pool": "stolen"}, "annotations": {"n": "1"}},
        "spec": {
            "tolerations": [{"key": "edge", "operator": "Exists"}],
            "containers": [
                {"name": "verify", "env": [{"name": "KEYPLANE_LOG_FORMAT", "value": "json"}]},
                {"name": "sidecar", "image": "mesh:1"},
            ],
        },
    });
    let template = built(json!({"podTemplate": template})).stateful_set.spec.unwrap().template;
    let labels = template.metadata.as_ref().unwrap().labels.as_ref().unwrap();
    assert_eq!(
        (labels["team"].as_str(), labels["keyplane.dev/pool"].as_str()),
        ("a", "edge"),
        "what selects the pods stays ours"
    );
    let pod = template.spec.unwrap();
    assert_eq!(pod.tolerations.unwrap().len(), 1);
    let names: Vec<_> = pod.containers.iter().map(|container| container.name.as_str()).collect();
    assert_eq!(names, ["verify", "sidecar"]);
    let verify: &Container = &pod.containers[0];
    assert_eq!((verify.image.as_deref(), verify.env.as_ref().map(Vec::len)), (Some("verify:1"), Some(1)));
    assert!(verify.readiness_probe.is_some(), "ours is kept");
}

#[test]
fn rights_are_reading_our_kinds_and_nothing_else() {
    let everywhere = built(json!({}));
    assert!(everywhere.roles.is_empty() && everywhere.role_bindings.is_empty());
    let role = everywhere.cluster_role.unwrap();
    let rules = role.rules.unwrap();
    assert_eq!(rules.len(), 1);
    assert_eq!(
        (rules[0].api_groups.clone().unwrap(), &rules[0].verbs),
        (vec!["keyplane.dev".to_owned()], &VERIFY_VERBS.map(str::to_owned).to_vec())
    );
    assert!(rules[0].resources.iter().flatten().all(|kind| !kind.contains(['*', '/']) && kind != "secrets"));
    let binding = everywhere.cluster_role_binding.unwrap();
    assert_eq!(Some(binding.role_ref.name), role.metadata.name);
    assert!(role.metadata.owner_references.is_none(), "nothing in a namespace can own it");
    let subject = &binding.subjects.unwrap()[0];
    assert_eq!((subject.name.as_str(), subject.namespace.as_deref()), ("keyplane-verify-edge", Some("system")));

    let named = built(json!({"serves": {"namespaces": ["team-a", "system"]}}));
    assert!(named.cluster_role.is_none() && named.cluster_role_binding.is_none());
    let places: Vec<_> = named
        .roles
        .iter()
        .map(|role| (role.metadata.namespace.as_deref().unwrap(), role.metadata.owner_references.is_some()))
        .collect();
    assert_eq!(places, [("system", true), ("team-a", false)]);
}

#[test]
fn pods_may_ask_who_reads_their_pages_wherever_they_serve() {
    for spec in [json!({}), json!({"serves": {"namespaces": ["system"]}})] {
        let bundle = built(spec);
        let (delegator, reader) = (bundle.auth_delegator, bundle.authentication_reader);
        assert_eq!(delegator.role_ref.name, "system:auth-delegator");
        assert_eq!(reader.role_ref.name, "extension-apiserver-authentication-reader");
        assert_eq!(reader.metadata.namespace.as_deref(), Some("kube-system"));
        for subjects in [delegator.subjects.unwrap(), reader.subjects.unwrap()] {
            assert_eq!(subjects.len(), 1);
            let who = (subjects[0].name.as_str(), subjects[0].namespace.as_deref());
            assert_eq!(who, ("keyplane-verify-edge", Some("system")));
        }
    }
}

#[test]
fn every_object_carries_the_pools_labels_and_a_stamp() {
    let bundle = built(json!({}));
    for metadata in [
        &bundle.service_account.metadata,
        &bundle.cluster_role.unwrap().metadata,
        &bundle.cluster_role_binding.unwrap().metadata,
        &bundle.auth_delegator.metadata,
        &bundle.authentication_reader.metadata,
        &bundle.service.metadata,
        &bundle.headless_service.metadata,
        &bundle.disruption_budget.metadata,
        &bundle.stateful_set.metadata,
    ] {
        let labels = metadata.labels.as_ref().unwrap();
        assert_eq!((labels[POOL_LABEL].as_str(), labels[POOL_NAMESPACE_LABEL].as_str()), ("edge", "system"));
        assert!(metadata.annotations.as_ref().unwrap().contains_key(super::super::covers::APPLIED));
    }
}

#[test]
fn at_most_one_pod_is_taken_at_a_time() {
    let budget = built(json!({})).disruption_budget.spec.unwrap();
    assert_eq!(serde_json::to_value(budget.max_unavailable).unwrap(), 1);
    assert!(budget.min_available.is_none());
}
