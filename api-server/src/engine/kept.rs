//! A verdict that outlives its request: for the rare one that must wait for its credits.

use keyplane_core::limit::Decision;
use keyplane_core::verify::Code;

use super::{EvaluatedLimit, Found, Verdict};
use crate::credits::Wait;

/// A verdict with copies of all that it borrowed. Made for a verdict that waits, which costs far more than the copies.
#[derive(Debug)]
pub struct Kept {
    found: Found,
    code: Code,
    limits: Vec<KeptLimit>,
    credits: Option<u64>,
    unpaid: Option<Wait>,
}

#[derive(Debug)]
struct KeptLimit {
    id: Box<str>,
    name: Box<str>,
    limit: u64,
    window_ms: i64,
    auto_apply: bool,
    decision: Decision,
}

impl Verdict<'_> {
    /// Without its key, which is in the [`Found`] that it borrowed.
    pub(crate) fn keep(self) -> impl FnOnce(Found) -> Kept + use<> {
        let limits = self.limits.iter().map(KeptLimit::from).collect();
        let Self { code, credits, unpaid, .. } = self;
        move |found| Kept { found, code, limits, credits, unpaid }
    }
}

impl Kept {
    /// The verdict as it was.
    pub(crate) fn verdict(&mut self) -> Verdict<'_> {
        let limits = self.limits.iter().map(|kept| EvaluatedLimit {
            id: &kept.id,
            name: &kept.name,
            limit: kept.limit,
            window_ms: kept.window_ms,
            auto_apply: kept.auto_apply,
            decision: kept.decision,
        });
        Verdict {
            code: self.code,
            key: self.found.0.as_deref(),
            limits: limits.collect(),
            credits: self.credits,
            unpaid: self.unpaid.take(),
        }
    }
}

impl From<&EvaluatedLimit<'_>> for KeptLimit {
    fn from(limit: &EvaluatedLimit<'_>) -> Self {
        let EvaluatedLimit { id, name, limit, window_ms, auto_apply, decision } = *limit;
        Self { id: id.into(), name: name.into(), limit, window_ms, auto_apply, decision }
    }
}
