//! The pods of a pool.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use keyplane_api::Storage;
use kube::api::ObjectMeta;

use super::super::decide::Plan;
use super::pod::{self, DATA};
use super::{headless_name, labels, name, owned, pod_selector};

/// A StatefulSet, because later each pod owns counters under its own stable name. All pods start at once: none needs another.
pub(super) fn stateful_set(plan: &Plan) -> StatefulSet {
    let spec = StatefulSetSpec {
        replicas: Some(plan.replicas),
        service_name: Some(headless_name(&plan.pool)),
        pod_management_policy: Some("Parallel".to_owned()),
        selector: LabelSelector { match_labels: Some(pod_selector(plan)), ..LabelSelector::default() },
        template: pod::template(plan),
        volume_claim_templates: plan.storage.as_ref().map(|storage| vec![claim(plan, storage)]),
        ..StatefulSetSpec::default()
    };
    StatefulSet { metadata: owned(plan, name(&plan.pool)), spec: Some(spec), ..StatefulSet::default() }
}

fn claim(plan: &Plan, storage: &Storage) -> PersistentVolumeClaim {
    let size = BTreeMap::from([("storage".to_owned(), storage.size.clone())]);
    let spec = PersistentVolumeClaimSpec {
        access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
        storage_class_name: storage.storage_class_name.clone(),
        resources: Some(VolumeResourceRequirements { requests: Some(size), ..VolumeResourceRequirements::default() }),
        ..PersistentVolumeClaimSpec::default()
    };
    let labels = Some(labels(&plan.pool, &plan.namespace));
    let metadata = ObjectMeta { name: Some(DATA.to_owned()), labels, ..ObjectMeta::default() };
    PersistentVolumeClaim { metadata, spec: Some(spec), ..PersistentVolumeClaim::default() }
}

/// The selector of the pods as text, for autoscalers.
pub(in crate::verify_pool) fn selector_text(set: &StatefulSet) -> Option<String> {
    let labels = set.spec.as_ref()?.selector.match_labels.as_ref()?;
    Some(labels.iter().map(|(label, value)| format!("{label}={value}")).collect::<Vec<_>>().join(","))
}
