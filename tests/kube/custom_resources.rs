//! The custom resources: a real API server takes the definitions and the examples, refuses mistakes with words, and shows people
//! what they need.

mod objects;
mod rules;
mod updates;

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::Timestamp;
use keyplane_api::condition::{ConditionStatus, NewCondition, PROPAGATED, READY, reason, set_condition};
use keyplane_api::{ApiKey, ApiKeySpec, KeySource, VerifyPool, VerifyPoolSpec};
use keyplane_tests::{Cluster, Refused, SharedCluster, Trial, trials, workspace};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use objects::{api_of, object};

pub(crate) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    let mut trials = trials![cluster;
        definitions_are_established_without_a_warning,
        examples_are_accepted,
        an_empty_spec_shows_its_defaults,
        an_explicit_null_is_as_if_absent,
        an_unknown_field_is_refused_by_name,
        every_field_is_explained,
        one_word_lists_every_kind,
        columns_show_what_a_person_needs,
        fields_select_objects,
        a_pool_can_be_scaled,
        two_writers_share_the_conditions,
    ];
    trials.extend(rules::trials(cluster));
    trials.extend(updates::trials(cluster));
    trials
}

async fn definitions_are_established_without_a_warning(cluster: Arc<Cluster>) -> Result<()> {
    let directory = workspace::root().join("crds");
    let path = directory.to_str().context("a path in UTF-8")?;
    cluster.kubectl().run(&["apply", "--server-side", "--warnings-as-errors", "-f", path]).await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client().await?);
    for expected in keyplane_api::all_crds() {
        let name = expected.metadata.name.context("a name")?;
        let found = definitions.get(&name).await?;
        let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
        let of = |type_: &str| conditions.iter().find(|c| c.type_ == type_).map(|c| c.status.as_str());
        assert_eq!((of("Established"), of("NamesAccepted")), (Some("True"), Some("True")), "{name}: {conditions:?}");
        assert_eq!(of("NonStructuralSchema"), None, "{name}: {conditions:?}");
        // What the API server keeps is what we wrote: nothing was dropped because it did not know it.
        assert_eq!(found.spec.versions, expected.spec.versions, "{name}");
    }
    Ok(())
}

async fn examples_are_accepted(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("examples").await?;
    let directory = workspace::root().join("operator/examples");
    let path = directory.to_str().context("a path in UTF-8")?;
    // The other way to apply, with the client's own merge, works as well.
    for how in ["--server-side=true", "--server-side=false"] {
        namespace.kubectl().run(&["apply", how, "--warnings-as-errors", "--force-conflicts=false", "-f", path]).await?;
        namespace.kubectl().run(&["delete", "-f", path]).await?;
    }
    Ok(())
}

async fn an_empty_spec_shows_its_defaults(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("defaults").await?;
    for (kind, spec, defaulted) in [
        ("ApiKey", json!({}), json!({"enabled": true, "key": {"generate": {}}, "keyspace": "default"})),
        ("RootKey", json!({}), json!({"enabled": true, "key": {"generate": {}}})),
        ("VerifyPool", json!({}), json!({"replicas": 1})),
        ("Keyspace", json!({}), json!({"deleteProtection": false, "recoverableKeys": false})),
        ("KeyRole", json!({}), json!({})),
        (
            "RateLimit",
            json!({"limit": 1, "window": "1s"}),
            json!({"limit": 1, "window": "1s", "algorithm": "SlidingWindow", "scope": "Key", "autoApply": false}),
        ),
        (
            "ApiKey",
            json!({"key": {"secretRef": {"name": "mine"}}}),
            json!({"enabled": true, "key": {"secretRef": {"name": "mine", "key": "key"}}, "keyspace": "default"}),
        ),
    ] {
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let created = api_of(kind, &namespace).create(&dry_run, &object(kind, "a", spec)).await?;
        assert_eq!(created.data["spec"], defaulted, "{kind}");
    }
    // What the types mean by an absent field is what the API server fills in.
    let key =
        namespace.api::<ApiKey>().create(&PostParams::default(), &ApiKey::new("a", ApiKeySpec::default())).await?;
    assert_eq!(key.spec, ApiKeySpec::default());
    Ok(())
}

