//! Whether what the index holds is served: by how old it is, and by whether the registry can be heard. Pure; time is an argument.

use keyplane_core::duration::format_millis;
use keyplane_core::time::Millis;

use crate::snapshot::shown;

/// How long a pod with a snapshot waits for a sign of the registry before it serves from the snapshot. A registry that answers is
/// waited for, however long its listing takes: what it says is newer.
pub(super) const GRACE: i64 = 5_000;

/// A standing is judged every second; a younger one says nothing about silence.
const JUDGED_WITHIN: i64 = 3_000;

/// Where what is served came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the snapshot, and not everything was listed since.
    Snapshot,
    /// From the registry.
    Registry,
}

/// What the index is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is not complete, or only from a snapshot (of this time) while the registry may still answer: nothing is served.
    Waiting {
        /// Of when the snapshot is, if there is one.
        snapshot: Option<Millis>,
    },
    /// It is served.
    Serving {
        /// Whose word it is.
        from: Origin,
        /// Up to when it is known to be true.
        as_of: Millis,
    },
    /// It is older than what may be served, and is not.
    TooOld {
        /// Whose word it is.
        from: Origin,
        /// Up to when it is known to be true.
        as_of: Millis,
        /// How old it may be, in milliseconds.
        max_age: i64,
    },
}

impl Default for Standing {
    fn default() -> Self {
        Self::Waiting { snapshot: None }
    }
}

/// What is known at some time.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Up to when the registry was heard; `None` before everything was listed once.
    pub known_until: Option<Millis>,
    /// When it last said something.
    pub last_heard: Option<Millis>,
}

/// Judges what the index holds, again and again.
#[derive(Clone, Copy, Debug)]
pub struct Freshness {
    started: Millis,
    /// `None`: what is served never grows too old, because the registry is a part of this process.
    max_age: Option<i64>,
    snapshot: Option<Millis>,
    /// It was served from once, and that is not taken back while the registry begins to answer.
    serves_snapshot: bool,
}

impl Freshness {
    /// Of a process that started now, and serves nothing that is older than this, in milliseconds.
    pub const fn new(started: Millis, max_age: Option<i64>) -> Self {
        Self { started, max_age, snapshot: None, serves_snapshot: false }
    }

    /// The index holds a snapshot of this time.
    pub const fn holds_snapshot(&mut self, as_of: Millis) {
        self.snapshot = Some(as_of);
    }

    /// What the index is worth now.
    pub fn judge(&mut self, heard: Heard, now: Millis) -> Standing {
        match (heard.known_until, self.snapshot) {
            (Some(as_of), _) => self.by_age(Origin::Registry, as_of, now),
            (None, None) => Standing::Waiting { snapshot: None },
            (None, Some(as_of)) => {
                let last_sign = heard.last_heard.map_or(self.started, |last| last.max(self.started));
                // In both directions: a clock that was set back must not make the wait longer.
                self.serves_snapshot |= now.0.abs_diff(last_sign.0) >= GRACE.unsigned_abs();
                if self.serves_snapshot {
                    self.by_age(Origin::Snapshot, as_of, now)
                } else {
                    Standing::Waiting { snapshot: Some(as_of) }
                }
            }
        }
    }

    fn by_age(&self, from: Origin, as_of: Millis, now: Millis) -> Standing {
        match self.max_age {
            Some(max_age) if since(as_of, now) > max_age => Standing::TooOld { from, as_of, max_age },
            _ => Standing::Serving { from, as_of },
        }
    }
}

impl Standing {
    /// Whether verifications are answered.
    pub const fn is_served(self) -> bool {
        matches!(self, Self::Serving { .. })
    }

    /// Where the index came from, if it is complete.
    pub const fn origin(self) -> Option<Origin> {
        match self {
            Self::Serving { from, .. } | Self::TooOld { from, .. } => Some(from),
            Self::Waiting { snapshot: Some(_) } => Some(Origin::Snapshot),
            Self::Waiting { snapshot: None } => None,
        }
    }

    /// Up to when the index is known to be true.
    pub const fn as_of(self) -> Option<Millis> {
        match self {
            Self::Serving { as_of, .. } | Self::TooOld { as_of, .. } => Some(as_of),
            Self::Waiting { snapshot } => snapshot,
        }
    }

    /// How old the index is, in milliseconds; 0 while the registry is heard.
    pub fn age(self, now: Millis) -> Option<i64> {
        self.as_of().map(|as_of| since(as_of, now))
    }

    /// Why nothing is served; `Ok` when it is.
    pub fn check(self, now: Millis) -> Result<(), String> {
        const INCOMPLETE: &str = "the first synchronisation is not complete";
        match self {
            Self::Serving { .. } => Ok(()),
            Self::Waiting { snapshot: None } => Err(INCOMPLETE.to_owned()),
            Self::Waiting { snapshot: Some(as_of) } => Err(format!(
                "{INCOMPLETE}; the snapshot of {}, {} old, is served once the registry was silent for {}",
                shown(as_of),
                rounded(since(as_of, now)),
                format_millis(GRACE)
            )),
            Self::TooOld { from, as_of, max_age } => Err(format!(
                "{} is of {}, {} old, and --snapshot-max-age is {}",
                match from {
                    Origin::Snapshot => "the registry can't be heard, and the snapshot",
                    Origin::Registry => "the registry is not heard any more, and what is held",
                },
                shown(as_of),
                rounded(since(as_of, now)),
                format_millis(max_age)
            )),
        }
    }

