//! How many pods a drain may take at a time.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::decide::Plan;
use super::{name, owned, pod_selector};

/// One. A pod that is not ready serves nobody and may always be taken, so that a broken pool does not block a node's drain.
pub(super) fn disruption_budget(plan: &Plan) -> PodDisruptionBudget {
    let spec = PodDisruptionBudgetSpec {
        max_unavailable: Some(IntOrString::Int(1)),
        selector: Some(LabelSelector { match_labels: Some(pod_selector(plan)), ..LabelSelector::default() }),
        unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        ..PodDisruptionBudgetSpec::default()
    };
    PodDisruptionBudget { metadata: owned(plan, name(&plan.pool)), spec: Some(spec), ..PodDisruptionBudget::default() }
}
