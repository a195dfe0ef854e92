//! The eleven rows of upstream's `testMultipleChecks`, and what is ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::Response;
use http_body_util::BodyExt;

use super::{Check, Health, Shutdown};

fn health(with_bad: bool) -> Health {
    let bad = with_bad.then(|| Check::everywhere("bad", || Err("this will fail".to_owned())));
    Health::new("ready", [Check::ping()].into_iter().chain(bad))
}

async fn read(response: Response) -> (u16, Option<String>, String) {
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    let nosniff = response.headers().get("x-content-type-options").map(|value| value.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, nosniff, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn the_rows_of_upstream() {
    let excluded = "[+]ping ok\n[+]bad excluded: ok\nready check passed\n";
    let unmatched = "[+]ping ok\nwarn: some health checks cannot be excluded: no matches for \"dontexist\"\n\
        ready check passed\n";
    let failed = "[+]ping ok\n[-]bad failed: reason withheld\nready check failed\n";
    for (request, with_bad, status, wanted) in [
        ("?verbose", false, 200, "[+]ping ok\nready check passed\n"),
        ("?exclude=dontexist", false, 200, "ok"),
        ("?exclude=bad", true, 200, "ok"),
        ("?verbose=true&exclude=bad", true, 200, excluded),
        ("?verbose=true&exclude=dontexist", false, 200, unmatched),
        ("/ping", false, 200, "ok"),
        ("", false, 200, "ok"),
        ("?verbose", true, 500, failed),
        ("/ping", true, 200, "ok"),
        ("/bad", true, 500, "internal server error: this will fail\n"),
        ("", true, 500, failed),
    ] {
        let health = health(with_bad);
        let response = match request.strip_prefix('/') {
            Some(check) => health.answer_single(check).unwrap(),
            None => health.answer(request.trim_start_matches('?')),
        };
        let (got_status, _, body) = read(response).await;
        assert_eq!((got_status, body.as_str()), (status, wanted), "{request} with bad: {with_bad}");
    }
}

#[tokio::test]
async fn a_check_that_passes_may_warn() {
    let old = |text: Option<&'static str>| {
        let check = Check::ready("index", || Ok(())).warning(move || text.map(str::to_owned));
        Health::new("readyz", [Check::ping(), check, Check::everywhere("last", || Ok(()))])
    };
    let all = "[+]ping ok\n[+]index ok\n[+]last ok\n";
    let warned = format!("{all}warn: index: it is old\nreadyz check passed\n");
    for (text, query, wanted) in [
        (Some("it is old"), "verbose", warned.as_str()),
        (Some("it is old"), "", "ok"),
        (None, "verbose", &format!("{all}readyz check passed\n")),
    ] {
        let (status, _, body) = read(old(text).answer(query)).await;
        assert_eq!((status, body.as_str()), (200, wanted), "{query}");
    }
}

#[tokio::test]
async fn names_to_exclude_are_decoded_repeated_sorted_and_not_split_at_commas() {
    let (_, _, body) = read(health(true).answer("verbose=false&exclude=z&exclude=b%61d&exclude=a,b")).await;
    let wanted = "[+]ping ok\n[+]bad excluded: ok\n\
        warn: some health checks cannot be excluded: no matches for \"a,b\",\"z\"\nready check passed\n";
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn every_answer_but_a_single_ok_forbids_sniffing() {
    let health = health(true);
    for (response, forbids) in [
        (health.answer(""), true),
        (health.answer("exclude=bad"), true),
        (health.answer_single("bad").unwrap(), true),
        (health.answer_single("ping").unwrap(), false),
    ] {
        assert_eq!(read(response).await.1.as_deref(), forbids.then_some("nosniff"));
    }
    assert!(health.answer_single("unknown").is_none());
}

#[tokio::test]
async fn the_reason_is_told_only_on_the_page_of_the_check() {
    let (_, _, body) = read(health(true).answer("verbose")).await;
    assert!(!body.contains("this will fail"), "{body}");
}

#[tokio::test]
async fn checks_are_asked_on_every_request_and_excluded_ones_are_not() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let counting = Check::live("counting", move || {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let health = Health::new("livez", [counting]);
    for request in ["", "verbose", "exclude=counting"] {
        assert_eq!(read(health.answer(request)).await.0, 200);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn readiness_ends_when_the_shutdown_begins() {
    let shutdown = Shutdown::new();
    let check = shutdown.check();
    assert!(check.is_ready() && !check.is_live(), "a draining process must not be killed");
    let health = Health::new("readyz", [Check::ping(), check]);
    assert_eq!(read(health.answer("")).await.0, 200);
    shutdown.clone().begin();
    assert!(shutdown.has_begun());
    let (status, _, body) = read(health.answer("")).await;
    assert_eq!((status, body.contains("[-]shutdown failed: reason withheld\n")), (500, true), "{body}");
    let (_, _, body) = read(health.answer_single("shutdown").unwrap()).await;
    assert_eq!(body, "internal server error: process is shutting down\n");
}

#[tokio::test]
async fn what_whole_pages_ran_is_counted_and_nothing_else() {
    let health = health(true);
    for request in ["", "verbose", "exclude=bad"] {
        read(health.answer(request)).await;
    }
    read(health.answer_single("bad").unwrap()).await;
    let text = crate::slis::exposition(health.slis());
    for line in [
        r#"kubernetes_healthcheck{name="bad",type="ready"} 0"#,
        r#"kubernetes_healthcheck{name="ping",type="ready"} 1"#,
        r#"kubernetes_healthchecks_total{name="bad",status="error",type="ready"} 2"#,
        r#"kubernetes_healthchecks_total{name="ping",status="success",type="ready"} 3"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}
