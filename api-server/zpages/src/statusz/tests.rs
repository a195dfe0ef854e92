//! The cases of upstream's `TestHandleStatusz`, and every byte of the bodies.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::response::Response;
use http::Request;
use http::request::Parts;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::{Statusz, root_paths};
use crate::delimiter::Delimiter;
use crate::golden;
use crate::page::plain;

const BETA: &str = "application/json;v=v1beta1;g=config.k8s.io;as=Statusz";
const ALPHA: &str = "application/json;v=v1alpha1;g=config.k8s.io;as=Statusz";
const LISTED: [&str; 5] = [
    "/livez/poststarthook/peer-discovery-cache-sync",
    "/livez/post",
    "/readyz/informer-sync",
    "/readyz/log",
    "/readyz/ping",
];

fn statusz() -> Statusz {
    Statusz {
        component: "test-server".to_owned(),
        start_time: UNIX_EPOCH + Duration::from_secs(1_768_217_860),
        runtime_version: "1.21".to_owned(),
        binary_version: "1.31".to_owned(),
        emulation_version: Some("1.30".to_owned()),
        paths: root_paths(LISTED),
    }
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_768_217_860 + 3661)
}

fn request(uri: &str, headers: &[(&str, &str)]) -> Parts {
    let builder = headers.iter().fold(Request::builder().uri(uri), |it, (name, value)| it.header(*name, *value));
    builder.body(()).unwrap().into_parts().0
}

async fn answered(headers: &[(&str, &str)]) -> (Response<()>, String) {
    read(statusz().answer(&request("/statusz", headers), now())).await
}

