//! Who reads the operational pages in a cluster: whom its API server lets, and health everyone. With the rights that the chart and a pool give.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use data_encoding::BASE64;
use http::Method;
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use keyplane_tests::cluster::{OPERATOR_ACCOUNT, SYSTEM_NAMESPACE};
use keyplane_tests::server::http_client;
use keyplane_tests::{Cluster, Identity, Install, Namespace, Server, SharedCluster, Trial, eventually, trials};
use kube::Api;
use kube::api::PostParams;
use reqwest::{Client, RequestBuilder};
use serde_json::Value;

/// Until the API server knows of a new binding, and a program of the authority of client certificates.
const SOON: Duration = Duration::from_secs(20);
/// How long a decision is kept.
const KEPT: Duration = Duration::from_secs(10);
/// What `system:monitoring` may read.
const MONITORED: [&str; 4] = ["/statusz", "/flagz", "/metrics", "/livez/ping"];
/// What it may not: the ClusterRole `keyplane-debug` may.
const OURS: [&str; 6] = ["/", "/configz", "/cachez", "/feedz", "/keyz/key_1", "/debug/flags/v"];
/// Known once a program lets `system:masters` in: then it knows the authority.
const ROOT: &str = "system:masters";

pub(crate) fn trials(cluster: &SharedCluster) -> Vec<Trial> {
    trials![cluster;
        strangers_see_health_and_nothing_else,
        a_token_reads_what_its_account_may,
        a_certificate_reads_what_its_person_may,
        a_verify_pod_asks_with_the_rights_of_its_pool,
        monitoring_gets_our_own_pages_by_choice_only,
        the_readme_tells_how_to_read_them,
        decisions_are_kept_and_without_the_api_server_nobody_new_reads,
    ]
}

async fn strangers_see_health_and_nothing_else(cluster: Arc<Cluster>) -> Result<()> {
    let operator = guarded_operator(&cluster.namespace("pages-strangers").await?).await?;
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(answer(operator.http().get(operator.ops_url(path))).await?, (200, "ok".to_owned()), "{path}");
    }
    for path in MONITORED.into_iter().chain(OURS).chain(["/nowhere"]) {
        let (status, body) = answer(operator.http().get(operator.ops_url(path))).await?;
        assert_eq!((status, body), (403, forbidden("system:anonymous", "get", path)), "{path}");
    }
    for path in ["/statusz", "/livez"] {
        let stranger = operator.http().get(operator.ops_url(path)).bearer_auth("a-token-of-nobody").send().await?;
        assert_eq!(stranger.status(), 401, "{path}");
        assert!(stranger.headers().get("www-authenticate").is_none());
        assert_eq!(stranger.headers()["cache-control"], "no-cache, private");
        assert_eq!(stranger.text().await?, UNAUTHORIZED);
    }
    // As the API server itself answers it.
    let theirs = operator.http().get(format!("{}/statusz", cluster.control_plane().endpoint().url));
    assert_eq!(answer(theirs.bearer_auth("a-token-of-nobody")).await?, (401, UNAUTHORIZED.to_owned()));
    let log = operator.log()?;
    assert!(!log.contains("a-token-of-nobody"), "{log}");
    Ok(())
}

async fn a_token_reads_what_its_account_may(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("pages-tokens").await?;
    let operator = guarded_operator(&namespace).await?;
    let (nobody, monitor) =
        (account(&namespace, "nobody", None).await?, account(&namespace, "monitor", Some(MONITOR)).await?);
    let debugger = account(&namespace, "debugger", Some(DEBUG)).await?;
    let ask = |method: Method, path: &str, token: &str| {
        let request = operator.http().request(method, operator.ops_url(path)).bearer_auth(token);
        answer(request)
    };
    let name = |account: &str| format!("system:serviceaccount:{}:{account}", namespace.name());
    for path in MONITORED {
        let refused = ask(Method::GET, path, &nobody).await?;
        assert_eq!(refused, (403, forbidden(&name("nobody"), "get", path)));
        assert_eq!(ask(Method::GET, path, &monitor).await?.0, 200, "{path}");
        assert_eq!(ask(Method::GET, path, &debugger).await?.0, 403, "{path}");
    }
    for path in OURS {
        assert_eq!(ask(Method::GET, path, &monitor).await?, (403, forbidden(&name("monitor"), "get", path)));
        let (status, body) = ask(Method::GET, path, &debugger).await?;
        assert!(![401, 403, 500].contains(&status), "{path}: {status} {body}");
    }
    // The method is the verb, and `get` is all that they may.
    for (method, verb) in [(Method::HEAD, "head"), (Method::OPTIONS, "options"), (Method::POST, "post")] {
        let (status, body) = ask(method.clone(), "/statusz", &monitor).await?;
        let wanted = if method == Method::HEAD { String::new() } else { forbidden(&name("monitor"), verb, "/statusz") };
        assert_eq!((status, body), (403, wanted));
    }
    let (status, body) = ask(Method::PUT, "/debug/flags/v", &monitor).await?;
    assert_eq!((status, body), (403, forbidden(&name("monitor"), "put", "/debug/flags/v")));
    let log = operator.log()?;
    assert!([nobody, monitor, debugger].iter().all(|token| !log.contains(token)), "a token in the log");
    Ok(())
}

