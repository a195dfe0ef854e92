use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;

use super::super::user::User;
use super::*;

async fn answered(refusal: &Refusal, request: http::request::Builder) -> (u16, HeaderMap, String) {
    let answer = refusal.answer(&request.body(()).unwrap().into_parts().0);
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    assert_eq!(parts.headers[CACHE_CONTROL], "no-cache, private");
    assert!(!parts.headers.contains_key(WWW_AUTHENTICATE));
    (parts.status.as_u16(), parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn forbidden(name: &str, path: &str, reason: &str) -> Refusal {
    let user = Arc::new(User { name: name.to_owned(), ..User::default() });
    let attributes = Attributes { user, verb: "get".to_owned(), path: path.to_owned() };
    Refusal::Forbidden { attributes, reason: reason.to_owned() }
}

#[tokio::test]
async fn unauthorized_is_a_status_in_the_clients_format() {
    let compact = "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"Unauthorized\",\"reason\":\"Unauthorized\",\"code\":401}\n";
    let pretty = "{\n  \"kind\": \"Status\",\n  \"apiVersion\": \"v1\",\n  \"metadata\": {},\n  \"status\": \"Failure\",\n  \"message\": \"Unauthorized\",\n  \"reason\": \"Unauthorized\",\n  \"code\": 401\n}";
    let yaml = "apiVersion: v1\ncode: 401\nkind: Status\nmessage: Unauthorized\nmetadata: {}\nreason: Unauthorized\nstatus: Failure\n";
    for (accept, agent, format, body) in [
        (None, "Go-http-client/2.0", "application/json", compact),
        (None, "curl/8.5.0", "application/json", pretty),
        (Some("*/*"), "x", "application/json", compact),
        (Some("application/json"), "x", "application/json", compact),
        (Some("application/yaml"), "x", "application/yaml", yaml),
        (Some("text/plain"), "x", "application/json", pretty),
        (Some("application/json;v=v1beta1;g=config.k8s.io;as=Statusz"), "x", "application/json", pretty),
    ] {
        let mut request = Request::get("/statusz").header("user-agent", agent);
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        let (code, headers, answer) = answered(&Refusal::Unauthorized, request).await;
        assert_eq!((code, headers[CONTENT_TYPE].to_str().unwrap(), answer.as_str()), (401, format, body), "{accept:?}");
        assert!(!headers.contains_key(X_CONTENT_TYPE_OPTIONS));
    }
}

#[tokio::test]
async fn forbidden_names_who_what_and_where() {
    let (code, headers, body) =
        answered(&forbidden("system:anonymous", "/statusz", ""), Request::get("/statusz")).await;
    assert_eq!(code, 403);
    assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
    let message = r#"forbidden: User \"system:anonymous\" cannot get path \"/statusz\""#;
    let wanted = format!(
        "{{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{{}},\"status\":\"Failure\",\"message\":\"{message}\",\"reason\":\"Forbidden\",\"details\":{{}},\"code\":403}}\n"
    );
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn what_a_request_says_is_quoted_and_escaped() {
    let (_, _, body) = answered(&forbidden("a\"<b>\n", "/x&y", "RBAC: because"), Request::get("/x")).await;
    let message = r#"forbidden: User \"a\\\"\u0026lt;b\u0026gt;\\n\" cannot get path \"/x\u0026amp;y\": RBAC: because"#;
    assert!(body.contains(message), "{body}");
}

#[tokio::test]
async fn undecided_is_an_internal_error_that_says_why() {
    let refusal = Refusal::Undecided { error: "connection <refused>".to_owned() };
    let (code, headers, body) = answered(&refusal, Request::get("/statusz?pretty=1")).await;
    assert_eq!((code, headers[CONTENT_TYPE].to_str().unwrap()), (500, "text/plain; charset=utf-8"));
    assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(body, "Internal Server Error: \"/statusz?pretty=1\": connection &lt;refused&gt;\n");
}
