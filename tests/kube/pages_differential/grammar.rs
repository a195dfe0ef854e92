//! The grammar from which probes are drawn: requests as clients send them, and as they should not.
//!
//! Written as proptest strategies, drawn with a fixed seed: the same probes at every run.

use http::Method;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::judge::Judge;
use super::probe::Probe;

const KINDS: [&str; 2] = ["Statusz", "Flagz"];

/// Any probe that a judge is asked.
pub(super) fn probe(judge: Judge) -> BoxedStrategy<Probe> {
    let page =
        (method(), target(judge), accept_lines(), other_headers()).prop_map(|(method, target, accepts, others)| {
            let accepts = accepts.into_iter().map(|value| ("accept", value));
            Probe { method, target, headers: accepts.chain(others).collect(), body: "" }
        });
    prop_oneof![25 => page, 1 => log_level()].boxed()
}

/// What sets the verbosity of the log. Never above 0: the judge is shared, and a talkative one is slow.
fn log_level() -> impl Strategy<Value = Probe> {
    let path = select(vec![
        "/debug/flags/v",
        "/debug/flags/v",
        "/debug/flags/v",
        "/debug/flags/none",
        "/debug/flags/v/",
        "/debug/flags/v?x",
    ]);
    let method =
        select(vec![Method::PUT, Method::PUT, Method::PUT, Method::GET, Method::POST, Method::HEAD, Method::DELETE]);
    let bodies = [
        "0",
        "0",
        "00",
        "-0",
        "+0",
        "",
        " ",
        " 0",
        "0\n",
        "x",
        "-1",
        "0x",
        "0x0",
        "1.5",
        "99999999999999999999",
        "-99999999999999999999",
        "4294967296",
        "é",
        "\u{7}\"'",
        "0 0",
    ];
    (path, method, select(bodies.to_vec())).prop_map(|(path, method, body)| Probe::get(path).sends(method, body))
}

fn method() -> impl Strategy<Value = Method> {
    let spelled = |name: &str| Method::from_bytes(name.as_bytes()).expect("a token");
    prop_oneof![
        14 => Just(Method::GET),
        3 => Just(Method::HEAD),
        3 => select(["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get", "FETCH"].map(spelled).to_vec()),
    ]
}

fn target(judge: Judge) -> impl Strategy<Value = String> {
    (path(judge), query()).prop_map(|(path, query)| path + &query)
}

fn path(judge: Judge) -> BoxedStrategy<String> {
    let pages = select(vec!["/statusz", "/flagz"]).prop_map(str::to_owned);
    let roots = judge.health_roots();
    let checks = [
        "",
        "",
        "",
        "/ping",
        "/ping",
        "/%70ing",
        "/ping/",
        "/",
        "//ping",
        "/PING",
        "/unknown",
        "/un/known",
        "/ping%2Fx",
    ];
    let health = (select(roots.to_vec()), select(checks.to_vec())).prop_map(|(root, check)| format!("/{root}{check}"));
    let others = judge.other_paths().to_vec();
    prop_oneof![
        12 => pages,
        3 => health,
        2 => select(others).prop_map(str::to_owned),
        1 => misspelled(),
    ]
    .boxed()
}

/// Paths that are almost those of pages.
fn misspelled() -> impl Strategy<Value = String> {
    let page = select(vec!["statusz", "flagz"]);
    let form = select(vec![
        "/P/", "//P", "/./P", "/x/../P", "/P/.", "/P%2f", "/P%20", "/P%00", "/p/P", "/P;a=b", "/%50", "/P~", "/P.json",
    ]);
    let upper = any::<bool>();
    (page, form, upper).prop_map(|(page, form, upper)| {
        let page = if upper { page.to_uppercase() } else { page.to_owned() };
        // The first letter as an escape: the same path to whoever decodes it.
        let escaped = format!("%{:x}{}", page.as_bytes()[0], &page[1..]);
        form.replace("%50", &escaped).replace('P', &page)
    })
}

