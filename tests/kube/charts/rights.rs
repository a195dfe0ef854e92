//! What the chart grants: to the operator exactly what its code says it uses, to people what their role in the cluster suggests.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::RoleBinding;
use keyplane_operator::rbac::{AUTH_DELEGATOR, AUTHENTICATION_READER, RULES, Reach};
use keyplane_tests::{Cluster, Program, SharedCluster, Trial, eventually, trials};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::Value;

use super::{KEYPLANE, NAMED, chart, rendered};

/// One verb on one resource of one group.
type Right = (String, String, String);

/// The controller that fills aggregated roles.
const AGGREGATED: Duration = Duration::from_secs(15);
const KINDS: [&str; 7] =
    ["apikeys", "identities", "keypermissions", "keyroles", "keyspaces", "ratelimitoverrides", "ratelimits"];

pub(super) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster;
        the_operator_gets_exactly_the_rights_that_it_uses,
        a_limited_operator_gets_no_more_elsewhere_than_it_must,
        a_limited_operator_does_its_work_and_sees_no_other_secrets,
        people_get_our_kinds_with_their_role_in_the_cluster,
    ]
}

fn needed(reach: Reach) -> BTreeSet<Right> {
    let rules = RULES.iter().filter(|rule| rule.reach == reach);
    let rights = rules.flat_map(|rule| {
        let resources = rule.resources.iter();
        resources.flat_map(|resource| rule.verbs.iter().map(|verb| right(rule.group, resource, verb)))
    });
    rights.collect()
}

/// Shows only what differs.
fn same(granted: &BTreeSet<Right>, reach: Reach) {
    let needed = needed(reach);
    let (excess, missing): (Vec<_>, Vec<_>) =
        (granted.difference(&needed).collect(), needed.difference(granted).collect());
    assert!(
        excess.is_empty() && missing.is_empty(),
        "charts/keyplane/templates/_rules.tpl differs from RULES of operator/src/rbac.rs: excess {excess:?}, missing {missing:?}"
    );
}

fn right(group: &str, resource: &str, verb: &str) -> Right {
    (group.to_owned(), resource.to_owned(), verb.to_owned())
}

/// The rights in the roles of a kind and name; in a namespace, if given.
fn granted(objects: &[Value], kind: &str, name: &str, namespace: Option<&str>) -> Result<BTreeSet<Right>> {
    let role = objects.iter().find(|object| {
        let metadata = &object["metadata"];
        object["kind"] == kind && metadata["name"] == name && metadata["namespace"].as_str() == namespace
    });
    let role = role.with_context(|| format!("no {kind} {name} in {namespace:?}"))?;
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().context("rules")? {
        let fields: Vec<_> = rule.as_object().context("a rule")?.keys().map(String::as_str).collect();
        assert_eq!(fields, ["apiGroups", "resources", "verbs"], "neither URLs nor names are in the list of the code");
        let words = |field: &str| -> Result<Vec<String>> { Ok(serde_json::from_value(rule[field].clone())?) };
        for group in words("apiGroups")? {
            for resource in words("resources")? {
                rights.extend(words("verbs")?.iter().map(|verb| right(&group, &resource, verb)));
            }
        }
    }
    let wild =
        rights.iter().find(|(group, resource, verb)| [group, resource, verb].iter().any(|word| word.contains('*')));
    assert_eq!(wild, None);
    Ok(rights)
}

async fn the_operator_gets_exactly_the_rights_that_it_uses(cluster: Arc<Cluster>) -> Result<()> {
    let objects = rendered(&cluster, None).await?;
    same(&granted(&objects, "ClusterRole", "keyplane-operator", None)?, Reach::Cluster);
    let leases = granted(&objects, "Role", "keyplane-operator-leases", Some("keyplane-system"))?;
    same(&leases, Reach::ReleaseNamespace);
    // Nothing else is bound to anybody, but for two roles of Kubernetes.
    let bound = objects.iter().filter(|object| object["kind"].as_str().is_some_and(|kind| kind.ends_with("Binding")));
    let roles: BTreeSet<_> = bound.filter_map(|binding| binding["roleRef"]["name"].as_str()).collect();
    let wanted = ["keyplane-operator", "keyplane-operator-leases", AUTH_DELEGATOR, AUTHENTICATION_READER];
    assert_eq!(roles, BTreeSet::from(wanted));
    Ok(())
}

