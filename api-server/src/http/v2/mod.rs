//! Operations of the v2 API, one file each.

pub(crate) mod rate_limit;
pub(crate) mod verify_key;

use serde::Serialize;

use super::envelope::Answer;

#[derive(Serialize)]
pub(crate) struct Liveness {
    message: &'static str,
}

/// `GET /v2/liveness`: the process answers; nothing it depends on is asked.
pub(crate) async fn liveness() -> Answer<Liveness> {
    Answer::new(Liveness { message: "we're cooking" })
}
