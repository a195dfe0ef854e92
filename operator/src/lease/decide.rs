//! What to do about the lease: pure, from the lease as it was read and for how long it has looked like that.

use std::time::Duration;

/// The lease as it was last read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Who holds it; empty or absent: nobody, it was released.
    pub(super) holder: Option<String>,
    /// The holder's own mark of its last renewal. Only compared for change: it was written by another machine's clock.
    pub(super) renewed: Option<String>,
    /// How long the holder asked the others to stay away.
    pub(super) duration: Option<Duration>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is ours already: renew it.
    Renew,
    /// It is free: take it.
    Take,
    /// Another one holds it.
    Wait,
}

/// Decides for `identity`. `unchanged_for` is how long this process has seen exactly this lease, by its own steady clock, so that
/// no comparison of two machines' clocks decides who leads.
pub(super) fn decide(seen: &Seen, unchanged_for: Duration, identity: &str, own_duration: Duration) -> Step {
    match seen.holder.as_deref() {
        None | Some("") => Step::Take,
        Some(holder) if holder == identity => Step::Renew,
        Some(_) if unchanged_for >= seen.duration.unwrap_or(own_duration) => Step::Take,
        Some(_) => Step::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIFTEEN: Duration = Duration::from_secs(15);

    fn held_by(holder: Option<&str>) -> Seen {
        Seen { holder: holder.map(str::to_owned), renewed: Some("t".to_owned()), duration: Some(FIFTEEN) }
    }

    #[test]
    fn a_free_lease_is_taken_and_an_own_one_renewed() {
        assert_eq!(decide(&held_by(None), Duration::ZERO, "me", FIFTEEN), Step::Take);
        assert_eq!(decide(&held_by(Some("")), Duration::ZERO, "me", FIFTEEN), Step::Take);
        assert_eq!(decide(&held_by(Some("me")), Duration::ZERO, "me", FIFTEEN), Step::Renew);
    }

    #[test]
    fn a_foreign_lease_is_taken_only_after_it_stood_still_for_its_duration() {
        let foreign = held_by(Some("you"));
        assert_eq!(decide(&foreign, Duration::from_millis(14_999), "me", FIFTEEN), Step::Wait);
        assert_eq!(decide(&foreign, FIFTEEN, "me", FIFTEEN), Step::Take);
        // The holder's own duration counts, not ours.
        let long = Seen { duration: Some(Duration::from_secs(60)), ..foreign };
        assert_eq!(decide(&long, FIFTEEN, "me", FIFTEEN), Step::Wait);
    }
}