    /// That what is served is old, how old, and since when; `None` when it is not.
    pub fn warning(self, now: Millis) -> Option<String> {
        let Self::Serving { from, as_of } = self else { return None };
        let age = since(as_of, now);
        match from {
            Origin::Snapshot => Some(format!(
                "serving from the snapshot of {}, {} old: the registry can't be heard",
                shown(as_of),
                rounded(age)
            )),
            Origin::Registry if age > JUDGED_WITHIN => Some(format!(
                "serving what was known at {}, {} ago: since then the registry is not heard",
                shown(as_of),
                rounded(age)
            )),
            Origin::Registry => None,
        }
    }
}

fn since(then: Millis, now: Millis) -> i64 {
    now.0.saturating_sub(then.0).max(0)
}

/// A length of time to the second, for people.
fn rounded(millis: i64) -> String {
    format_millis(millis - millis % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const START: Millis = Millis(1_795_262_400_000);
    const SILENCE: Heard = Heard { known_until: None, last_heard: None };

    fn heard_at(last: Millis) -> Heard {
        Heard { known_until: None, last_heard: Some(last) }
    }

    fn with_snapshot(age: i64) -> Freshness {
        let mut freshness = Freshness::new(START, Some(24 * HOUR));
        freshness.holds_snapshot(START.plus(-age));
        freshness
    }

    #[test]
    fn without_a_snapshot_the_first_listing_is_waited_for() {
        let mut freshness = Freshness::new(START, Some(24 * HOUR));
        assert_eq!(freshness.judge(SILENCE, START.plus(48 * HOUR)), Standing::Waiting { snapshot: None });
        let listed = Heard { known_until: Some(START.plus(5)), last_heard: Some(START.plus(5)) };
        let standing = freshness.judge(listed, START.plus(5));
        assert_eq!(standing, Standing::Serving { from: Origin::Registry, as_of: START.plus(5) });
        assert_eq!((standing.check(START.plus(5)), standing.warning(START.plus(5))), (Ok(()), None));
    }

    #[test]
    fn a_snapshot_is_served_after_a_silence_and_until_everything_was_listed() {
        let mut freshness = with_snapshot(HOUR);
        let (as_of, from) = (START.plus(-HOUR), Origin::Snapshot);
        assert!(!freshness.judge(SILENCE, START.plus(GRACE - 1)).is_served());
        assert_eq!(freshness.judge(SILENCE, START.plus(GRACE)), Standing::Serving { from, as_of });
        // The registry begins to answer: what was served once is not taken away for that.
        let now = START.plus(GRACE + 1);
        let standing = freshness.judge(heard_at(now), now);
        assert_eq!(standing, Standing::Serving { from, as_of });
        assert!(
            standing.warning(now).unwrap().contains("2026-11-21T11:00:00Z, 1h5s old"),
            "{:?}",
            standing.warning(now)
        );
        let standing = freshness.judge(Heard { known_until: Some(now), last_heard: Some(now) }, now);
        assert_eq!(standing, Standing::Serving { from: Origin::Registry, as_of: now });
    }

    #[test]
    fn a_registry_that_answers_is_waited_for_however_long_it_takes() {
        let mut freshness = with_snapshot(HOUR);
        let mut now = START;
        for _ in 0..100 {
            now = now.plus(GRACE - 1);
            assert!(!freshness.judge(heard_at(now.plus(-GRACE + 1)), now).is_served());
        }
        assert!(freshness.judge(heard_at(now), now.plus(GRACE)).is_served(), "it fell silent amid its listing");
    }

    #[test]
    fn what_is_older_than_allowed_is_not_served_wherever_it_came_from() {
        let mut freshness = with_snapshot(24 * HOUR - GRACE);
        assert!(freshness.judge(SILENCE, START.plus(GRACE)).is_served());
        let now = START.plus(GRACE + 1);
        let standing = freshness.judge(SILENCE, now);
        assert!(matches!(standing, Standing::TooOld { from: Origin::Snapshot, .. }), "{standing:?}");
        assert!(standing.check(now).unwrap_err().contains("24h"), "{:?}", standing.check(now));

        let lost = Heard { known_until: Some(START), last_heard: Some(START) };
        let now = START.plus(24 * HOUR);
        let standing = freshness.judge(lost, now);
        assert!(standing.is_served() && standing.warning(now).unwrap().contains("24h"));
        assert!(!freshness.judge(lost, now.plus(1)).is_served());
        let back = Heard { known_until: Some(now.plus(2)), last_heard: Some(now.plus(2)) };
        assert!(freshness.judge(back, now.plus(2)).is_served());
        assert!(Freshness::new(START, None).judge(lost, now.plus(1)).is_served(), "its registry is its own");
    }
}
