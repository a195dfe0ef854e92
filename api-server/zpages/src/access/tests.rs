use axum::body::Body;
use axum::routing::any;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;

/// Tokens are names; `reader` may get `/page`, everyone `/public`, and nobody can say of `/unclear`.
struct Names;

impl Reviews for Names {
    fn user<'a>(&'a self, token: &'a str) -> Review<'a, Option<User>> {
        Box::pin(async move {
            match token {
                "bad" => Ok(None),
                "unclear" => Err(ReviewError("no answer".to_owned())),
                "root" => Ok(Some(User { name: "root".into(), groups: vec![MASTERS.into()], ..User::default() })),
                name => Ok(Some(User { name: name.to_owned(), ..User::default() })),
            }
        })
    }

    fn verdict<'a>(&'a self, user: &'a User, verb: &'a str, path: &'a str) -> Review<'a, Verdict> {
        Box::pin(async move {
            let allowed = match path {
                "/unclear" => return Err(ReviewError("no answer".to_owned())),
                "/public" => true,
                "/page" => user.name == "reader" && verb == "get",
                _ => false,
            };
            Ok(Verdict { allowed, reason: String::new() })
        })
    }
}

/// Shows to the test what a page sees of a request.
async fn page(headers: HeaderMap) -> String {
    format!("{:?}", headers.get(AUTHORIZATION))
}

fn router() -> Router {
    Router::new()
        .route("/page", any(page))
        .route("/public", any(page))
        .route("/livez", any(page))
        .fallback(crate::not_found)
}

async fn asked(guard: Guard, method: &str, path: &str, authorization: Option<&str>) -> (u16, String) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let answer = guard.protect(router()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn everyone_gets_what_the_reviews_say() {
    for (method, path, token, status) in [
        ("GET", "/page", None, 403),
        ("GET", "/page", Some("Bearer reader"), 200),
        ("GET", "/page?verbose", Some("Bearer reader"), 200),
        ("HEAD", "/page", Some("Bearer reader"), 403),
        ("OPTIONS", "/page", Some("Bearer reader"), 403),
        ("GET", "/page", Some("Bearer someone"), 403),
        ("GET", "/page", Some("Bearer bad"), 401),
        ("GET", "/page", Some("Bearer unclear"), 401),
        ("GET", "/page", Some("Basic cmVhZGVyOng="), 403),
        ("GET", "/public", None, 200),
        ("GET", "/public", Some("Bearer bad"), 401),
        ("GET", "/unclear", Some("Bearer reader"), 500),
        ("GET", "/unclear", Some("Bearer root"), 404),
        ("DELETE", "/page", Some("Bearer root"), 200),
        ("GET", "/nowhere", None, 403),
        ("GET", "/nowhere", Some("Bearer root"), 404),
        ("GET", "/livez", None, 200),
        ("GET", "/livez", Some("Bearer bad"), 401),
        ("GET", "/livez/ping", None, 403),
        ("GET", "/l%69vez/ping", None, 403),
    ] {
        let (answered, body) = asked(Guard::reviews(Names), method, path, token).await;
        assert_eq!(answered, status, "{method} {path} {token:?}: {body}");
    }
}

#[tokio::test]
async fn what_is_always_allowed_can_be_chosen() {
    let open = || Guard::reviews(Names).with_always_allow_paths(["/page", "/livez/*"]);
    assert_eq!(asked(open(), "PUT", "/page", None).await.0, 200);
    assert_eq!(asked(open(), "GET", "/livez/ping", None).await.0, 404, "let through to the router");
    assert_eq!(asked(open(), "GET", "/livez", None).await.0, 403);
}

#[tokio::test]
async fn a_page_does_not_see_credentials_that_were_used() {
    assert_eq!(asked(Guard::reviews(Names), "GET", "/page", Some("Bearer reader")).await.1, "None");
    let (_, body) = asked(Guard::reviews(Names), "GET", "/public", Some("Basic cmVhZGVyOng=")).await;
    assert!(body.contains("Basic"), "{body}");
}

#[tokio::test]
async fn without_a_cluster_and_an_authority_only_health_is_served() {
    for (path, token, status) in [
        ("/livez", None, 200),
        ("/page", None, 403),
        ("/page", Some("Bearer reader"), 403),
        ("/livez", Some("Bearer reader"), 200),
    ] {
        assert_eq!(asked(Guard::certificates(None).unwrap(), "GET", path, token).await.0, status, "{path} {token:?}");
    }
}

#[test]
fn a_file_that_is_no_authority_is_refused_by_name() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let error = Guard::certificates(Some(file)).err().unwrap().to_string();
    assert!(error.contains("Cargo.toml holds no certificate"), "{error}");
}
