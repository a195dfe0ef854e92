//! Mistakes in new objects: each is refused with words that a person understands, and its good twin is accepted.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use keyplane_tests::{Cluster, Namespace, SharedCluster, Trial, trials};
use kube::api::PostParams;
use serde_json::Value;

use super::objects::{api_of, object, spec};
use super::updates;

pub(super) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster; every_rule_has_a_case, rules_refuse_with_their_message, schemas_refuse_with_field_and_bound, names_that_would_not_fit_are_refused]
}

/// Kinds with the same part; a spec with one mistake; words of the refusal; the spec put right.
type Case = (&'static [&'static str], &'static str, &'static str, &'static str);

const KEYS: &[&str] = &["ApiKey", "RootKey"];
const KEY: &[&str] = &["ApiKey"];
const LIMIT: &[&str] = &["RateLimit"];
const POOL: &[&str] = &["VerifyPool"];

const NOT_ONE_SOURCE: &str = "spec.key: Invalid value: set exactly one of generate, secretRef, hash and prefixedHash";
const NOT_A_HASH: &str =
    "spec.key.hash.sha256: Invalid value: \"ab\": must be a SHA-256: 64 hexadecimal characters, or 44 characters";
const HEX: &str = "{key: {hash: {sha256: d265e5cdd3ca3eb9d779087c38f18b4b625e18eab9fe315e156eba4a43f2dc88}}}";
const BASE64: &str = "{key: {hash: {sha256: 0mXlzdPKPrnXeQh8OPGLS2JeGOq5/jFeFW66SkPy3Ig=}}}";
const SHORT_WINDOW: &str = "must be a duration of at least 1s, such as 60s, 1h30m or 24h";
const NO_CIDR: &str =
    "each entry must be a network such as 10.0.0.0/8 or 2001:db8::/32; write a single address as 192.0.2.1/32";
const EXPRESSION: &str =
    "values must be given for the operators In and NotIn, and left out for Exists and DoesNotExist";