fn query() -> impl Strategy<Value = String> {
    let pair = select(vec![
        "pretty",
        "pretty=",
        "pretty=1",
        "pretty=0",
        "pretty=t",
        "pretty=T",
        "pretty=true",
        "pretty=True",
        "pretty=tRUE",
        "pretty=false",
        "pretty=yes",
        "pretty=%31",
        "pretty=+1",
        "pretty=1;x",
        "pretty=%zz",
        "Pretty=1",
        "p%72etty=1",
        "verbose",
        "verbose=false",
        "verbose=1;2",
        "Verbose",
        "exclude=ping",
        "exclude=p%69ng",
        "exclude=+ping",
        "exclude=PING",
        "exclude=ping,none",
        "exclude=none",
        "exclude=b%22q%5C",
        "exclude=%c3%a9",
        "exclude=%ff",
        "exclude=%07%0a%00%7f",
        "exclude=%e2%80%a8%ef%bb%bf%f0%9f%98%80",
        "exclude=%c2%a0%c2%ad%f3%a0%80%81",
        "exclude=",
        "exclude",
        "timeout=5s",
        "timeout=x",
        "watch=true",
        "",
        "%",
        "a=b=c",
        "%7B%22x%22%7D",
    ]);
    prop_oneof![
        6 => Just(String::new()),
        5 => prop::collection::vec(pair, 1..5).prop_map(|pairs| format!("?{}", pairs.join("&"))),
        1 => Just("?".to_owned()),
    ]
}

fn other_headers() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    let agent = prop_oneof![
        5 => Just(None),
        4 => select(vec!["curl/8.5.0", "Wget/1.21", "Mozilla/5.0 (X11)", "Mozilla/4.0", "Curl/8", "xcurl", "curl", "", "kube-probe/1.36"]).prop_map(Some),
    ];
    let encoding = prop_oneof![5 => Just(None), 1 => select(vec!["gzip", "gzip, deflate, br", "identity;q=0", "*"]).prop_map(Some)];
    (agent, encoding).prop_map(|(agent, encoding)| {
        let agent = agent.map(|value| ("user-agent", value.as_bytes().to_vec()));
        agent.into_iter().chain(encoding.map(|value| ("accept-encoding", value.as_bytes().to_vec()))).collect()
    })
}

/// None, one or several `Accept` lines.
fn accept_lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let lines = prop_oneof![1 => 0..1_usize, 18 => 1..2_usize, 1 => 2..3_usize];
    lines.prop_flat_map(|number| prop::collection::vec(accept(), number))
}

fn accept() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![1 => 0..1_usize, 8 => 1..2_usize, 5 => 2..4_usize, 3 => 4..13_usize, 1 => 13..16_usize];
    let comma = select(vec![",", ",", ", ", " ,", ",,", ",\t", ", ,"]);
    let clauses = number.prop_flat_map(|number| prop::collection::vec(clause(), number));
    let foreign =
        prop_oneof![40 => Just(None), 1 => select(vec![&b"\xff"[..], "é".as_bytes(), b"\x80"]).prop_map(Some)];
    (clauses, comma, foreign).prop_map(|(clauses, comma, foreign)| {
        let mut line = clauses.join(comma).into_bytes();
        let middle = line.len() / 2;
        line.splice(middle..middle, foreign.unwrap_or_default().iter().copied());
        line
    })
}

/// A media range with its parameters, such as `application/json;v=v1beta1;g=config.k8s.io;as=Statusz;q=0.5`.
fn clause() -> impl Strategy<Value = String> {
    let semicolon = select(vec![";", ";", ";", "; ", " ;", ";;", " ; ", ";\t"]);
    let around = select(vec!["", "", "", "", " ", "\t"]);
    (range(), parameters(), semicolon, around).prop_map(|(range, parameters, semicolon, around)| {
        let parts: Vec<String> = std::iter::once(range).chain(parameters).collect();
        format!("{around}{}{around}", parts.join(semicolon))
    })
}

fn range() -> impl Strategy<Value = String> {
    let offered = select(vec!["application/json", "application/json", "application/yaml", "text/plain"]);
    let wild = select(vec!["*/*", "application/*", "text/*", "*"]);
    let foreign = select(vec![
        "application/xml",
        "application/cbor",
        "application/vnd.kubernetes.protobuf",
        "application/vnd.kubernetes.protobuf;type=x",
        "application/json-seq",
        "application/apply-patch+yaml",
        "text/html",
        "image/png",
        "application/openmetrics-text",
    ]);
    let odd = select(vec![
        "Application/JSON",
        "application/JSON",
        "TEXT/plain",
        "application /json",
        "application/ json",
        " application / yaml ",
        "application/json/",
        "application/json/x",
        "/json",
        "application/",
        "/",
        "//",
        "json",
        "*/json",
        "*/plain",
        "**",
        "* / *",
        "*/",
        "",
        " ",
        "\"application/json\"",
        "application/json application/yaml",
        "text/plain*",
    ]);
    prop_oneof![10 => offered, 4 => wild, 3 => foreign, 2 => odd].prop_map(str::to_owned)
}