async fn an_explicit_null_is_as_if_absent(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("nulls").await?;
    let nulls = json!({"displayName": null, "enabled": null, "expires": null, "meta": null, "credits": null, "key": null,
        "rotation": null, "permissions": null, "rateLimits": null});
    let created = api_of("ApiKey", &namespace).create(&PostParams::default(), &object("ApiKey", "a", nulls)).await?;
    let defaults = json!({"enabled": true, "key": {"generate": {}}, "keyspace": "default"});
    assert_eq!(created.data["spec"], defaults);
    Ok(())
}

async fn an_unknown_field_is_refused_by_name(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("unknown").await?;
    let manifest = "{apiVersion: keyplane.dev/v1alpha1, kind: ApiKey, metadata: {name: a}, spec: {colour: red}}";
    let error = namespace.kubectl().apply(manifest).await.unwrap_err();
    let refused = error.downcast_ref::<Refused>().context("a refusal")?;
    assert!(refused.stderr.contains(".spec.colour: field not declared in schema"), "{}", refused.stderr);
    Ok(())
}

async fn every_field_is_explained(cluster: Arc<Cluster>) -> Result<()> {
    let kubectl = cluster.kubectl();
    let refill = kubectl.run(&["explain", "apikey.spec.credits.refill"]).await?;
    for words in ["Monthly", "The balance after the refill", "-required-", "in a shorter month its"] {
        assert!(refill.contains(words), "{words:?} is missing in {refill}");
    }
    for crd in keyplane_api::all_crds() {
        let names = crd.spec.names;
        for field in ["", ".spec", ".status"] {
            let text = kubectl.run(&["explain", &format!("{}{field}", names.plural)]).await?;
            assert!(!text.contains("<empty>") && !text.contains("Auto-generated"), "{}{field}: {text}", names.kind);
        }
    }
    Ok(())
}

async fn one_word_lists_every_kind(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("list").await?;
    for (kind, spec) in [
        ("ApiKey", json!({})),
        ("Identity", json!({"externalId": "acme"})),
        ("KeyPermission", json!({"slug": "invoices.read"})),
        ("KeyRole", json!({})),
        ("Keyspace", json!({})),
        ("RateLimit", json!({"limit": 1, "window": "1s"})),
        ("RateLimitOverride", json!({"rateLimit": "a", "identifier": "b", "limit": 0, "window": "1s"})),
        ("RootKey", json!({})),
        ("VerifyPool", json!({})),
    ] {
        api_of(kind, &namespace).create(&PostParams::default(), &object(kind, "a", spec)).await?;
    }
    let by_category = namespace.kubectl().run(&["get", "keyplane", "-o", "name"]).await?;
    assert_eq!(by_category.lines().count(), 9, "{by_category}");
    let by_short_name = namespace.kubectl().run(&["get", "ak,idn,kp,kr,ksp,rl,rlo,rk,vp", "-o", "name"]).await?;
    assert_eq!(by_short_name.lines().count(), 9, "{by_short_name}");
    Ok(())
}

