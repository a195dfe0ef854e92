//! The router as a client sees it.

use axum::Router;
use axum::body::Body;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::ZPages;
use crate::{Check, Flags, not_found};

fn pages() -> ZPages {
    ZPages::new("test-server", "v1.2.3").flags(Flags::new().with("listen", "127.0.0.1:1"))
}

async fn send(router: &Router, method: Method, uri: &str) -> (Response<()>, String) {
    let request = Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(parts, ()), String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn every_page_answers_and_forbids_caching() {
    let router = pages().router().fallback(not_found);
    for (path, status) in [
        ("/", 200),
        ("/statusz", 200),
        ("/flagz", 200),
        ("/healthz", 200),
        ("/livez", 200),
        ("/readyz", 200),
        ("/livez/ping", 200),
        ("/readyz/ping", 200),
        ("/healthz/ping", 200),
        ("/metrics", 200),
        ("/metrics/slis", 200),
        ("/version", 200),
        ("/version/", 200),
        ("/configz", 404),
        ("/debug/flags/v", 404),
        ("/debug/pprof/", 404),
        ("/livez/unknown", 404),
        ("/livez/", 404),
        ("/statusz/", 404),
        ("/flagz/", 404),
        ("/nothing", 404),
    ] {
        let (response, body) = send(&router, Method::GET, path).await;
        assert_eq!(response.status().as_u16(), status, "{path}: {body}");
        assert_eq!(response.headers()["cache-control"], "no-cache, private", "{path}");
        if status == 404 {
            assert_eq!(body, "404 page not found\n");
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        }
    }
}

#[tokio::test]
async fn the_method_does_not_matter_except_that_head_has_no_body() {
    let router = pages().router();
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
        for path in ["/statusz", "/flagz", "/livez", "/livez/ping"] {
            let (response, body) = send(&router, method.clone(), path).await;
            assert_eq!(response.status(), StatusCode::OK, "{method} {path}");
            assert!(!body.is_empty() && !response.headers().contains_key("allow"), "{method} {path}");
        }
    }
    let (response, body) = send(&router, Method::HEAD, "/statusz").await;
    assert_eq!((response.status(), body.as_str()), (StatusCode::OK, ""));
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
}

#[tokio::test]
async fn statusz_lists_what_is_mounted_but_not_itself_nor_what_is_for_debugging() {
    let pages = pages().listed("/own/{name}", "an own page").listed("/apis/x", "the product");
    let router = pages.debugging(crate::LogLevels::unchanging("info")).router();
    let (_, body) = send(&router, Method::GET, "/statusz").await;
    let paths = body.lines().last().unwrap();
    assert!(paths.ends_with(" /flagz /healthz /livez /metrics /own /readyz /version"), "{paths}");
    assert!(body.contains("1.2.3\n") && !body.contains("v1.2.3"), "{body}");
    assert!(body.contains(" rustc 1."), "{body}");
}

#[tokio::test]
async fn the_index_names_every_endpoint_and_can_be_left_to_the_program() {
    let (_, body) = send(&pages().listed("/own", "an own page").router(), Method::GET, "/").await;
    for path in [
        "/own ",
        "/version ",
        "/metrics/slis ",
        "/statusz ",
        "/flagz ",
        "/healthz ",
        "/livez ",
        "/readyz ",
        "/metrics ",
    ] {
        assert!(body.lines().any(|line| line.starts_with(path)), "{path} in {body}");
    }
    let own = Router::new().route("/", axum::routing::get(async || "mine"));
    let merged = own.merge(pages().without_index().router()).fallback(async || "fallback");
    assert_eq!(send(&merged, Method::GET, "/").await.1, "mine");
    assert_eq!(send(&merged, Method::GET, "/readyz").await.1, "ok");
    assert_eq!(send(&merged, Method::GET, "/other").await.1, "fallback");
}

#[tokio::test]
async fn checks_appear_on_the_pages_they_belong_to() {
    let router = pages()
        .check(Check::live("poststarthook/loop", || Ok(())))
        .check(Check::ready("sync", || Err("not yet".to_owned())))
        .router();
    for (path, status, body) in [
        ("/healthz?verbose", 200, "[+]ping ok\n[+]poststarthook/loop ok\nhealthz check passed\n"),
        ("/livez?verbose", 200, "[+]ping ok\n[+]poststarthook/loop ok\nlivez check passed\n"),
        ("/readyz", 500, "[+]ping ok\n[-]sync failed: reason withheld\nreadyz check failed\n"),
        ("/livez/poststarthook/loop", 200, "ok"),
        ("/readyz/sync", 500, "internal server error: not yet\n"),
        ("/livez/sync", 404, "404 page not found\n"),
    ] {
        let (response, got) = send(&router, Method::GET, path).await;
        assert_eq!((response.status().as_u16(), got.as_str()), (status, body), "{path}");
    }
}