async fn a_certificate_reads_what_its_person_may(cluster: Arc<Cluster>) -> Result<()> {
    let operator = guarded_operator(&cluster.namespace("pages-people").await?).await?;
    let control_plane = cluster.control_plane();
    let root = person(&control_plane.user("pages-root", Some(ROOT))?)?;
    let authority = || async { anyhow::Ok(answer(root.get(operator.ops_url("/statusz"))).await?.0 == 200) };
    eventually("the program knows the cluster's authority", SOON, authority).await?;
    let alice = person(&control_plane.user("pages-alice", None)?)?;
    let monitor = person(&control_plane.user("pages-monitor", Some("system:monitoring"))?)?;
    for path in MONITORED {
        let refused = answer(alice.get(operator.ops_url(path))).await?;
        assert_eq!(refused, (403, forbidden("pages-alice", "get", path)));
        assert_eq!(answer(monitor.get(operator.ops_url(path))).await?.0, 200, "{path}");
    }
    for path in OURS {
        assert_eq!(answer(monitor.get(operator.ops_url(path))).await?.0, 403, "{path}");
        assert_ne!(answer(root.get(operator.ops_url(path))).await?.0, 403, "{path}");
    }
    // The certificate of another authority, alone and beside a token that is good.
    let strange = keyplane_tests::pki::Authority::new()?.client("pages-root", Some(ROOT))?;
    let strange = identified(&format!("{}{}", strange.certificate, strange.key))?;
    assert_eq!(answer(strange.get(operator.ops_url("/statusz"))).await?, (401, UNAUTHORIZED.to_owned()));
    let token = token(&cluster.service_account(SYSTEM_NAMESPACE, OPERATOR_ACCOUNT).await?)?;
    let (status, body) = answer(strange.get(operator.ops_url("/statusz")).bearer_auth(token)).await?;
    let name = format!("system:serviceaccount:{SYSTEM_NAMESPACE}:{OPERATOR_ACCOUNT}");
    assert_eq!((status, body), (403, forbidden(&name, "get", "/statusz")));
    Ok(())
}

async fn a_verify_pod_asks_with_the_rights_of_its_pool(cluster: Arc<Cluster>) -> Result<()> {
    let namespace = cluster.namespace("pages-pod").await?;
    let _operator = namespace.operator("a").await?.start().await?;
    let pool = format!("{{serves: {{namespaces: [{}]}}}}", namespace.name());
    let pool =
        format!("{{apiVersion: keyplane.dev/v1alpha1, kind: VerifyPool, metadata: {{name: edge}}, spec: {pool}}}");
    namespace.kubectl().apply(&pool).await?;
    let identity = namespace.pool_account("edge").await?;
    let set = namespace.api::<k8s_openapi::api::apps::v1::StatefulSet>();
    // Made last: all rights are there.
    eventually("the pool has pods", SOON, || async { set.get_opt("keyplane-verify-edge").await }).await?;
    let pod = namespace.verify_pod("pod-0", &identity)?.over_tls().start().await?;
    let (nobody, monitor) =
        (account(&namespace, "nobody", None).await?, account(&namespace, "monitor", Some(MONITOR)).await?);
    let ask = |path: &str, token: &str| answer(pod.http().get(pod.ops_url(path)).bearer_auth(token));
    for path in MONITORED {
        assert_eq!(ask(path, &monitor).await?.0, 200, "{path}");
        assert_eq!(ask(path, &nobody).await?.0, 403, "{path}");
        assert_eq!(ask(path, "a-token-of-nobody").await?.0, 401, "{path}");
    }
    for path in OURS {
        assert_eq!(ask(path, &monitor).await?.0, 403, "{path}");
    }
    let root = person(&cluster.control_plane().user("pages-pod-root", Some(ROOT))?)?;
    let authority = || async { anyhow::Ok(answer(root.get(pod.ops_url("/statusz"))).await?.0 == 200) };
    eventually("the pod knows the cluster's authority", SOON, authority).await?;
    let log = pod.log()?;
    assert!(!log.to_lowercase().contains("forbidden"), "{log}");
    Ok(())
}

