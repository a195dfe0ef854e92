//! When one key follows another, and until when the one before is valid: pure, from the spec, the status and `now`.
//!
//! ```text
//! issuedAt                    issuedAt + overlap              issuedAt + every = nextRotation
//!    | current and previous are valid | current alone                 | the next one is current
//! ```
//!
//! - The status says when the previous key ends and verify pods end it by themselves, so it ends on time while no operator runs.
//! - At most two keys are valid at once. A rotation waits for the end of the overlap before it: `validUntil` is the word of whoever
//!   holds the key, and an early end breaks them. A shorter overlap in the spec is the owner's own word and counts at once.
//! - The overlap begins when the new key is in the status, which is when pods learn of it, and not when it came into the Secret: an
//!   operator that dies between the two and is away for a day takes none of it.
//! - After an outage there is one rotation, not one for each that was missed: the next is counted from the one that was made.
//! - Times in a status have whole seconds. An issue is rounded down and every end up, so nothing ends before its time, by a second at most after it.
//! - The clock is the operator's. If it was ahead when a key was issued, the next one comes later by as much; the keys are valid all the while.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use keyplane_api::{CurrentKey, PreviousKey, Rotation};
use keyplane_core::hash::KeyHash;

/// How long a replaced key is valid when the spec does not say: enough to hand the new one over within a working day.
const DEFAULT_OVERLAP: SignedDuration = SignedDuration::from_hours(24);
const SECOND: SignedDuration = SignedDuration::from_secs(1);
/// Characters of a request that are kept as they are; a longer one is kept as its hash, which has as many.
const LONGEST_REQUEST: usize = 64;

/// What the object says of rotation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// `spec.rotation`.
    pub rotation: Option<&'a Rotation>,
    /// `spec.expires`: nothing rotates by itself from then on.
    pub expires: Option<&'a Time>,
    /// The annotation that asks for a rotation now.
    pub annotation: Option<&'a str>,
}

/// Where a key stands in its rotations; what the status says beside the current key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Turn {
    /// The key before, while it is valid.
    pub previous: Option<PreviousKey>,
    /// When the next key will be issued.
    pub next: Option<Time>,
    /// The request that was acted on last.
    pub handled: Option<String>,
    /// A request waits for the end of the overlap.
    pub deferred: bool,
    /// The status still has a previous key that a shorter overlap ended. That it did is written down before anything is issued: a spec that takes
    /// the word back must not find a rotation half done that was right only under it.
    pub cut_short: bool,
    /// The key has replaced others, or is lost. A copy of the object that is behind may name another one as current, so the status is written only
    /// over the version that was read.
    pub is_delicate: bool,
}

impl Turn {
    /// Whether another key may be issued: nobody was told that the one before the current is still valid.
    pub(super) fn is_free(&self) -> bool {
        self.previous.is_none() && !self.cut_short
    }
}

/// Why a key is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// There was none.
    First,
    /// Its time has come.
    Schedule,
    /// Somebody asked.
    Request,
    /// The plain key is lost: its Secret was deleted.
    SecretDeleted,
    /// The plain key is lost: its Secret was edited.
    SecretEdited,
}

impl Cause {
    /// The label of metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Schedule => "schedule",
            Self::Request => "request",
            Self::SecretDeleted => "secret_deleted",
            Self::SecretEdited => "secret_edited",
        }
    }
}

