//! Percentiles of one phase, and medians over rounds.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// The smallest time that is not below so many of a hundred, in microseconds.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}

/// One figure over all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
        let (below, above) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
        Self { median: f64::midpoint(at(below), at(above)), least: at(0), most: at(sorted.len().saturating_sub(1)) }
    }
}

/// `1.24 (1.20-1.31)`; the precision is that of the format.
impl fmt::Display for Spread {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = out.precision().unwrap_or(2);
        let text = format!("{:.digits$} ({:.digits$}-{:.digits$})", self.median, self.least, self.most);
        out.pad_integral(true, "", &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_occurred() {
        let sorted: Vec<_> = (1..=200).map(Duration::from_micros).collect();
        let shown = |sorted: &[Duration], percent| format!("{:.0}", percentile(sorted, percent));
        assert_eq!([50, 90, 99].map(|percent| shown(&sorted, percent)), ["100", "180", "198"]);
        assert_eq!(shown(&sorted[..1], 99), "1");
        assert!(percentile(&[], 50).is_nan());
    }

    #[test]
    fn medians_stand_between_the_least_and_the_most() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0]), Spread { median: 2.5, least: 1.0, most: 4.0 });
        assert_eq!(format!("{:.1}", Spread::of([1.0])), "1.0 (1.0-1.0)");
    }
}