/// The rules in CEL.
const RULES: &[Case] = &[
    (KEYS, "{key: {}}", NOT_ONE_SOURCE, "{key: {generate: {}}}"),
    (KEYS, "{key: {generate: {}, secretRef: {name: a}}}", NOT_ONE_SOURCE, "{key: {secretRef: {name: a}}}"),
    (KEYS, "{key: {hash: {sha256: ab}}}", NOT_A_HASH, HEX),
    (KEYS, "{key: {hash: {sha256: ab}}}", NOT_A_HASH, BASE64),
    (
        KEYS,
        "{key: {prefixedHash: {sha256: ab, migrationId: seam}}}",
        "spec.key.prefixedHash.sha256: Invalid value: \"ab\": must be a SHA-256 as 64 hexadecimal characters",
        "{key: {prefixedHash: {sha256: d265e5cdd3ca3eb9d779087c38f18b4b625e18eab9fe315e156eba4a43f2dc88, migrationId: seam}}}",
    ),
    (
        KEYS,
        "{rotation: {every: 24h, overlap: 1h}, key: {secretRef: {name: a}}}",
        "spec.rotation: Invalid value: rotation is only for a generated key",
        "{rotation: {every: 24h, overlap: 1h}, key: {generate: {}}}",
    ),
    (
        KEYS,
        "{rotation: {every: 24h, overlap: 1440m}}",
        "spec.rotation.overlap: Invalid value: overlap must be shorter than every",
        "{rotation: {every: 24h, overlap: 1439m}}",
    ),
    (KEYS, "{rotation: {every: 500ms, overlap: 0s}}", SHORT_WINDOW, "{rotation: {every: 1s, overlap: 0s}}"),
    (
        KEYS,
        "{rotation: {every: 24h, overlap: one hour}}",
        "spec.rotation.overlap: Invalid value: \"one hour\": must be a duration such as 60s, 1h30m or 24h",
        "{rotation: {every: 24h, overlap: 1h}}",
    ),
    (
        KEY,
        "{credits: {refill: {interval: Daily, amount: 5}}}",
        "spec.credits: Invalid value: refill needs remaining: say with how many credits the key starts",
        "{credits: {remaining: 0, refill: {interval: Daily, amount: 5}}}",
    ),
    (
        KEY,
        "{credits: {setAt: \"2026-01-01T00:00:00Z\"}}",
        "spec.credits: Invalid value: setAt needs remaining",
        "{credits: {remaining: 1, setAt: \"2026-01-01T00:00:00Z\"}}",
    ),
    (
        KEY,
        "{credits: {remaining: 1, refill: {interval: Daily, amount: 5, day: 1}}}",
        "spec.credits.refill.day: Invalid value: day is only for the interval Monthly",
        "{credits: {remaining: 1, refill: {interval: Monthly, amount: 5, day: 31}}}",
    ),
    (
        KEY,
        "{rateLimits: [{name: a, limit: 1, window: 1s}, {name: b, limit: 1, window: 999ms}]}",
        "spec.rateLimits[1].window: Invalid value: \"999ms\": must be a duration of at least 1s",
        "{rateLimits: [{name: a, limit: 1, window: 1s}, {name: b, limit: 1, window: 1000ms}]}",
    ),
    (
        &["Identity"],
        "{externalId: a, rateLimits: [{name: a, limit: 1, window: \"60\"}]}",
        SHORT_WINDOW,
        "{externalId: a, rateLimits: [{name: a, limit: 1, window: 1h1m1.5s}]}",
    ),
    (LIMIT, "{limit: 1, window: 0s}", SHORT_WINDOW, "{limit: 1, window: 8760h}"),
    (
        LIMIT,
        "{limit: 5, window: 1s, burst: 2}",
        "spec.burst: Invalid value: burst is only for the algorithm Gcra",
        "{limit: 5, window: 1s, burst: 2, algorithm: Gcra}",
    ),
    (
        LIMIT,
        "{limit: 5, window: 1s, overrides: [{identifier: a, limit: 0, window: 1ms}]}",
        "spec.overrides[0].window: Invalid value: \"1ms\": must be a duration of at least 1s",
        "{limit: 5, window: 1s, overrides: [{identifier: a, limit: 0, window: 1s}]}",
    ),
    (
        LIMIT,
        "{limit: 5, window: 1s, appliesTo: {}}",
        "spec.appliesTo: Invalid value: set keyspaces, keySelector or both",
        "{limit: 5, window: 1s, appliesTo: {keySelector: {}}}",
    ),
    (
        LIMIT,
        "{limit: 5, window: 1s, appliesTo: {keySelector: {matchExpressions: [{key: a, operator: In}]}}}",
        EXPRESSION,
        "{limit: 5, window: 1s, appliesTo: {keySelector: {matchExpressions: [{key: a, operator: In, values: [b]}]}}}",
    ),
    (
        &["RateLimitOverride"],
        "{rateLimit: a, identifier: b, limit: 0, window: 10ms}",
        SHORT_WINDOW,
        "{rateLimit: a, identifier: b, limit: 0, window: 10s}",
    ),
    (&["Keyspace"], "{allowedCidrs: [10.0.0.1]}", NO_CIDR, "{allowedCidrs: [10.0.0.1/32, \"2001:db8::/32\"]}"),
    (
        POOL,
        "{serves: {namespaces: [a], namespaceSelector: {}}}",
        "spec.serves: Invalid value: set namespaces or namespaceSelector, not both",
        "{serves: {namespaceSelector: {}}}",
    ),
    (
        POOL,
        "{serves: {namespaceSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}}",
        EXPRESSION,
        "{serves: {namespaceSelector: {matchExpressions: [{key: a, operator: Exists}]}}}",
    ),
    (
        POOL,
        "{tls: {}}",
        "spec.tls: Invalid value: set secretName, issuerRef or both; leave tls out",
        "{tls: {issuerRef: {name: ca}}}",
    ),
    (POOL, "{snapshot: {maxAge: 1}}", "must be of type string", "{snapshot: {maxAge: 1s}}"),
    (POOL, "{snapshot: {maxAge: 10ms}}", SHORT_WINDOW, "{snapshot: {}}"),
];