async fn read(response: Response) -> (Response<()>, String) {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(parts, ()), String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn the_text_is_this_byte_for_byte() {
    let wanted = "\ntest-server statusz\n\
        Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is \
        for debugging purposes only.\n\
        \n\
        Started: Mon Jan 12 11:37:40 UTC 2026\n\
        Up: 1 hr 01 min 01 sec\n\
        Go version: 1.21\n\
        Binary version: 1.31\n\
        Emulation version: 1.30\n\
        Paths: /livez /readyz\n";
    assert_eq!(statusz().text(now(), Delimiter(":")), wanted);
    let two_spaces = statusz().text(now(), Delimiter(": "));
    assert!(two_spaces.contains("\nUp:  1 hr"), "{two_spaces}");
}

#[tokio::test]
async fn every_form_is_the_golden_one() {
    let text = statusz().text(now(), Delimiter(":"));
    golden::check("statusz.txt", plain(http::StatusCode::OK, text)).await;
    for version in ["v1beta1", "v1alpha1"] {
        for format in ["json", "yaml"] {
            let accept = format!("application/{format};g=config.k8s.io;v={version};as=Statusz");
            let answer = statusz().answer(&request("/statusz", &[("accept", &accept)]), now());
            golden::check(&format!("statusz-{version}.{format}"), answer).await;
        }
    }
    let answer = statusz().answer(&request("/statusz?pretty=1", &[("accept", BETA)]), now());
    golden::check("statusz-v1beta1-pretty.json", answer).await;
    let bare = Statusz { emulation_version: None, paths: Vec::new(), ..statusz() };
    golden::check("statusz-bare.txt", plain(http::StatusCode::OK, bare.text(now(), Delimiter("=")))).await;
    golden::check("statusz-bare.json", bare.answer(&request("/statusz", &[("accept", BETA)]), now())).await;
    for (name, accept) in
        [("406.json", "application/json"), ("406.yaml", "application/yaml"), ("406-raw.json", "application/xml")]
    {
        golden::check(name, statusz().answer(&request("/statusz", &[("accept", accept)]), now())).await;
    }
}

#[test]
fn what_is_missing_leaves_an_empty_line() {
    let statusz = Statusz { emulation_version: None, paths: Vec::new(), ..statusz() };
    let text = statusz.text(now(), Delimiter("="));
    assert!(text.ends_with("\nBinary version= 1.31\n\n\n"), "{text:?}");
}

#[test]
fn values_are_escaped_for_browsers_and_the_name_is_not() {
    let text = Statusz { component: "<&>".to_owned(), binary_version: "1.0+<&>'\"".to_owned(), ..statusz() }
        .text(now(), Delimiter(":"));
    assert!(text.starts_with("\n<&> statusz\n"), "{text}");
    assert!(text.contains("Binary version: 1.0+&lt;&amp;&gt;&#39;&#34;\n"), "{text}");
}

#[test]
fn the_delimiter_is_drawn_for_every_request() {
    let drawn: std::collections::BTreeSet<String> = (0..1000)
        .map(|_| statusz().text(now(), Delimiter::draw()))
        .map(|text| text.lines().find_map(|line| line.strip_prefix("Started")).unwrap()[..3].to_owned())
        .collect();
    assert_eq!(drawn.len(), 4, "{drawn:?}");
}

#[tokio::test]
async fn whoever_names_no_structure_gets_the_text() {
    let bad_version = "application/json;v=foo;g=config.k8s.io;as=Statusz,*/*";
    for accept in [None, Some(""), Some("text/plain"), Some("*/*"), Some(bad_version)] {
        let headers: Vec<_> = accept.iter().map(|accept| ("accept", *accept)).collect();
        let (response, body) = answered(&headers).await;
        assert_eq!(response.status(), 200, "{accept:?}");
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
        assert!(body.starts_with("\ntest-server statusz\nWarning: "), "{accept:?}: {body}");
        assert!(!response.headers().contains_key("warning"));
    }
}

#[tokio::test]
async fn the_structure_is_this_byte_for_byte() {
    let (response, body) = answered(&[("accept", BETA)]).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json;g=config.k8s.io;v=v1beta1;as=Statusz");
    assert!(!response.headers().contains_key("warning"));
    let wanted = r#"{"kind":"Statusz","apiVersion":"config.k8s.io/v1beta1","metadata":{"name":"test-server"},"#
        .to_owned()
        + r#""startTime":"2026-01-12T11:37:40Z","uptimeSeconds":3661,"goVersion":"1.21","binaryVersion":"1.31","#
        + r#""emulationVersion":"1.30","paths":["/livez","/readyz"]}"#
        + "\n";
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn missing_facts_are_left_out_or_null() {
    let statusz = Statusz { emulation_version: None, paths: Vec::new(), ..statusz() };
    let (_, body) = read(statusz.answer(&request("/statusz", &[("accept", BETA)]), now())).await;
    assert!(body.ends_with("\"binaryVersion\":\"1.31\",\"paths\":null}\n"), "{body}");
}

#[tokio::test]
async fn a_clock_that_went_back_gives_no_negative_uptime() {
    let (_, body) = read(statusz().answer(&request("/statusz", &[("accept", BETA)]), UNIX_EPOCH)).await;
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["uptimeSeconds"], json!(0));
}

#[tokio::test]
async fn yaml_has_sorted_keys_and_quotes_what_is_no_string() {
    let yaml = BETA.replace("json", "yaml");
    let (response, body) = answered(&[("accept", &yaml), ("user-agent", "curl/8")]).await;
    assert_eq!(response.headers()["content-type"], "application/yaml;g=config.k8s.io;v=v1beta1;as=Statusz");
    let wanted = "apiVersion: config.k8s.io/v1beta1\nbinaryVersion: \"1.31\"\nemulationVersion: \"1.30\"\n\
        goVersion: \"1.21\"\nkind: Statusz\nmetadata:\n  name: test-server\npaths:\n- /livez\n- /readyz\n\
        startTime: \"2026-01-12T11:37:40Z\"\nuptimeSeconds: 3661\n";
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn a_deprecated_version_carries_a_warning() {
    let warning = "299 - \"This version of the statusz endpoint is deprecated. Please use a newer version.\"";
    for accept in [ALPHA.to_owned(), format!("{ALPHA},{BETA}")] {
        let (response, body) = answered(&[("accept", &accept)]).await;
        assert_eq!(response.headers()["warning"], warning);
        assert_eq!(response.headers()["content-type"], "application/json;g=config.k8s.io;v=v1alpha1;as=Statusz");
        assert!(body.contains("\"apiVersion\":\"config.k8s.io/v1alpha1\""), "{body}");
    }
    let (response, _) = answered(&[("accept", &format!("{BETA},{ALPHA}"))]).await;
    assert!(!response.headers().contains_key("warning"));
}

#[tokio::test]
async fn json_is_indented_for_people() {
    let human = ("user-agent", "curl/8.5.0");
    for (uri, headers, pretty) in [
        ("/statusz", vec![("accept", BETA)], false),
        ("/statusz", vec![("accept", BETA), human], true),
        ("/statusz", vec![("accept", BETA), ("user-agent", "Wget/1")], true),
        ("/statusz", vec![("accept", BETA), ("user-agent", "Mozilla/5.0 (X11)")], true),
        ("/statusz", vec![("accept", BETA), ("user-agent", "Mozilla/4.0")], false),
        ("/statusz?pretty=1", vec![("accept", BETA)], true),
        ("/statusz?pretty=true", vec![("accept", BETA)], true),
        ("/statusz?pretty=yes", vec![("accept", BETA), human], false),
        ("/statusz?pretty=false", vec![("accept", BETA), human], false),
        ("/statusz?p%72etty=1", vec![("accept", BETA)], false),
        ("/statusz?pretty=%31", vec![("accept", BETA)], true),
        ("/statusz?pretty=", vec![("accept", BETA), human], true),
    ] {
        let (_, body) = read(statusz().answer(&request(uri, &headers), now())).await;
        assert_eq!(body.starts_with("{\n  \"kind\": \"Statusz\",\n"), pretty, "{uri} {headers:?}: {body}");
        assert_eq!(body.ends_with('\n'), !pretty, "{uri} {headers:?}");
    }
    let (_, body) = answered(&[("accept", &format!("{BETA};pretty=1"))]).await;
    assert!(body.contains("\n  \"metadata\": {\n    \"name\": \"test-server\"\n  },\n"), "{body}");
}

#[tokio::test]
async fn a_refusal_is_a_status_in_the_form_the_client_reads() {
    let message = "only the following media types are accepted: application/json, application/yaml, text/plain";
    let compact = format!(
        "{{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{{}},\"status\":\"Failure\",\"message\":\"{message}\",\
         \"reason\":\"NotAcceptable\",\"code\":406}}\n"
    );
    let indented = format!(
        "{{\n  \"kind\": \"Status\",\n  \"apiVersion\": \"v1\",\n  \"metadata\": {{}},\n  \"status\": \"Failure\",\n  \
         \"message\": \"{message}\",\n  \"reason\": \"NotAcceptable\",\n  \"code\": 406\n}}"
    );
    let yaml = format!(
        "apiVersion: v1\ncode: 406\nkind: Status\nmessage: '{}\n  text/plain'\nmetadata: {{}}\nreason: NotAcceptable\n\
         status: Failure\n",
        message.strip_suffix(" text/plain").unwrap()
    );
    for (accept, content_type, wanted) in [
        ("application/json", "application/json", &compact),
        ("application/yaml", "application/yaml", &yaml),
        ("application/xml", "application/json", &indented),
        ("application/json;v=v1beta1;g=config.k8s.io", "application/json", &indented),
        ("application/json;pretty=1", "application/json", &indented),
    ] {
        let (response, body) = answered(&[("accept", accept)]).await;
        assert_eq!(response.status(), 406, "{accept}");
        assert_eq!(response.headers()["content-type"], content_type, "{accept}");
        assert_eq!(&body, wanted, "{accept}");
    }
    let (_, body) = answered(&[("accept", "application/json"), ("user-agent", "curl/8")]).await;
    assert_eq!(body, indented);
}

#[tokio::test]
async fn only_the_first_accept_line_counts() {
    let (response, _) = answered(&[("accept", "text/plain"), ("accept", BETA)]).await;
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    let (response, _) = answered(&[("accept", "application/xml"), ("accept", BETA)]).await;
    assert_eq!(response.status(), 406);
}

#[test]
fn paths_are_cut_to_their_first_segment_and_the_product_is_left_out() {
    assert_eq!(root_paths(LISTED), ["/livez", "/readyz"]);
    let product = ["/api", "/apis/apps", "/openapi/v3", "/openid/v1", "/.well-known/x", "/", "", "relative", "/apiz"];
    assert_eq!(root_paths(product), ["/apiz"]);
    assert!(root_paths([]).is_empty());
}
