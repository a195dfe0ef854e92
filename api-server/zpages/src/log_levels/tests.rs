//! What may be put, and what it does to the filter.

use std::sync::{Arc, Mutex};

use axum::response::Response;
use http::Method;
use http_body_util::BodyExt;

use super::{CHANGES_AT_MOST, LogLevels, Refused, answer};

/// Levels whose reloads are kept as text.
fn levels(filter: &str, never: &[&str]) -> (LogLevels, Arc<Mutex<Vec<String>>>) {
    let reloaded = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&reloaded);
    let reload = move |filter: tracing_subscriber::EnvFilter| {
        kept.lock().unwrap().push(filter.to_string());
        Ok(())
    };
    (LogLevels::new(filter, never, Arc::new(reload)), reloaded)
}

/// The directives in force, sorted: their order is the library's.
fn sorted(filter: &str) -> Vec<&str> {
    let mut directives: Vec<&str> = filter.split(',').collect();
    directives.sort_unstable();
    directives
}

async fn read(response: Response) -> (u16, String, String) {
    assert_eq!(response.headers()["content-type"], "text/plain");
    let nosniff = response.headers()["x-content-type-options"].to_str().unwrap().to_owned();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, nosniff, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn answers_are_those_of_upstream() {
    for (method, body, status, wanted) in [
        (Method::PUT, "4", 200, "successfully set klog.logging.verbosity to 4\n"),
        (Method::PUT, "x", 400, "strconv.ParseUint: parsing \"x\": invalid syntax\n"),
        (Method::PUT, "", 400, "strconv.ParseUint: parsing \"\": invalid syntax\n"),
        (Method::PUT, "4\n", 400, "strconv.ParseUint: parsing \"4\\n\": invalid syntax\n"),
        (Method::PUT, "-1", 400, "strconv.ParseUint: parsing \"-1\": invalid syntax\n"),
        (Method::PUT, "4294967296", 400, "strconv.ParseUint: parsing \"4294967296\": value out of range\n"),
        (Method::GET, "", 406, "unsupported http method\n"),
        (Method::POST, "4", 406, "unsupported http method\n"),
    ] {
        let (levels, _) = levels("info", &[]);
        let (got, nosniff, text) = read(answer(&levels, &method, body)).await;
        assert_eq!((got, text.as_str(), nosniff.as_str()), (status, wanted, "nosniff"), "{method} {body:?}");
    }
}

#[test]
fn a_number_sets_the_level_of_everything_without_one_of_its_own() {
    for (number, level) in [("0", "info"), ("3", "info"), ("4", "debug"), ("5", "trace"), ("4294967295", "trace")] {
        let (levels, reloaded) = levels("warn,hyper=error", &[]);
        levels.put(number).unwrap();
        assert_eq!(sorted(&levels.current()), sorted(&format!("hyper=error,{level}")));
        assert_eq!(*reloaded.lock().unwrap(), [levels.current()]);
    }
}

#[test]
fn a_target_has_a_level_of_its_own_until_it_gets_another() {
    let (levels, _) = levels("info", &[]);
    for (put, wanted) in [
        ("a::b=debug", "a::b=debug,info"),
        ("c=off", "a::b=debug,c=off,info"),
        ("a::b=warn", "a::b=warn,c=off,info"),
        ("4", "a::b=warn,c=off,debug"),
        ("2", "a::b=warn,c=off,info"),
    ] {
        levels.put(put).unwrap();
        assert_eq!(sorted(&levels.current()), sorted(wanted), "after {put}");
    }
}

#[test]
fn what_must_never_be_logged_stays_off() {
    let (levels, _) = levels("info", &["talkative=off"]);
    for put in ["9", "talkative=trace"] {
        levels.put(put).unwrap();
        assert!(levels.current().contains("talkative=off"), "{}", levels.current());
    }
}

#[test]
fn patterns_unknown_levels_and_too_many_targets_are_refused() {
    let (levels, reloaded) = levels("info", &[]);
    assert_eq!(levels.put("a[span{x=1}]=debug"), Err(Refused::Target("a[span{x".to_owned())));
    assert_eq!(levels.put("a[span]=debug"), Err(Refused::Target("a[span]".to_owned())));
    assert_eq!(levels.put("a,b=debug"), Err(Refused::Target("a,b".to_owned())));
    assert_eq!(levels.put("=debug"), Err(Refused::Target(String::new())));
    assert_eq!(levels.put("a=loud"), Err(Refused::Level("loud".to_owned())));
    assert!(reloaded.lock().unwrap().is_empty(), "a refusal changes nothing");
    for number in 0..CHANGES_AT_MOST {
        levels.put(&format!("target{number}=debug")).unwrap();
    }
    assert_eq!(levels.put("one_more=debug"), Err(Refused::Full));
    levels.put("target0=info").unwrap();
}