/// What the schemas say without CEL: types, bounds, patterns, duplicates.
const SCHEMAS: &[Case] = &[
    (KEY, "{keyspace: Payments}", "spec.keyspace in body should match", "{keyspace: payments.v2}"),
    (KEY, "{displayName: \"\"}", "spec.displayName in body should be at least 1 chars long", "{displayName: a}"),
    (
        KEYS,
        "{expires: tomorrow}",
        "spec.expires in body must be of type date-time",
        "{expires: \"2099-01-01T00:00:00+02:00\"}",
    ),
    (KEY, "{externalId: a b}", "spec.externalId in body should match", "{externalId: a.b_c-D}"),
    (KEY, "{meta: [1]}", "spec.meta in body must be of type object", "{meta: {any: [1, {thing: null}]}}"),
    (KEY, "{permissions: [a b]}", "spec.permissions[0] in body should match", "{permissions: [\"a.*:b-c\"]}"),
    (KEY, "{permissions: [a, b, a]}", "spec.permissions[2]: Duplicate value: \"a\"", "{permissions: [a, b, A]}"),
    (KEY, "{roles: [a, a]}", "spec.roles[1]: Duplicate value: \"a\"", "{roles: [Any name]}"),
    (
        KEY,
        "{rateLimits: [{name: a, limit: 1, window: 1s}, {name: a, limit: 2, window: 2s}]}",
        "spec.rateLimits[1]: Duplicate value: {\"name\":\"a\"}",
        "{rateLimits: [{name: a, limit: 1, window: 1s}, {name: b, limit: 2, window: 2s}]}",
    ),
    (
        KEY,
        "{rateLimits: [{name: a, limit: 0, window: 1s}]}",
        "spec.rateLimits[0].limit in body should be greater than or equal to 1",
        "{rateLimits: [{name: a, limit: 9007199254740993, window: 1s}]}",
    ),
    (KEY, "{rateLimits: [{name: a, limit: 1}]}", "spec.rateLimits[0].window: Required value", "{rateLimits: []}"),
    (
        KEY,
        "{credits: {remaining: -1}}",
        "spec.credits.remaining in body should be greater than or equal to 0",
        "{credits: {remaining: 0}}",
    ),
    (
        KEY,
        "{credits: {remaining: 1, refill: {interval: monthly, amount: 1}}}",
        "spec.credits.refill.interval: Unsupported value: \"monthly\": supported values: \"Daily\", \"Monthly\"",
        "{credits: {remaining: 1, refill: {interval: Monthly, amount: 1}}}",
    ),
    (
        KEY,
        "{credits: {remaining: 1, refill: {interval: Monthly, amount: 1, day: 32}}}",
        "spec.credits.refill.day in body should be less than or equal to 31",
        "{credits: {remaining: 1, refill: {interval: Monthly, amount: 1, day: 31}}}",
    ),
    (
        KEYS,
        "{key: {generate: {byteLength: 15}}}",
        "byteLength in body should be greater than or equal to 16",
        "{key: {generate: {byteLength: 16}}}",
    ),
    (
        KEYS,
        "{key: {generate: {byteLength: 256}}}",
        "byteLength in body should be less than or equal to 255",
        "{key: {generate: {byteLength: 255}}}",
    ),
    (
        KEYS,
        "{key: {generate: {prefix: a-b}}}",
        "spec.key.generate.prefix in body should match",
        "{key: {generate: {prefix: a_B1}}}",
    ),
    (
        KEYS,
        "{key: {generate: {secretName: A}}}",
        "spec.key.generate.secretName in body should match",
        "{key: {generate: {secretName: a}}}",
    ),
    (
        KEYS,
        "{key: {secretRef: {}}}",
        "spec.key.secretRef.name: Required value",
        "{key: {secretRef: {name: a, key: a.B_c}}}",
    ),
    (
        &["RootKey"],
        "{permissions: [a b]}",
        "spec.permissions[0] in body should match",
        "{permissions: [\"unkey:v1:a:**#*\"]}",
    ),
    (&["Identity"], "{}", "spec.externalId: Required value", "{externalId: a}"),
    (&["KeyPermission"], "{name: a}", "spec.slug: Required value", "{slug: a}"),
    (
        LIMIT,
        "{limit: 1, window: 1s, overrides: [{identifier: a, limit: 0, window: 1s}, {identifier: a, limit: 1, window: 1s}]}",
        "spec.overrides[1]: Duplicate value: {\"identifier\":\"a\"}",
        "{limit: 1, window: 1s, overrides: [{identifier: a, limit: 0, window: 1s}, {identifier: \"*\", limit: 1, window: 1s}]}",
    ),
    (
        LIMIT,
        "{limit: 1, window: 1s, scope: key}",
        "spec.scope: Unsupported value: \"key\"",
        "{limit: 1, window: 1s, scope: Identity}",
    ),
    (
        LIMIT,
        "{limit: 0, window: 1s}",
        "spec.limit in body should be greater than or equal to 1",
        "{limit: 1, window: 1s}",
    ),
    (
        &["Keyspace"],
        "{keyDefaults: {byteLength: 8}}",
        "should be greater than or equal to 16",
        "{keyDefaults: {byteLength: 32}}",
    ),
    (POOL, "{replicas: 1001}", "spec.replicas in body should be less than or equal to 1000", "{replicas: 0}"),
    (POOL, "{storage: {size: much}}", "spec.storage.size in body should match", "{storage: {size: 1.5Gi}}"),
    (
        POOL,
        "{resources: {limits: {cpu: fast}}}",
        "spec.resources.limits.cpu in body should match",
        "{resources: {limits: {cpu: 2, memory: 1Gi}}}",
    ),
    (POOL, "{service: {type: External}}", "spec.service.type: Unsupported value", "{service: {type: LoadBalancer}}"),
    (POOL, "{serves: {namespaces: []}}", "spec.serves.namespaces in body should have at least 1 items", "{serves: {}}"),
    (
        POOL,
        "{serves: {namespaces: [A]}}",
        "spec.serves.namespaces[0] in body should match",
        "{serves: {namespaces: [a]}}",
    ),
    (
        POOL,
        "{podTemplate: []}",
        "spec.podTemplate in body must be of type object",
        "{podTemplate: {spec: {hostNetwork: false}}}",
    ),
];