fn parameters() -> impl Strategy<Value = Vec<String>> {
    let few = prop::collection::vec(extra(), 0..3);
    let complete = (kind_of_structure(), few).prop_map(|(mut all, extras)| {
        all.extend(extras);
        all
    });
    let partial = kind_of_structure().prop_flat_map(|all| subsequence(all, 0..3));
    prop_oneof![
        7 => complete,
        2 => partial,
        3 => prop::collection::vec(extra(), 1..3),
        4 => Just(Vec::new()),
    ]
    .prop_shuffle()
}

/// Group, version and kind, mostly right.
fn kind_of_structure() -> impl Strategy<Value = Vec<String>> {
    let group = prop_oneof![12 => Just("config.k8s.io"), 1 => select(vec!["", "apps", "CONFIG.k8s.io", "meta.k8s.io"])];
    let version = prop_oneof![8 => Just("v1beta1"), 5 => Just("v1alpha1"), 1 => select(vec!["v1", "", "V1BETA1", "v1beta1,", "__internal"])];
    let kind =
        prop_oneof![12 => select(KINDS.to_vec()), 1 => select(vec!["Table", "statusz", "", "StatuszList", "Status"])];
    (written("g", group), written("v", version), written("as", kind))
        .prop_map(|(group, version, kind)| vec![group, version, kind])
}

/// `name=value`, now and then not quite.
fn written(name: &'static str, value: impl Strategy<Value = &'static str>) -> impl Strategy<Value = String> {
    let form = prop_oneof![
        30 => Just("N=V"),
        2 => select(vec!["N =V", "N= V", " N = V ", "N=V ", "N=V\t", "N\t=V"]),
        1 => select(vec!["N=\"V\"", "N='V'", "N=V=", "N==V", "N=V=V", "N", "N=", "N V", "=V", "N=V;N=V", "N=;N=V", "N=V;N=x"]),
    ];
    let upper = prop_oneof![20 => Just(false), 1 => Just(true)];
    (value, form, upper).prop_map(move |(value, form, upper)| {
        let name = if upper { name.to_uppercase() } else { name.to_owned() };
        form.replace('N', "\u{1}").replace('V', value).replace('\u{1}', &name)
    })
}

fn extra() -> impl Strategy<Value = String> {
    let quality = select(vec![
        "1",
        "0",
        "0.5",
        "0.9",
        "0.25",
        "0.001",
        "1.0",
        "2",
        "-1",
        "-0",
        ".5",
        "5.",
        "+0.5",
        "1e0",
        "1e-1",
        "1e99",
        "-1e99",
        "1e-99",
        "NaN",
        "nan",
        "+nan",
        "-NaN",
        "inf",
        "-inf",
        "+Inf",
        "Infinity",
        "infinit",
        "0x1p-1",
        "0X.8p0",
        "0x1",
        "1_0",
        "0_.5",
        "0x_1p-1",
        "1e",
        "e1",
        "",
        "high",
        "0,5",
        "0.5x",
        "0.50000001",
        "0.5000000001",
        "٠",
        "1f",
        "0b1",
    ]);
    let quality = written("q", quality);
    let other = select(vec![
        "charset=utf-8",
        "charset=latin1",
        "pretty=1",
        "pretty=0",
        "pretty=true",
        "Pretty=1",
        "stream=watch",
        "stream=",
        "stream==",
        "stream=x",
        "stream= ",
        "sv=1",
        "sv=",
        "sv==",
        "profile=x",
        "export=1",
        "level=1",
        "unknown",
        "unknown=",
        "=x",
        "",
        " ",
        "=",
        "==",
        "escaping=dots",
        "version=0.0.4",
    ]);
    prop_oneof![quality, other.prop_map(str::to_owned)]
}
