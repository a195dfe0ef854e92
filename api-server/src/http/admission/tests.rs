use std::convert::Infallible;

use futures::channel::mpsc;
use futures::{FutureExt, SinkExt, StreamExt};
use http_body_util::{BodyExt, StreamBody};

use super::*;

const SMALL: Bounds = Bounds { requests: 2, body_bytes: 100_000, body_time: Duration::from_secs(60) };

fn admission(bounds: Bounds) -> Arc<Admission> {
    Arc::new(Admission::new(bounds, Load::default()))
}

fn bytes(length: usize) -> Frame<Bytes> {
    Frame::data(Bytes::from(vec![b'x'; length]))
}

type Sender = mpsc::Sender<Result<Frame<Bytes>, Infallible>>;

/// A body and who sends it.
fn body(admission: &Arc<Admission>) -> (Sender, Metered<impl Body<Data = Bytes, Error = Infallible> + Unpin + use<>>) {
    let (send, receive) = mpsc::channel(16);
    (send, admission.meter(StreamBody::new(receive.boxed())))
}

#[test]
fn places_are_given_back_and_health_needs_none() {
    let admission = admission(SMALL);
    let enter = || admission.enter("/v2/keys.verifyKey");
    let (one, _two) = (enter().unwrap(), enter().unwrap());
    assert!(enter().is_err() && enter().is_err(), "a refusal takes no place and gives none back");
    for path in ["/health/live", "/health/ready", "/v2/liveness"] {
        assert!(admission.enter(path).unwrap().is_none(), "{path}");
    }
    drop(one);
    assert!(enter().is_ok());
    assert_eq!((admission.load.requests.get(), admission.load.shed_requests.get()), (1, 2));
}

#[test]
fn threads_never_have_more_places_than_there_are() {
    let admission = admission(Bounds { requests: 3, ..SMALL });
    let inside = std::sync::atomic::AtomicI64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    if let Ok(place) = admission.enter("/") {
                        assert!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 3);
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(place);
                    }
                }
            });
        }
    });
    assert_eq!(admission.load.requests.get(), 0);
}

#[tokio::test]
async fn large_bodies_share_a_budget_and_ordinary_ones_need_none() {
    let admission = admission(SMALL);
    let (mut sender, mut held) = body(&admission);
    sender.send(Ok(bytes(FREE_BODY_BYTES))).await.unwrap();
    held.frame().await.unwrap().unwrap();
    assert_eq!(admission.load.body_bytes.get(), 0, "it belongs to the place");
    // Most of the budget, twice counted.
    sender.send(Ok(bytes(40_000))).await.unwrap();
    held.frame().await.unwrap().unwrap();
    assert_eq!(admission.load.body_bytes.get(), 80_000);

    let (mut sender, late) = body(&admission);
    sender.send(Ok(bytes(FREE_BODY_BYTES + 20_000))).await.unwrap();
    drop(sender);
    let error = late.collect().await.unwrap_err();
    assert!(matches!(error, BodyError::Overloaded), "{error}");
    assert_eq!(admission.load.shed_body_bytes.get(), 1);
    let (mut sender, small) = body(&admission);
    sender.send(Ok(bytes(FREE_BODY_BYTES))).await.unwrap();
    drop(sender);
    assert_eq!(small.collect().await.unwrap().to_bytes().len(), FREE_BODY_BYTES, "an ordinary one is served meanwhile");

    drop(held);
    assert_eq!(admission.load.body_bytes.get(), 0, "all of it is given back");
    let (mut sender, next) = body(&admission);
    sender.send(Ok(bytes(FREE_BODY_BYTES + 20_000))).await.unwrap();
    drop(sender);
    assert!(next.collect().await.is_ok());
    assert_eq!(admission.load.body_bytes.get(), 0);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let admission = admission(Bounds { body_time: Duration::from_millis(1), ..SMALL });
    let (mut sender, slow) = body(&admission);
    sender.send(Ok(bytes(1))).await.unwrap();
    let error = slow.collect().await.unwrap_err();
    assert!(matches!(error, BodyError::TooSlow(_)), "{error}");
    assert_eq!(admission.load.slow_bodies.get(), 1);
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up() {
    let admission = admission(Bounds { body_time: Duration::from_millis(20), ..SMALL });
    let (mut sender, slow) = body(&admission);
    let trickle = async {
        while sender.send(Ok(bytes(1))).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let (result, ()) = tokio::join!(slow.collect(), trickle);
    assert!(matches!(result.unwrap_err(), BodyError::TooSlow(_)), "each byte would put it off");
}

#[tokio::test]
async fn a_body_that_is_there_at_the_second_look_starts_no_timer() {
    // With no time at all a timer would be over at once.
    let admission = admission(Bounds { body_time: Duration::ZERO, ..SMALL });
    let (mut sender, mut metered) = body(&admission);
    assert!(metered.frame().now_or_never().is_none());
    sender.send(Ok(bytes(1))).await.unwrap();
    drop(sender);
    assert_eq!(metered.collect().await.unwrap().to_bytes().len(), 1);
}

#[tokio::test]
async fn the_error_is_found_below_others() {
    let admission = admission(Bounds { body_time: Duration::ZERO, ..SMALL });
    let (_sender, slow) = body(&admission);
    let slow = axum::body::Body::new(slow);
    let wrapped = http_body_util::Limited::new(slow, 100).collect().await.unwrap_err();
    assert!(matches!(BodyError::find(&*wrapped), Some(BodyError::TooSlow(_))), "{wrapped:?}");
}