/// The answer to a dry run: nothing, or the words of the refusal.
async fn refusal(namespace: &Namespace, kind: &str, name: &str, spec: Value) -> Result<Option<String>> {
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    match api_of(kind, namespace).create(&dry_run, &object(kind, name, spec)).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

async fn check(namespace: &Namespace, cases: &[Case]) -> Result<()> {
    for (kinds, bad, words, good) in cases {
        for kind in *kinds {
            let said = refusal(namespace, kind, "a", spec(bad)).await?;
            let said = said.with_context(|| format!("{kind} {bad} was accepted"))?;
            ensure!(said.contains(words), "{kind} {bad} should be refused with {words:?}, not: {said}");
            if let Some(said) = refusal(namespace, kind, "a", spec(good)).await? {
                bail!("{kind} {good} should be accepted: {said}");
            }
        }
    }
    Ok(())
}

async fn rules_refuse_with_their_message(cluster: Arc<Cluster>) -> Result<()> {
    check(&cluster.namespace("rules").await?, RULES).await
}

async fn schemas_refuse_with_field_and_bound(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("schemas").await?;
    check(&namespace, SCHEMAS).await?;
    for (kind, list, most, item) in [
        ("ApiKey", "permissions", 1000, "n#"),
        ("ApiKey", "roles", 100, "n#"),
        ("ApiKey", "rateLimits", 50, "{name: n#, limit: 1, window: 1s}"),
        ("RootKey", "permissions", 1000, "n#"),
        ("KeyRole", "permissions", 1000, "n#"),
        ("Keyspace", "allowedCidrs", 100, "10.0.#.0/24"),
    ] {
        let of = |count: usize| {
            let items: Vec<_> = (0..count).map(|number| item.replace('#', &number.to_string())).collect();
            spec(&format!("{{{list}: [{}]}}", items.join(", ")))
        };
        let said = refusal(&namespace, kind, "a", of(most + 1)).await?.with_context(|| format!("{kind} {list}"))?;
        ensure!(
            said.contains(&format!("spec.{list}: Too many: {}: must have at most {most} items", most + 1)),
            "{said}"
        );
        ensure!(refusal(&namespace, kind, "a", of(most)).await?.is_none(), "{kind} {list} of {most}");
    }
    Ok(())
}

async fn names_that_would_not_fit_are_refused(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("names").await?;
    for (kind, longest, words) in [
        ("ApiKey", 63, "the name must have at most 63 characters, because it labels the key's Secret"),
        ("RootKey", 63, "the name must have at most 63 characters, because it labels the key's Secret"),
        ("VerifyPool", 36, "the name must be at most 36 lower-case letters, digits and dashes"),
    ] {
        let name = |length| "a".repeat(length);
        let said = refusal(&namespace, kind, &name(longest + 1), spec("{}")).await?.context("too long a name")?;
        ensure!(said.contains(words), "{kind}: {said}");
        ensure!(refusal(&namespace, kind, &name(longest), spec("{}")).await?.is_none(), "{kind}");
    }
    let said = refusal(&namespace, "VerifyPool", "a.b", spec("{}")).await?.context("a dot in a pool's name")?;
    ensure!(said.contains("because the pool's StatefulSet and Services are named after it"), "{said}");
    Ok(())
}

/// A rule that somebody adds without a case here, or whose message changes unnoticed, fails this.
async fn every_rule_has_a_case(_: Arc<Cluster>) -> Result<()> {
    let names = ["the name must have at most 63 characters, because", "the name must be at most 36 lower-case letters"];
    let mut words: Vec<&str> =
        RULES.iter().map(|(_, _, words, _)| *words).chain(updates::words()).chain(names).collect();
    // A case may begin with the field and the value.
    for words in &mut words {
        *words = words.rsplit(": ").next().unwrap_or(words);
    }
    let mut messages = BTreeSet::new();
    for crd in keyplane_api::all_crds() {
        collect(&serde_json::to_value(&crd)?, &mut messages);
    }
    let untested: Vec<_> =
        messages.iter().filter(|message| !words.iter().any(|words| message.contains(words))).collect();
    ensure!(untested.is_empty(), "rules without a case: {untested:#?}");
    ensure!(messages.len() > 15, "only {} rules were found", messages.len());
    Ok(())
}

fn collect(value: &Value, messages: &mut BTreeSet<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect(value, messages)),
        Value::Object(fields) => {
            for rule in fields.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
                messages.insert(rule["message"].as_str().unwrap_or("a rule without a message").to_owned());
            }
            fields.values().for_each(|value| collect(value, messages));
        }
        _ => {}
    }
}
