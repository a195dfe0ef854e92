//! The written bytes against serde's, on random records.

mod records;
mod v1;
mod v2;

use crate::engine::{EvaluatedLimit, Verdict};
use crate::http::request_id::RequestId;
