//! The router as a client sees it.

use axum::Router;
use axum::body::Body;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::{ZPages, not_found};
use crate::{Check, Flags};

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
async fn statusz_lists_what_is_mounted_but_not_itself() {
    let router = pages().listed("/debug/flags/v", "log level").listed("/apis/x", "the product").router();
    let (_, body) = send(&router, Method::GET, "/statusz").await;
    let paths = body.lines().last().unwrap();
    assert!(paths.ends_with(" /debug /flagz /healthz /livez /metrics /readyz"), "{paths}");
    assert!(body.contains("1.2.3\n") && !body.contains("v1.2.3"), "{body}");
    assert!(body.contains(" rustc 1."), "{body}");
}

#[tokio::test]
async fn the_index_names_every_endpoint_and_can_be_left_to_the_program() {
    let (_, body) = send(&pages().listed("/version", "the version").router(), Method::GET, "/").await;
    for path in ["/version ", "/statusz ", "/flagz ", "/healthz ", "/livez ", "/readyz ", "/metrics "] {
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
