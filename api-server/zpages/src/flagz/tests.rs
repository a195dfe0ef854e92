//! The cases of upstream's `TestHandleFlagz` and `TestCache`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::Response;
use http::Request;
use http::request::Parts;
use http_body_util::BodyExt;

use super::Flagz;
use crate::delimiter::Delimiter;
use crate::flags::Flags;
use crate::golden;
use crate::page::plain;

const BETA: &str = "application/json;v=v1beta1;g=config.k8s.io;as=Flagz";
const ALPHA: &str = "application/json;v=v1alpha1;g=config.k8s.io;as=Flagz";

fn flagz(flags: Flags) -> Flagz {
    Flagz::new("test-server".to_owned(), Box::new(move || flags.clone()))
}

fn some_flags() -> Flags {
    Flags::new().with("v", "2").with("leader-elect", "true").with("bind", "<a&b>").with("unset", "")
}

fn accepting(accept: &str) -> Parts {
    Request::builder().uri("/flagz").header("accept", accept).body(()).unwrap().into_parts().0
}

async fn read(response: Response) -> (Response<()>, String) {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(parts, ()), String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn the_text_is_this_byte_for_byte() {
    let head = "\ntest-server flagz\n\
        Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is \
        for debugging purposes only.\n";
    let text = flagz(some_flags()).text(Delimiter(": "));
    assert_eq!(text, format!("{head}bind: <a&b>\nleader-elect: true\nunset: \nv: 2\n"));
    assert_eq!(flagz(Flags::new()).text(Delimiter("=")), head);
}

#[tokio::test]
async fn every_form_is_the_golden_one() {
    let long =
        "a value of many words that is longer than the line of eighty characters at which the library begins to fold"
            .to_owned();
    let flags = some_flags()
        .with_secret("password", true)
        .with_secret("token", false)
        .with("database", "postgres://me:secret@host/db")
        .with("filter", "info,hyper=debug: yes")
        .with("long", long)
        .with("quote", "it's \"so\"")
        .with("timeout", "1m30s");
    golden::check("flagz.txt", plain(http::StatusCode::OK, flagz(flags.clone()).text(Delimiter("=")))).await;
    for version in ["v1beta1", "v1alpha1"] {
        for format in ["json", "yaml"] {
            let accept = format!("application/{format};g=config.k8s.io;v={version};as=Flagz");
            golden::check(&format!("flagz-{version}.{format}"), flagz(flags.clone()).answer(&accepting(&accept))).await;
        }
    }
    let answer = flagz(flags).answer(&accepting(&format!("{BETA};pretty=1")));
    golden::check("flagz-v1beta1-pretty.json", answer).await;
    golden::check("flagz-none.json", flagz(Flags::new()).answer(&accepting(BETA))).await;
}

#[tokio::test]
async fn the_text_is_made_once_and_the_structure_every_time() {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let source = move || Flags::new().with("reads", counted.fetch_add(1, Ordering::Relaxed).to_string());
    let flagz = Flagz::new("test-server".to_owned(), Box::new(source));
    let (_, first) = read(flagz.answer(&accepting("text/plain"))).await;
    for _ in 0..100 {
        assert_eq!(read(flagz.answer(&accepting("*/*"))).await.1, first);
    }
    assert_eq!(reads.load(Ordering::Relaxed), 1);
    let (_, structure) = read(flagz.answer(&accepting(BETA))).await;
    assert!(structure.contains("\"reads\":\"1\""), "{structure}");
    let (_, structure) = read(flagz.answer(&accepting(BETA))).await;
    assert!(structure.contains("\"reads\":\"2\""), "{structure}");
}

#[tokio::test]
async fn the_structure_is_this_byte_for_byte() {
    let (response, body) = read(flagz(some_flags()).answer(&accepting(BETA))).await;
    assert_eq!(response.headers()["content-type"], "application/json;g=config.k8s.io;v=v1beta1;as=Flagz");
    let head = r#"{"kind":"Flagz","apiVersion":"config.k8s.io/v1beta1","metadata":{"name":"test-server"}"#;
    let flags = r#""flags":{"bind":"\u003ca\u0026b\u003e","leader-elect":"true","unset":"","v":"2"}"#;
    assert_eq!(body, format!("{head},{flags}}}\n"));
    let (_, body) = read(flagz(Flags::new()).answer(&accepting(BETA))).await;
    assert_eq!(body, format!("{head}}}\n"), "no flags, no field");
}

#[tokio::test]
async fn yaml_keeps_every_value_a_string() {
    let (response, body) = read(flagz(some_flags()).answer(&accepting(&BETA.replace("json", "yaml")))).await;
    assert_eq!(response.headers()["content-type"], "application/yaml;g=config.k8s.io;v=v1beta1;as=Flagz");
    let wanted = "apiVersion: config.k8s.io/v1beta1\nflags:\n  bind: <a&b>\n  leader-elect: \"true\"\n  unset: \"\"\n  \
        v: \"2\"\nkind: Flagz\nmetadata:\n  name: test-server\n";
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn a_deprecated_version_carries_a_warning() {
    let (response, body) = read(flagz(some_flags()).answer(&accepting(ALPHA))).await;
    let warning = "299 - \"This version of the flagz endpoint is deprecated. Please use a newer version.\"";
    assert_eq!(response.headers()["warning"], warning);
    assert!(body.contains("\"apiVersion\":\"config.k8s.io/v1alpha1\""), "{body}");
}

#[tokio::test]
async fn what_is_not_offered_is_refused() {
    let other_page = BETA.replace("Flagz", "Statusz");
    let partly = BETA.replace(";as=Flagz", "");
    for accept in ["application/json", "application/xml", other_page.as_str(), partly.as_str()] {
        let (response, _) = read(flagz(some_flags()).answer(&accepting(accept))).await;
        assert_eq!(response.status(), 406, "{accept}");
    }
    for accept in ["", "text/plain", "*/*", "application/json;v=foo;g=config.k8s.io;as=Flagz,*/*"] {
        let (response, body) = read(flagz(some_flags()).answer(&accepting(accept))).await;
        assert_eq!((response.status().as_u16(), body.starts_with("\ntest-server flagz\n")), (200, true), "{accept}");
    }
}
