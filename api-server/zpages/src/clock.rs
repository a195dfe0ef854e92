//! The one place of this crate that reads the clock, and the two ways in which a z-page writes a time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The time of the machine.
#[expect(clippy::disallowed_methods, reason = "z-pages tell the real time; everything below takes it as an argument")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Whole seconds since 1970; 0 before.
pub(crate) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `2026-01-12T11:37:40Z`: a point in time as the pages write it, in UTC, cut to seconds.
pub fn rfc3339(time: SystemTime) -> String {
    let Civil { year, month, day, hour, minute, second, .. } = Civil::of(time);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `Mon Jan 12 11:37:40 UTC 2026`, the day padded with a space. Always UTC: what the zone of a process is depends on
/// files and variables, and the logs beside this page are in UTC too.
pub(crate) fn unix_date(time: SystemTime) -> String {
    let Civil { weekday, year, month, day, hour, minute, second } = Civil::of(time);
    let (weekday, month) = (DAYS[weekday], MONTHS[month - 1]);
    format!("{weekday} {month} {day:>2} {hour:02}:{minute:02}:{second:02} UTC {year}")
}

/// `26 hr 03 min 09 sec`; the hours have no bound.
pub(crate) fn uptime(up: Duration) -> String {
    let seconds = up.as_secs();
    format!("{} hr {:02} min {:02} sec", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A time in UTC as a calendar shows it.
struct Civil {
    /// 0 is Sunday.
    weekday: usize,
    year: u64,
    /// 1 to 12.
    month: usize,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Civil {
    fn of(time: SystemTime) -> Self {
        let seconds = unix_seconds(time);
        let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = date(days);
        Self {
            weekday: usize::try_from((days + 4) % 7).unwrap_or_default(), // 1970-01-01 was a Thursday
            year,
            month,
            day,
            hour: second_of_day / 3600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
        }
    }
}

/// Year, month and day of a day counted from 1970-01-01, by walking years and months: at most a few hundred steps.
fn date(mut days: u64) -> (u64, usize, u64) {
    let mut year = 1970;
    while days >= length_of_year(year) {
        days -= length_of_year(year);
        year += 1;
    }
    let february = if length_of_year(year) == 366 { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

fn length_of_year(year: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    if leap { 366 } else { 365 }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{rfc3339, unix_date, uptime};

    #[test]
    fn times_are_written_as_go_writes_them() {
        for (seconds, json, text) in [
            (0, "1970-01-01T00:00:00Z", "Thu Jan  1 00:00:00 UTC 1970"),
            (951_782_399, "2000-02-28T23:59:59Z", "Mon Feb 28 23:59:59 UTC 2000"),
            (951_782_400, "2000-02-29T00:00:00Z", "Tue Feb 29 00:00:00 UTC 2000"),
            (1_768_217_860, "2026-01-12T11:37:40Z", "Mon Jan 12 11:37:40 UTC 2026"),
            (1_798_761_599, "2026-12-31T23:59:59Z", "Thu Dec 31 23:59:59 UTC 2026"),
            (4_107_542_400, "2100-03-01T00:00:00Z", "Mon Mar  1 00:00:00 UTC 2100"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!((rfc3339(time).as_str(), unix_date(time).as_str()), (json, text));
        }
    }

    #[test]
    fn hours_are_unbounded_and_the_rest_has_two_digits() {
        assert_eq!(uptime(Duration::from_millis(59_999)), "0 hr 00 min 59 sec");
        assert_eq!(uptime(Duration::from_secs(3600 * 1234 + 61)), "1234 hr 01 min 01 sec");
    }
}
