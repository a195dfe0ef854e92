//! What the figures may be at most.

use serde::Serialize;

/// A figure and its bar.
#[derive(Serialize)]
pub(crate) struct Bar {
    of: &'static str,
    unit: &'static str,
    figure: f64,
    at_most: f64,
    holds: bool,
}

impl Bar {
    pub(crate) fn new(of: &'static str, unit: &'static str, figure: f64, at_most: f64) -> Self {
        Self { of, unit, figure, at_most, holds: figure <= at_most }
    }

    pub(crate) const fn holds(&self) -> bool {
        self.holds
    }

    pub(crate) fn print(&self) {
        let Self { of, unit, figure, at_most, holds } = self;
        let verdict = if *holds { "met" } else { "MISSED" };
        println!("  {of:54} {figure:10.2} {at_most:10.2} {unit:6} {verdict}");
    }
}
