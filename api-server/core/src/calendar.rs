//! Days of the Gregorian calendar in UTC, as arithmetic on days since the epoch: all that a refill needs to know of dates.

use crate::time::Millis;

/// Milliseconds of a UTC day; Unix time has no leap seconds.
const DAY_MS: i64 = 86_400_000;
/// Days in 400 years, after which the calendar repeats.
const ERA_DAYS: i64 = 146_097;
/// Days from 0000-03-01, where the arithmetic starts, to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

/// A date in UTC. Ordered as time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// The year; 0 is 1 BC.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

impl Date {
    /// The date at this point of time, for every one there is.
    ///
    /// Years are taken to start on 1 March, which puts the leap day last; a month's start then is a linear formula.
    pub fn of(now: Millis) -> Self {
        let days = now.0.div_euclid(DAY_MS) + EPOCH_DAYS;
        let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = small(day_of_year - (153 * march_month + 2) / 5 + 1);
        let month = small(if march_month < 10 { march_month + 3 } else { march_month - 9 });
        Self { year: era * 400 + year_of_era + i64::from(month <= 2), month, day }
    }

    /// 00:00 UTC of the date; stops at the ends of the range.
    pub fn midnight(self) -> Millis {
        let year = self.year - i64::from(self.month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let march_month = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * march_month + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Millis((era * ERA_DAYS + day_of_era - EPOCH_DAYS).saturating_mul(DAY_MS))
    }

    /// The date's month with `day` in it, or with its last day where the month is shorter.
    #[must_use]
    pub fn with_day(self, day: u8) -> Self {
        Self { day: day.min(days_in(self.year, self.month)), ..self }
    }

    /// The first of the month before.
    #[must_use]
    pub const fn previous_month(self) -> Self {
        match self.month {
            1 => Self { year: self.year - 1, month: 12, day: 1 },
            month => Self { year: self.year, month: month - 1, day: 1 },
        }
    }

    /// The first of the month after.
    #[must_use]
    pub const fn next_month(self) -> Self {
        match self.month {
            12 => Self { year: self.year + 1, month: 1, day: 1 },
            month => Self { year: self.year, month: month + 1, day: 1 },
        }
    }

    /// The day after.
    #[must_use]
    pub fn next_day(self) -> Self {
        if self.day < days_in(self.year, self.month) { Self { day: self.day + 1, ..self } } else { self.next_month() }
    }
}

/// How many days a month has.
pub const fn days_in(year: i64, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// A month or a day of one, which the formulas keep within 1 to 31.
fn small(number: i64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn date(year: i64, month: u8, day: u8) -> Date {
        Date { year, month, day }
    }

    #[test]
    fn known_dates() {
        for (seconds, known) in [
            (0, date(1970, 1, 1)),
            (-86_400, date(1969, 12, 31)),
            (68_169_600, date(1972, 2, 29)),
            (951_782_400, date(2000, 2, 29)),
            (951_868_800, date(2000, 3, 1)),
            (1_709_164_800, date(2024, 2, 29)),
            (1_735_603_200, date(2024, 12, 31)),
            (1_767_225_600, date(2026, 1, 1)),
            (1_795_219_200, date(2026, 11, 21)),
            (4_107_542_400, date(2100, 3, 1)),
            (-2_203_891_200, date(1900, 3, 1)),
        ] {
            assert_eq!(Date::of(Millis(seconds * 1_000)), known);
            assert_eq!(Date::of(Millis(seconds * 1_000 + DAY_MS - 1)), known);
            assert_eq!(known.midnight(), Millis(seconds * 1_000));
        }
    }

    #[test]
    fn february_knows_leap_years() {
        let lengths = [1900, 2000, 2023, 2024, 2100, -4].map(|year| days_in(year, 2));
        assert_eq!(lengths, [28, 29, 28, 29, 28, 29]);
    }

    #[test]
    fn eight_hundred_years_day_by_day() {
        let (mut day, mut midnight) = (date(1600, 1, 1), date(1600, 1, 1).midnight());
        while day.year < 2400 {
            assert_eq!((Date::of(midnight), day.midnight()), (day, midnight));
            (day, midnight) = (day.next_day(), midnight.plus(DAY_MS));
        }
    }

    proptest! {
        #[test]
        fn every_point_of_time_has_its_date(now: i64) {
            let midnight = Date::of(Millis(now)).midnight().0;
            prop_assert!(midnight == i64::MIN || (midnight <= now && now - midnight < DAY_MS));
        }
    }
}