async fn monitoring_gets_our_own_pages_by_choice_only(cluster: Arc<Cluster>) -> Result<()> {
    // Rendered, not applied: the group is the whole cluster's.
    let chart = keyplane_tests::workspace::root().join("charts/keyplane");
    let rendered = async |args: &[&str]| cluster.helm().template("keyplane", &chart, SYSTEM_NAMESPACE, args).await;
    assert!(!rendered(&[]).await?.contains("name: system:monitoring"));
    let chosen = rendered(&["--set", "debugPages.grantToMonitoring=true"]).await?;
    let binding = chosen.split("---\n").find(|object| object.contains("name: system:monitoring"));
    let binding = binding.context("no binding of the group")?;
    assert!(binding.contains("kind: ClusterRoleBinding") && binding.contains("name: keyplane-debug\n"), "{binding}");
    Ok(())
}

async fn the_readme_tells_how_to_read_them(cluster: Arc<Cluster>) -> Result<()> {
    let operator = guarded_operator(&cluster.namespace("pages-readme").await?).await?;
    let readme = std::fs::read_to_string(keyplane_tests::workspace::root().join("README.md"))?;
    let block = readme
        .split("tests/kube/page_access.rs runs this block")
        .nth(1)
        .context("README.md does not name this test")?;
    let block =
        block.split("```").nth(1).and_then(|block| block.strip_prefix("sh\n")).context("no block of commands")?;
    // There are no pods here to forward to, and the new right may take a moment.
    let there = operator.ops_url("");
    let (before, after) = block.split_once("TOKEN=").context("no token")?;
    let before = before.lines().filter(|line| !line.contains("port-forward")).collect::<Vec<_>>().join("\n");
    let wait = format!(
        "{before}\nuntil kubectl auth can-i get /statusz --as=system:serviceaccount:keyplane-system:page-reader; do :; done"
    );
    let script =
        format!("{wait}\nTOKEN={}", after.replace("https://127.0.0.1:8081", &there).replace(" | jq .flags", ""));
    ensure!(!script.contains("8081"), "a port of the README was not replaced");
    let programs = cluster.assets().kubectl.parent().context("kubectl has a folder")?;
    let output = tokio::process::Command::new("bash")
        .args(["-euo", "pipefail", "-c", &format!("PATH=\"{}:$PATH\"\n{script}", programs.display())])
        .env("KUBECONFIG", cluster.control_plane().admin().kubeconfig())
        .kill_on_drop(true)
        .output()
        .await?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "the README's commands failed\n{stdout}\n{stderr}");
    for shown in ["keyplane-operator statusz", "process_start_time_seconds", "\"ops-listen\": \"127.0.0.1:"] {
        ensure!(stdout.contains(shown), "{shown} is not shown\n{stdout}\n{stderr}");
    }
    Ok(())
}

async fn decisions_are_kept_and_without_the_api_server_nobody_new_reads(_shared: Arc<Cluster>) -> Result<()> {
    let cluster = Cluster::start(Install::CrdsAndChart).await?;
    let namespace = cluster.namespace("pages-outage").await?;
    // A pod with the operator's rights: the operator itself ends when it can't renew its lease.
    let identity = cluster.service_account(SYSTEM_NAMESPACE, OPERATOR_ACCOUNT).await?;
    let pod = namespace.verify_pod("pod-0", &identity)?.over_tls().start().await?;
    let control_plane = cluster.control_plane();
    let (known, unseen) =
        (account(&namespace, "known", Some(MONITOR)).await?, account(&namespace, "unseen", Some(MONITOR)).await?);
    let root = person(&control_plane.user("root", Some(ROOT))?)?;
    let monitor = person(&control_plane.user("monitor", Some("system:monitoring"))?)?;
    let authority = || async { anyhow::Ok(answer(root.get(pod.ops_url("/statusz"))).await?.0 == 200) };
    eventually("the program knows the cluster's authority", SOON, authority).await?;

    let (before, began) = (Reviews::of(&cluster).await?, Instant::now());
    let requests = 50;
    for _ in 0..requests {
        let request = pod.http().get(pod.ops_url("/statusz")).bearer_auth(&known);
        assert_eq!(answer(request).await?.0, 200);
    }
    // One of each, and one more for each span after which a decision ends: the machine may have stood still.
    let most = 1 + began.elapsed().as_secs() / KEPT.as_secs();
    let after = Reviews::of(&cluster).await?;
    let asked = (after.tokens - before.tokens, after.rights - before.rights);
    assert!((1..=most).contains(&asked.0) && (1..=most).contains(&asked.1), "{requests} requests: {asked:?} reviews");

    control_plane.stop_api();
    let token = pod.http().get(pod.ops_url("/statusz")).bearer_auth(&unseen);
    assert_eq!(answer(token).await?, (401, UNAUTHORIZED.to_owned()), "whose token it is can't be said");
    let (status, body) = answer(monitor.get(pod.ops_url("/statusz?verbose"))).await?;
    assert_eq!(status, 500, "what a person may can't be said: {body}");
    assert!(body.starts_with("Internal Server Error: \"/statusz?verbose\": ") && body.ends_with('\n'), "{body}");
    assert_eq!(answer(pod.http().get(pod.ops_url("/flagz"))).await?.0, 500, "nor what a stranger may");
    assert_eq!(
        answer(root.get(pod.ops_url("/statusz"))).await?.0,
        200,
        "who may do everything need not be asked about"
    );
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(answer(pod.http().get(pod.ops_url(path))).await?.0, 200, "{path}");
    }

    control_plane.start_api().await?;
    // A failure is not kept: the next request asks again, over a new connection if need be.
    eventually("the API server is asked again", SOON, || async {
        let token = pod.http().get(pod.ops_url("/statusz")).bearer_auth(&unseen);
        let (by_token, by_person) = (answer(token).await?.0, answer(monitor.get(pod.ops_url("/statusz"))).await?.0);
        ensure!((by_token, by_person) == (200, 200), "{by_token} {by_person}");
        Ok(())
    })
    .await
}

