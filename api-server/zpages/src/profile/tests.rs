//! A profile as `go tool pprof` would read it.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::response::Response;
use flate2::read::GzDecoder;
use http::Request;
use http::request::Parts;
use http_body_util::BodyExt;
use pprof::protos::{Message as _, Profile};

use super::{Profiles, seconds};

fn request(query: &str) -> Parts {
    Request::builder().uri(format!("/debug/pprof/profile{query}")).body(()).unwrap().into_parts().0
}

async fn read(response: Response) -> (u16, Vec<u8>) {
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

#[test]
fn seconds_are_read_as_go_reads_them() {
    for (query, wanted) in [("", 30), ("seconds=5", 5), ("seconds=0", 30), ("seconds=-1", 30), ("seconds=x", 30)] {
        assert_eq!(seconds(query), wanted, "{query}");
    }
}

/// Keeps a processor busy, so that there is something to sample.
#[inline(never)]
fn spin_until(stop: &AtomicBool) -> u64 {
    let mut sum = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        sum = (0..1000).fold(sum, |sum, number| sum.rotate_left(3) ^ number);
    }
    sum
}

/// One test for all of it: a process has one profiling timer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_profile_at_a_time_is_taken_and_can_be_read() {
    let profiles = Profiles::new();
    let (status, body) = read(profiles.answer(&request("?seconds=61")).await).await;
    assert_eq!((status, body.as_slice()), (400, &b"seconds is 61; a profile takes 60 at most\n"[..]));

    let stop = Arc::new(AtomicBool::new(false));
    let spinning = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || spin_until(&stop)
    });
    let taking = tokio::spawn({
        let profiles = profiles.clone();
        async move { profiles.answer(&request("?seconds=1")).await }
    });
    while profiles.turn.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let (status, _) = read(profiles.answer(&request("?seconds=1")).await).await;
    assert_eq!(status, 409);

    let response = taking.await.unwrap();
    stop.store(true, Ordering::Relaxed);
    assert_ne!(spinning.join().unwrap(), 1);
    assert_eq!(response.headers()["content-type"], "application/octet-stream");
    let (status, body) = read(response).await;
    assert_eq!(status, 200);
    let mut message = Vec::new();
    GzDecoder::new(body.as_slice()).read_to_end(&mut message).unwrap();
    let profile = Profile::parse_from_bytes(&message).unwrap();
    assert!(!profile.sample.is_empty(), "no samples of a busy process");
    assert!(profile.string_table.iter().any(|name| name.contains("spin_until")), "the busy function is named");

    // A client that goes away stops its profile.
    let abandoned = tokio::spawn({
        let profiles = profiles.clone();
        async move { profiles.answer(&request("?seconds=60")).await }
    });
    while profiles.turn.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    abandoned.abort();
    assert!(abandoned.await.unwrap_err().is_cancelled());
    assert_eq!(read(profiles.answer(&request("?seconds=1")).await).await.0, 200);
}