async fn a_limited_operator_gets_no_more_elsewhere_than_it_must(cluster: Arc<Cluster>) -> Result<()> {
    let objects = rendered(&cluster, Some("limited-values.yaml")).await?;
    let everywhere = granted(&objects, "ClusterRole", "keyplane-operator", None)?;
    for resource in ["secrets", "statefulsets", "services", "serviceaccounts", "apikeys/status", "rootkeys/status"] {
        assert!(everywhere.iter().all(|(_, granted, _)| granted != resource), "{resource}");
    }
    for namespace in NAMED.into_iter().chain(["keyplane-system"]) {
        let here = granted(&objects, "Role", "keyplane-operator", Some(namespace))?;
        let both: BTreeSet<_> = everywhere.union(&here).cloned().collect();
        same(&both, Reach::Cluster);
        assert!(everywhere.is_disjoint(&here), "{namespace}");
    }
    Ok(())
}

async fn a_limited_operator_does_its_work_and_sees_no_other_secrets(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("limited").await?;
    let name = namespace.name();
    // A release named after the namespace, so that its ClusterRole is its own.
    let watched = format!("operator.watchNamespaces={{{name}}}");
    let manifests = cluster.helm().template(name, &chart(KEYPLANE), name, &["--set", &watched]).await?;
    cluster.kubectl().apply(&manifests).await?;
    let identity = cluster.service_account(name, &format!("{name}-keyplane-operator")).await?;
    let operator = Program::operator()?.identity(&identity).env("POD_NAMESPACE", name).flag("watch-namespaces", name);
    let operator = operator.start().await?;
    namespace
        .kubectl()
        .apply("{apiVersion: keyplane.dev/v1alpha1, kind: ApiKey, metadata: {name: acme}, spec: {}}")
        .await?;
    namespace.kubectl().run(&["wait", "--for=condition=Ready", "--timeout=20s", "apikey/acme"]).await?;
    // The pool of the release: its pods read this namespace only.
    namespace.pool_account("default").await?;
    let role = format!("keyplane-verify-{name}-default");
    let bindings = namespace.api::<RoleBinding>();
    eventually("the pods have their rights", AGGREGATED, || async { bindings.get_opt(&role).await }).await?;
    let sets = namespace.api::<StatefulSet>();
    eventually("the pool has pods", AGGREGATED, || async { sets.get_opt("keyplane-verify-default").await }).await?;

    let client = identity.client().await?;
    assert!(reads_secrets(&client, name).await?);
    assert!(!reads_secrets(&client, "keyplane-system").await?);
    assert_eq!(operator.terminate().await?, 0);
    let log = operator.log()?;
    assert!(!log.to_lowercase().contains("forbidden"), "{log}");
    Ok(())
}

async fn reads_secrets(who: &Client, namespace: &str) -> Result<bool> {
    Ok(Api::<Secret>::namespaced(who.clone(), namespace).list_metadata(&ListParams::default()).await.is_ok())
}

async fn people_get_our_kinds_with_their_role_in_the_cluster(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("people").await?;
    // With what comes last when the controller puts the role together.
    for (role, last) in [("view", ("list", "apikeys")), ("edit", ("create", "apikeys")), ("admin", ("get", "rootkeys"))]
    {
        let name = format!("{}-{role}", namespace.name());
        let (granted, subject) = (format!("--clusterrole={role}"), format!("--user={name}"));
        namespace.kubectl().run(&["create", "rolebinding", role, &granted, &subject]).await?;
        let person = cluster.control_plane().user(&name, None)?.client().await?;
        let may = async |verb: &str, resource: &str| is_allowed(&person, namespace.name(), verb, resource).await;
        let what = format!("{role} has been put together");
        eventually(what, AGGREGATED, || async { anyhow::Ok(may(last.0, last.1).await?.then_some(())) }).await?;
        let (writes, admin) = (role != "view", role == "admin");
        for kind in KINDS {
            assert!(may("watch", kind).await?, "{role} {kind}");
            assert_eq!(may("create", kind).await?, writes, "{role} {kind}");
        }
        assert_eq!((may("get", "rootkeys").await?, may("create", "rootkeys").await?), (admin, admin), "{role}");
        assert_eq!((may("get", "verifypools").await?, may("create", "verifypools").await?), (true, false), "{role}");
        // The status is the operator's alone.
        for status in ["apikeys/status", "rootkeys/status", "verifypools/status"] {
            assert!(!may("patch", status).await? && !may("update", status).await?, "{role} {status}");
        }
    }
    Ok(())
}

/// Whether the API server would let this person do it in the namespace.
async fn is_allowed(person: &Client, namespace: &str, verb: &str, resource: &str) -> Result<bool> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let attributes = ResourceAttributes {
        group: Some(keyplane_api::GROUP.to_owned()),
        namespace: Some(namespace.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: Some(subresource.to_owned()),
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..Default::default() };
    let answer = Api::all(person.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.context("no answer")?.allowed)
}
