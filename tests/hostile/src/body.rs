//! Bodies of requests, sent through the whole of the HTTP API as a client's would be.

use axum::body::Body;
use http::{Request, StatusCode};
use keyplane_api_server::counters::Local;
use serde_json::Value;

use crate::schema::{self, Form};
use crate::world::{ROOT, World};

/// The largest answer: 100 limits of 255 characters that each take six bytes as JSON, and what surrounds them.
const MAX_ANSWER: usize = 256 * 1024;

/// The operations, and the form of each one's body. The first byte of a case chooses.
const OPERATIONS: [(&str, Form); 5] = [
    ("/v2/keys.verifyKey", schema::verify_v2),
    ("/v2/ratelimit.limit", schema::limit_v2),
    ("/v2/ratelimit.multiLimit", schema::multi_limit_v2),
    ("/v1/keys.verifyKey", schema::verify_v1),
    ("/v1/ratelimits.limit", schema::limit_v1),
];

thread_local! {
    static WORLD: World = World::start(Local::default());
}

/// A body is refused exactly when it has not the form; every failure names its place; the same body in other words (printed anew) is
/// answered with the same status; no answer is an error of ours, or grows with what was sent.
pub fn body(bytes: &[u8]) {
    let Some((first, body)) = bytes.split_first() else { return };
    // A figure, so that a corpus file can be written by hand.
    let (path, form) = OPERATIONS[usize::from(first.wrapping_sub(b'0')) % OPERATIONS.len()];
    let answered = WORLD.with(|world| Answered::to(world, path, body));
    answered.is_one(path);
    let value: Value = match serde_json::from_slice(body) {
        Ok(value) => value,
        Err(error) => {
            return assert_eq!(answered.status, StatusCode::BAD_REQUEST, "{path} {error}: {}", answered.body);
        }
    };
    // The library's own name for a nested text: there `serde_json::Value` is not what the text says.
    if String::from_utf8_lossy(body).contains("$serde_json") {
        return;
    }
    if !form(&value) {
        assert_eq!(answered.status, StatusCode::BAD_REQUEST, "{path} {value}");
    } else if answered.status == StatusCode::BAD_REQUEST {
        assert!(answered.is_about_meaning(), "{path} {value}: {}", answered.body);
    }
    let again = WORLD.with(|world| Answered::to(world, path, value.to_string().as_bytes()));
    assert_eq!(again.status, answered.status, "{path} {value}: {} and then {}", answered.body, again.body);
}

struct Answered {
    status: StatusCode,
    body: Value,
}

impl Answered {
    fn to(world: &World, path: &str, body: &[u8]) -> Self {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {ROOT}"))
            .header("content-type", "application/json")
            .body(Body::from(body.to_vec()))
            .unwrap();
        let (status, body) = world.send(request);
        assert!(body.len() <= MAX_ANSWER, "{path} answers {} bytes", body.len());
        let body = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{path} answers no JSON: {error}"));
        Self { status, body }
    }

    /// Of the statuses that these operations have, in the form of their version.
    fn is_one(&self, path: &str) {
        let (status, body) = (self.status.as_u16(), &self.body);
        if path.starts_with("/v1/") {
            assert!([200, 400].contains(&status), "{path}: {body}");
            assert!(status == 200 || !body["error"]["message"].as_str().unwrap().is_empty(), "{body}");
            return;
        }
        assert!([200, 400, 412].contains(&status), "{path}: {body}");
        assert!(body["meta"]["requestId"].is_string(), "{body}");
        let errors = body["error"]["errors"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(errors.iter().all(|error| error["location"].as_str().unwrap().starts_with("body")), "{body}");
        assert_eq!(status == 200, body.get("data").is_some(), "{body}");
    }

    /// Whether a body of the right form was refused for what it says: a permission query that can't be read, a limit that is none, a
    /// condition of v1 that is no query or names no limit, a key that is none of those that its `migrationId` is about.
    fn is_about_meaning(&self) -> bool {
        let error = &self.body["error"];
        let text = [&error["detail"], &error["message"]].iter().find_map(|text| text.as_str()).unwrap_or_default();
        [
            "permission query",
            "ratelimits entry",
            "body.authorization.permissions",
            "was requested but does not exist",
            "The key is malformed",
        ]
        .iter()
        .any(|meaning| text.contains(meaning))
    }
}