impl Wish<'_> {
    /// The request as the status keeps it.
    pub(super) fn request(&self) -> Option<String> {
        self.annotation.map(|value| {
            if value.chars().count() <= LONGEST_REQUEST { value.to_owned() } else { KeyHash::of(value).to_hex() }
        })
    }

    /// Whether the annotation has a value that was not acted on. Taking it away asks for nothing, and its last value is
    /// remembered: a tool that removes it and puts it back asks for nothing either.
    fn asks(&self, handled: Option<&str>) -> bool {
        self.request().is_some_and(|request| Some(request.as_str()) != handled)
    }

    /// Whether a key whose plain text is lost may be replaced: by somebody's request, or because it rotates, so that its users follow the Secret.
    pub(super) fn replaces_lost(&self, handled: Option<&str>, now: Timestamp) -> bool {
        self.asks(handled) || (self.rotation.is_some() && !self.expired_at(now))
    }

    fn expired_at(&self, at: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires.0 <= at)
    }

    fn overlap(&self) -> SignedDuration {
        self.rotation.map_or(DEFAULT_OVERLAP, |rotation| SignedDuration::from_millis(rotation.overlap.millis()))
    }

    /// When the key that was issued then is replaced by itself; `None` when it does not rotate or expires before.
    fn scheduled(&self, issued_at: Timestamp) -> Option<Timestamp> {
        let every = SignedDuration::from_millis(self.rotation?.every.millis());
        Some(rounded_up(after(issued_at, every))).filter(|next| !self.expired_at(*next))
    }

    /// When a key ends that was replaced by one issued then; `None`: at once.
    fn overlap_end(&self, issued_at: Timestamp) -> Option<Timestamp> {
        let overlap = self.overlap();
        // `issued_at` was rounded down.
        (!overlap.is_zero()).then(|| rounded_up(after(after(issued_at, SECOND), overlap)))
    }
}

/// The time of issue that a status gets at `now`.
pub(super) fn issued_at(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// Where a key stands that was issued at `now` in place of the one with this hash (`None`: it is the first one) for this request.
pub(super) fn begun(wish: Wish<'_>, replaced: Option<&str>, handled: Option<String>, now: Timestamp) -> Turn {
    let issued_at = issued_at(now).0;
    let previous = replaced.and_then(|sha256| {
        let valid_until = Time(wish.overlap_end(issued_at)?);
        Some(PreviousKey { sha256: sha256.to_owned(), valid_until })
    });
    at(wish, issued_at, previous, handled)
}

/// Where a key stands at `now`, by what its status says.
pub(super) fn standing(
    wish: Wish<'_>,
    current: &CurrentKey,
    previous: Option<&PreviousKey>,
    handled: Option<&str>,
    now: Timestamp,
) -> Turn {
    let told = previous.filter(|key| key.valid_until.0 >= now);
    let previous = told.and_then(|key| {
        let shortened = match wish.rotation {
            Some(_) => wish.overlap_end(current.issued_at.0)?,
            // Taking the rotation away says nothing of the key that was replaced already.
            None => Timestamp::MAX,
        };
        let valid_until = Time(key.valid_until.0.min(shortened));
        (valid_until.0 >= now).then(|| PreviousKey { sha256: key.sha256.clone(), valid_until })
    });
    let cut_short = told.is_some() && previous.is_none();
    Turn { cut_short, ..at(wish, current.issued_at.0, previous, handled.map(str::to_owned)) }
}

fn at(wish: Wish<'_>, issued_at: Timestamp, previous: Option<PreviousKey>, handled: Option<String>) -> Turn {
    let asks = wish.asks(handled.as_deref());
    let wanted = if asks { Some(issued_at) } else { wish.scheduled(issued_at) };
    let over = previous.as_ref().map(|key| key.valid_until.0);
    let next = wanted.map(|wanted| Time(over.map_or(wanted, |over| wanted.max(over))));
    Turn { deferred: asks && previous.is_some(), previous, next, handled, ..Turn::default() }
}

/// Whether the next key is to be issued at `now`, and why.
pub(super) fn due(wish: Wish<'_>, turn: &Turn, now: Timestamp) -> Option<Cause> {
    let next = turn.next.as_ref()?;
    if !turn.is_free() || next.0 > now {
        return None;
    }
    Some(if wish.asks(turn.handled.as_deref()) { Cause::Request } else { Cause::Schedule })
}

fn after(time: Timestamp, wait: SignedDuration) -> Timestamp {
    time.checked_add(wait).unwrap_or(Timestamp::MAX)
}

fn rounded_up(time: Timestamp) -> Timestamp {
    if time.subsec_nanosecond() == 0 {
        return time;
    }
    Timestamp::from_second(time.as_second().saturating_add(1)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "rotation_tests.rs"]
mod tests;
