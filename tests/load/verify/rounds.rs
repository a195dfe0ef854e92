//! Rounds: each server once in each, one after the other, so that what else happens on the machine hits all alike.

use anyhow::Result;
use serde::Serialize;

use super::figures::Spread;
use super::measure::{Plan, Seen, Target, measure};

/// Rounds tried for each that is wanted. On the machine of the figures in the README four of six were disturbed.
const ATTEMPTS: usize = 4;

/// What was seen of one server.
#[derive(Serialize)]
pub(crate) struct Rounds {
    pub(crate) name: &'static str,
    /// Those that count: the same ones for each server.
    pub(crate) seen: Vec<Seen>,
    /// How many were disturbed, and left out.
    pub(crate) disturbed: usize,
    /// Too few were not; what is here is of disturbed ones, too.
    pub(crate) doubtful: bool,
}

impl Rounds {
    pub(crate) fn spread(&self, figure: impl Fn(&Seen) -> f64) -> Spread {
        Spread::of(self.seen.iter().map(figure))
    }

    /// Round by round: both figures of a ratio come from the same seconds.
    pub(crate) fn ratio_to(&self, floor: &Self, figure: impl Fn(&Seen) -> f64) -> Spread {
        Spread::of(self.seen.iter().zip(&floor.seen).map(|(ours, floor)| figure(ours) / figure(floor)))
    }
}

/// Measures until so many rounds were not disturbed, or [`ATTEMPTS`] times as many were tried. A round counts for all servers or for none. With too few
/// good rounds the least disturbed of the others fill up, and it is said.
pub(crate) fn rounds(targets: &mut [Target], plan: Plan, wanted: usize) -> Result<Vec<Rounds>> {
    let mut tried: Vec<Vec<Seen>> = Vec::new();
    while tried.iter().filter(|round| is_good(round)).count() < wanted && tried.len() < ATTEMPTS * wanted {
        eprintln!("round {} of {wanted} ...", tried.len() + 1);
        tried.push(targets.iter_mut().map(|target| measure(target, plan)).collect::<Result<_>>()?);
        if let Some(round) = tried.last().filter(|round| !is_good(round)) {
            let share = 100.0 * waiting(round);
            eprintln!("... was disturbed: for {share:.0} % of the time something else had a core that was wanted");
        }
    }
    let disturbed = tried.iter().filter(|round| !is_good(round)).count();
    tried.sort_by(|one, other| waiting(one).total_cmp(&waiting(other)));
    tried.truncate(wanted);
    let doubtful = tried.iter().any(|round| !is_good(round));
    let of = |(place, target): (usize, &Target)| {
        let seen = tried.iter().filter_map(|round| round.get(place).copied()).collect();
        Rounds { name: target.name, seen, disturbed, doubtful }
    };
    Ok(targets.iter().enumerate().map(of).collect())
}

fn is_good(round: &[Seen]) -> bool {
    !round.iter().any(Seen::is_disturbed)
}

/// The worst of a round.
fn waiting(round: &[Seen]) -> f64 {
    round.iter().map(|seen| seen.waiting).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(p50: &[f64]) -> Rounds {
        let seen = p50.iter().map(|p50| Seen { p50: *p50, ..Seen::default() }).collect();
        Rounds { name: "", seen, disturbed: 0, doubtful: false }
    }

    #[test]
    fn a_ratio_is_that_of_the_same_round() {
        // The second round was slow for both.
        let ratio = of(&[60.0, 120.0, 63.0]).ratio_to(&of(&[50.0, 100.0, 60.0]), |seen| seen.p50);
        assert_eq!(ratio, Spread { median: 1.2, least: 1.05, most: 1.2 });
    }

    #[test]
    fn one_disturbed_server_spoils_the_round() {
        let (good, bad) = (Seen { waiting: 0.02, ..Seen::default() }, Seen { waiting: 0.06, ..Seen::default() });
        assert!(is_good(&[good, good]));
        assert!(!is_good(&[good, bad]));
    }
}