async fn columns_show_what_a_person_needs(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("columns").await?;
    let spec = json!({"externalId": "acme", "expires": "2099-01-01T00:00:00Z", "keyspace": "payments"});
    api_of("ApiKey", &namespace).create(&PostParams::default(), &object("ApiKey", "a", spec)).await?;
    let status = json!({"apiVersion": keyplane_api::API_VERSION, "kind": "ApiKey", "status": {
        "keyId": "key_4f9k2m7q1x8w3z5a", "start": "pay_3kTq", "verifyPods": "5/5", "lastUsed": "2026-01-01T00:00:00Z",
        "nextRotation": "2098-01-01T00:00:00Z",
        "conditions": [{"type": "Ready", "status": "True", "reason": "Issued", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
    }});
    let written_by = PatchParams::apply(keyplane_api::STATUS_FIELD_MANAGER);
    api_of("ApiKey", &namespace).patch_status("a", &written_by, &Patch::Apply(status)).await?;
    let narrow = namespace.kubectl().run(&["get", "apikey", "a"]).await?;
    let (head, row) = narrow.split_once('\n').context("a head and a row")?;
    let columns = "NAME KEYSPACE IDENTITY START ENABLED READY PROPAGATED PODS EXPIRES LAST USED AGE";
    assert_eq!(head.split_whitespace().collect::<Vec<_>>().join(" "), columns);
    for cell in ["payments", "acme", "pay_3kTq", "true", "True", "5/5", "2099-01-01T00:00:00Z"] {
        assert!(row.split_whitespace().any(|found| found == cell), "{cell} is missing in {row}");
    }
    assert!(!row.contains("invalid"), "{row}");
    let wide = namespace.kubectl().run(&["get", "apikey", "a", "-o", "wide"]).await?;
    assert!(wide.contains("KEYID") && wide.contains("key_4f9k2m7q1x8w3z5a") && wide.contains("2098-"), "{wide}");
    Ok(())
}

async fn fields_select_objects(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("select").await?;
    let create = async |kind: &str, name: &str, spec| {
        api_of(kind, &namespace).create(&PostParams::default(), &object(kind, name, spec)).await
    };
    create("ApiKey", "plain", json!({})).await?;
    create("ApiKey", "paying", json!({"keyspace": "payments", "externalId": "acme"})).await?;
    create("ApiKey", "off", json!({"enabled": false})).await?;
    create("RootKey", "off", json!({"enabled": false})).await?;
    create("Identity", "other", json!({"externalId": "other"})).await?;
    create("KeyPermission", "write", json!({"slug": "write"})).await?;
    create("RateLimitOverride", "none", json!({"rateLimit": "none", "identifier": "a", "limit": 0, "window": "1s"}))
        .await?;
    for (kind, selector, expected) in [
        ("ApiKey", "spec.keyspace=default", "off plain"),
        ("ApiKey", "spec.keyspace=payments", "paying"),
        ("ApiKey", "spec.externalId=acme", "paying"),
        ("ApiKey", "spec.enabled=false", "off"),
        ("ApiKey", "spec.enabled=true,spec.keyspace=default", "plain"),
        ("RootKey", "spec.enabled=false", "off"),
        ("RootKey", "spec.enabled=true", ""),
        ("Identity", "spec.externalId=other", "other"),
        ("KeyPermission", "spec.slug=write", "write"),
        ("RateLimitOverride", "spec.rateLimit=none", "none"),
    ] {
        let found = api_of(kind, &namespace).list(&ListParams::default().fields(selector)).await?;
        let names: Vec<_> = found.items.into_iter().filter_map(|object| object.metadata.name).collect();
        ensure!(names.join(" ") == expected, "{kind} {selector}: {names:?}");
    }
    Ok(())
}

async fn a_pool_can_be_scaled(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("scale").await?;
    let pools = namespace.api::<VerifyPool>();
    pools.create(&PostParams::default(), &VerifyPool::new("a", VerifyPoolSpec::default())).await?;
    namespace.kubectl().run(&["scale", "verifypool/a", "--replicas=5"]).await?;
    assert_eq!(pools.get("a").await?.spec.replicas, 5);
    let status = json!({"status": {"replicas": 4, "selector": "keyplane.dev/pool=a"}});
    pools.patch_status("a", &PatchParams::default(), &Patch::Merge(status)).await?;
    let scale = pools.get_scale("a").await?;
    let status = scale.status.context("a status")?;
    assert_eq!((scale.spec.and_then(|spec| spec.replicas), status.replicas), (Some(5), 4));
    assert_eq!(status.selector.as_deref(), Some("keyplane.dev/pool=a"));
    Ok(())
}

async fn two_writers_share_the_conditions(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("conditions").await?;
    let keys = namespace.api::<ApiKey>();
    let created = keys.create(&PostParams::default(), &ApiKey::new("a", ApiKeySpec::default())).await?;
    assert_eq!(created.spec.key, KeySource::default());
    for (writer, type_) in [("one", READY), ("other", PROPAGATED)] {
        let mut conditions = Vec::new();
        let new = NewCondition {
            type_,
            status: ConditionStatus::True,
            reason: reason::ISSUED,
            message: "as observed".into(),
            observed_generation: created.metadata.generation,
        };
        set_condition(&mut conditions, new, Timestamp::UNIX_EPOCH.into());
        let status =
            json!({"apiVersion": keyplane_api::API_VERSION, "kind": "ApiKey", "status": {"conditions": conditions}});
        keys.patch_status("a", &PatchParams::apply(writer), &Patch::Apply(status)).await?;
    }
    let conditions = keys.get("a").await?.status.context("a status")?.conditions;
    assert_eq!(conditions.len(), 2, "each writer owns its own and leaves the other's alone: {conditions:?}");
    namespace.kubectl().run(&["wait", "--for=condition=Ready", "--timeout=10s", "apikey/a"]).await?;
    Ok(())
}