const UNAUTHORIZED: &str = "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"Unauthorized\",\"reason\":\"Unauthorized\",\"code\":401}\n";

/// The body of a 403.
fn forbidden(user: &str, verb: &str, path: &str) -> String {
    let message = format!(r#"forbidden: User \"{user}\" cannot {verb} path \"{path}\""#);
    format!(
        "{{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{{}},\"status\":\"Failure\",\"message\":\"{message}\",\"reason\":\"Forbidden\",\"details\":{{}},\"code\":403}}\n"
    )
}

async fn guarded_operator(namespace: &Namespace) -> Result<Server> {
    namespace.operator("a").await?.over_tls().start().await
}

async fn answer(request: RequestBuilder) -> Result<(u16, String)> {
    let answer = request.send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

const MONITOR: &str = "system:monitoring";
const DEBUG: &str = "keyplane-debug";

/// The token of a new ServiceAccount, bound to a ClusterRole. Returns when the API server knows of the binding: a refusal would be kept.
async fn account(namespace: &Namespace, name: &str, role: Option<&str>) -> Result<String> {
    namespace.kubectl().run(&["create", "serviceaccount", name]).await?;
    let identity = namespace.cluster().service_account(namespace.name(), name).await?;
    if let Some(role) = role {
        let binding = format!("{}-{name}", namespace.name());
        let (role_flag, subject) =
            (format!("--clusterrole={role}"), format!("--serviceaccount={}:{name}", namespace.name()));
        namespace.kubectl().run(&["create", "clusterrolebinding", &binding, &role_flag, &subject]).await?;
        let user = format!("system:serviceaccount:{}:{name}", namespace.name());
        let path = if role == DEBUG { "/keyz/any" } else { "/statusz" };
        eventually(format!("{user} may read {path}"), SOON, || allowed(namespace, &user, path)).await?;
    }
    token(&identity)
}

async fn allowed(namespace: &Namespace, user: &str, path: &str) -> Result<bool> {
    let wanted = NonResourceAttributes { path: Some(path.to_owned()), verb: Some("get".to_owned()) };
    let spec = SubjectAccessReviewSpec {
        user: Some(user.to_owned()),
        non_resource_attributes: Some(wanted),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let answer = Api::all(namespace.client()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// What an identity's kubeconfig says about its user.
fn user_in(kubeconfig: &Path) -> Result<Value> {
    let config: Value = serde_json::from_str(&std::fs::read_to_string(kubeconfig)?)?;
    Ok(config["users"][0]["user"].clone())
}

fn token(identity: &Identity) -> Result<String> {
    let user = user_in(identity.kubeconfig())?;
    Ok(user["token"].as_str().context("no token")?.to_owned())
}

/// A client with the certificate of a person.
fn person(identity: &Identity) -> Result<Client> {
    let user = user_in(identity.kubeconfig())?;
    let mut pem = String::new();
    for field in ["client-certificate-data", "client-key-data"] {
        let data = BASE64.decode(user[field].as_str().context("no certificate")?.as_bytes())?;
        pem.push_str(&String::from_utf8(data)?);
    }
    identified(&pem)
}

fn identified(pem: &str) -> Result<Client> {
    http_client(Client::builder().identity(reqwest::Identity::from_pem(pem.as_bytes())?))
}

/// How many reviews an API server has answered.
struct Reviews {
    tokens: u64,
    rights: u64,
}

impl Reviews {
    async fn of(cluster: &Cluster) -> Result<Self> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        let metrics = cluster.client().await?.request_text(request).await?;
        let count = |resource: &str| {
            let label = format!("resource=\"{resource}\"");
            let lines =
                metrics.lines().filter(|line| line.starts_with("apiserver_request_total{") && line.contains(&label));
            lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
        };
        Ok(Self { tokens: count("tokenreviews"), rights: count("subjectaccessreviews") })
    }
}