#[tokio::test]
async fn the_configuration_is_served_under_its_name() {
    let router = pages().configz("a-server", "config.example.dev/v1", "ServerConfiguration").router();
    let (response, body) = send(&router, Method::GET, "/configz").await;
    let wanted = r#"{"a-server":{"kind":"ServerConfiguration","apiVersion":"config.example.dev/v1","#.to_owned()
        + r#""listen":"127.0.0.1:1"}}"#;
    assert_eq!(body, wanted);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn slis_tell_what_the_checks_came_to() {
    let router = pages().check(Check::ready("sync", || Err("not yet".to_owned()))).router();
    let (_, before) = send(&router, Method::GET, "/metrics/slis").await;
    assert!(!before.contains("kubernetes_healthcheck") && before.contains("\nprocess_start_time_seconds "), "{before}");
    send(&router, Method::GET, "/readyz").await;
    send(&router, Method::GET, "/livez").await;
    let (response, body) = send(&router, Method::GET, "/metrics/slis").await;
    let content_type = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
    assert_eq!(response.headers()["content-type"], content_type);
    assert!(response.headers().contains_key("process-start-time-unix"));
    for line in [
        "# TYPE kubernetes_healthcheck gauge",
        r#"kubernetes_healthcheck{name="ping",type="livez"} 1"#,
        r#"kubernetes_healthcheck{name="sync",type="readyz"} 0"#,
        "# HELP kubernetes_healthchecks_total [STABLE] This metric records the results of all healthcheck.",
        "# TYPE kubernetes_healthchecks_total counter",
        r#"kubernetes_healthchecks_total{name="sync",status="error",type="readyz"} 1"#,
    ] {
        assert!(body.lines().any(|found| found == line), "{line} in {body}");
    }
}

#[tokio::test]
async fn the_pages_below_debug_are_there_when_asked_for() {
    let levels = crate::LogLevels::unchanging("info");
    let router = pages().debugging(levels.clone()).router().fallback(not_found);
    for path in ["/debug/flags", "/debug/flags/"] {
        assert_eq!(send(&router, Method::GET, path).await.1, "/debug/flags/\n\nv  info\n");
    }
    let put = async |body: String| {
        let request = Request::builder().method(Method::PUT).uri("/debug/flags/v").body(Body::from(body)).unwrap();
        let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    };
    let answer = "successfully set klog.logging.verbosity to 4\n".to_owned();
    assert_eq!(put("4".to_owned()).await, (200, answer));
    assert_eq!(send(&router, Method::GET, "/debug/flags/").await.1, "/debug/flags/\n\nv  debug\n");
    assert_eq!(put("a=".repeat(1000)).await.0, 400);
    assert_eq!(levels.current(), "debug");

    let (response, _) = send(&router, Method::GET, "/debug/pprof").await;
    assert_eq!(
        (response.status(), &response.headers()["location"]),
        (StatusCode::FOUND, &"/debug/pprof/".parse().unwrap())
    );
    assert!(send(&router, Method::GET, "/debug/pprof/").await.1.contains("\nprofile  "));
    assert_eq!(send(&router, Method::GET, "/debug/pprof/profile?seconds=61").await.0.status(), 400);
    assert_eq!(send(&router, Method::GET, "/debug/pprof/heap").await.0.status(), 404);
}

/// `/version` names the compiler, so its golden form is in its own tests.
#[tokio::test]
async fn the_index_the_configuration_and_the_slis_are_the_golden_ones() {
    let started = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_768_217_860);
    let router = pages()
        .start_time(started)
        .group("debug.example.dev")
        .configz("a-server", "config.example.dev/v1", "ServerConfiguration")
        .check(Check::ready("sync", || Err("not yet".to_owned())))
        .debugging(crate::LogLevels::unchanging("info"))
        .listed("/own", "an own page")
        .router();
    for path in ["/readyz", "/readyz", "/livez"] {
        send(&router, Method::GET, path).await;
    }
    let structure = |format: &str| format!("application/{format};g=debug.example.dev;v=v1alpha1;as=Index");
    for (name, path, accept) in [
        ("index.txt", "/", "text/plain".to_owned()),
        ("index.json", "/", structure("json")),
        ("index.yaml", "/", structure("yaml")),
        ("configz.json", "/configz", "*/*".to_owned()),
        ("slis.txt", "/metrics/slis", "text/plain".to_owned()),
        ("slis.openmetrics", "/metrics/slis", "application/openmetrics-text;version=1.0.0".to_owned()),
    ] {
        let request = Request::builder().uri(path).header("accept", accept).body(Body::empty()).unwrap();
        crate::golden::check(name, router.clone().oneshot(request).await.unwrap()).await;
    }
}
