//! A page of a program's own, as a client sees it.

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use serde::Serialize;
use tower::ServiceExt;

use crate::{Lines, NotFound, Page, PageKind, PageVersion, ZPages};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Queuez {
    queued_items: u64,
    workers: Vec<Worker>,
    last_error: Option<String>,
}

#[derive(Serialize)]
struct Worker {
    name: String,
    busy: bool,
}

impl Page for Queuez {
    const KIND: &'static PageKind = &PageKind {
        group: "debug.example.dev",
        kind: "Queuez",
        versions: &[PageVersion { name: "v1alpha1", deprecated: false }],
    };

    fn text(&self) -> String {
        let mut lines = Lines::new();
        lines.fact("Queued", self.queued_items);
        lines.table(["WORKER", "BUSY"], self.workers.iter().map(|it| [it.name.clone(), it.busy.to_string()]));
        lines.into_text()
    }
}

fn queue(name: &str) -> Queuez {
    let workers = vec![Worker { name: name.to_owned(), busy: true }, Worker { name: "b".to_owned(), busy: false }];
    Queuez { queued_items: 3, workers, last_error: None }
}

fn router() -> Router {
    ZPages::new("a-server", "1.0.0")
        .group("debug.example.dev")
        .page("/queuez", "what waits", || queue("first"))
        .page_about("/queuez/{name}", "one queue", |name: &str| match name {
            "known one" => Ok(queue(name)),
            _ => Err(NotFound(format!("there is no queue {name:?}; /queuez lists them"))),
        })
        .router()
}

async fn get(path: &str, accept: &str) -> (Response<()>, String) {
    let request = Request::builder().uri(path).header("accept", accept).body(Body::empty()).unwrap();
    let (parts, body) = router().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(parts, ()), String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn people_get_text() {
    let (response, body) = get("/queuez", "*/*").await;
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(response.headers()["cache-control"], "no-cache, private");
    let wanted = "\na-server queuez\nWarning: This endpoint is not meant to be machine parseable, has no formatting \
        compatibility guarantees and is for debugging purposes only.\n\nQueued: 3\n\nWORKER   BUSY\nfirst    true\n\
        b        false\n";
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn programs_get_the_fields_in_the_order_of_their_declaration() {
    let (response, body) = get("/queuez", "application/json;g=debug.example.dev;v=v1alpha1;as=Queuez").await;
    let content_type = "application/json;g=debug.example.dev;v=v1alpha1;as=Queuez";
    assert_eq!(response.headers()["content-type"], content_type);
    let wanted = r#"{"kind":"Queuez","apiVersion":"debug.example.dev/v1alpha1","metadata":{"name":"a-server"},"#
        .to_owned()
        + r#""queuedItems":3,"workers":[{"name":"first","busy":true},{"name":"b","busy":false}],"lastError":null}"#
        + "\n";
    assert_eq!(body, wanted);
    let (_, body) = get("/queuez", "application/yaml;g=debug.example.dev;v=v1alpha1;as=Queuez").await;
    let wanted = "apiVersion: debug.example.dev/v1alpha1\nkind: Queuez\nlastError: null\nmetadata:\n  name: a-server\n\
        queuedItems: 3\nworkers:\n- busy: true\n  name: first\n- busy: false\n  name: b\n";
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn another_group_and_a_bare_type_are_not_acceptable() {
    for accept in ["application/json", "application/json;g=config.k8s.io;v=v1alpha1;as=Queuez"] {
        assert_eq!(get("/queuez", accept).await.0.status(), 406, "{accept}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_in_the_form_that_was_asked_for() {
    assert!(get("/queuez/known%20one", "*/*").await.1.contains("known one   true"));
    let (response, body) = get("/queuez/x", "*/*").await;
    assert_eq!((response.status().as_u16(), body.as_str()), (404, "there is no queue \"x\"; /queuez lists them\n"));
    let (response, body) = get("/queuez/x", "application/json;g=debug.example.dev;v=v1alpha1;as=Queuez").await;
    let wanted = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"there is no queue "#
        .to_owned()
        + r#"\"x\"; /queuez lists them","reason":"NotFound","code":404}"#
        + "\n";
    assert_eq!((response.status().as_u16(), body), (404, wanted));
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(get("/queuez/x", "application/xml").await.0.status(), 406);
}

#[tokio::test]
async fn the_index_lists_it_as_text_and_as_a_structure() {
    assert!(get("/", "*/*").await.1.contains("/queuez/{name}  one queue\n"));
    let (_, body) = get("/", "application/json;g=debug.example.dev;v=v1alpha1;as=Index").await;
    let start =
        r#"{"kind":"Index","apiVersion":"debug.example.dev/v1alpha1","metadata":{"name":"a-server"},"endpoints":["#;
    assert!(body.starts_with(start), "{body}");
    assert!(body.contains(r#"{"path":"/queuez","about":"what waits"}"#), "{body}");
}
