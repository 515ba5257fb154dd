//! Converts Unix time to a date and a time of day, in UTC.

/// A date and a time of day. The fields are in order of significance, so comparison is by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Civil {
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    /// 0 is Sunday.
    pub weekday: u8,
}

const DAY_SECONDS: i64 = 86_400;

/// Number of days after which the Gregorian calendar repeats.
const DAYS_IN_400_YEARS: i64 = 400 * 365 + 97;

const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Weekday of 1 January 1970: Thursday.
const FIRST_WEEKDAY: i64 = 4;

const MONTHS: [(&str, u8); 12] = [
    ("January", 31),
    ("February", 28),
    ("March", 31),
    ("April", 30),
    ("May", 31),
    ("June", 30),
    ("July", 31),
    ("August", 31),
    ("September", 30),
    ("October", 31),
    ("November", 30),
    ("December", 31),
];

impl Civil {
    /// Converts seconds since 1 January 1970, without leap seconds.
    pub fn at(unix_seconds: i64) -> Civil {
        let days = unix_seconds.div_euclid(DAY_SECONDS);
        let seconds = unix_seconds.rem_euclid(DAY_SECONDS);
        let (year, day_of_year) = year_of(days);
        let (month, day) = month_of(year, day_of_year);
        Civil {
            year,
            month,
            day,
            hour: (seconds / 3600) as u8,
            minute: (seconds / 60 % 60) as u8,
            second: (seconds % 60) as u8,
            weekday: (days + FIRST_WEEKDAY).rem_euclid(7) as u8,
        }
    }

    pub fn weekday_name(&self) -> &'static str {
        WEEKDAYS[self.weekday as usize]
    }

    pub fn month_name(&self) -> &'static str {
        MONTHS[self.month as usize - 1].0
    }
}

/// Returns the year of this day, and the day of the year counted from 0. Cycles of 400 years are
/// skipped by division, so the loop runs at most 399 times.
fn year_of(days: i64) -> (i64, i64) {
    let mut year = 1970 + 400 * days.div_euclid(DAYS_IN_400_YEARS);
    let mut left = days.rem_euclid(DAYS_IN_400_YEARS);
    while left >= days_in_year(year) {
        left -= days_in_year(year);
        year += 1;
    }
    (year, left)
}

/// Returns the month and the day of the month, both counted from 1.
fn month_of(year: i64, day_of_year: i64) -> (u8, u8) {
    let mut left = day_of_year;
    for (month, days) in (1..).zip(MONTHS.map(|(_, days)| days as i64)) {
        let leap_day = (month == 2 && is_leap(year)) as i64;
        if left < days + leap_day {
            return (month, left as u8 + 1);
        }
        left -= days + leap_day;
    }
    unreachable!("a year has no more days than its months")
}

fn days_in_year(year: i64) -> i64 {
    365 + is_leap(year) as i64
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seconds: i64) -> String {
        let c = Civil::at(seconds);
        let (weekday, month) = (c.weekday_name(), c.month_name());
        let (day, year, hour, minute, second) = (c.day, c.year, c.hour, c.minute, c.second);
        format!("{weekday} {day} {month} {year} {hour:02}:{minute:02}:{second:02}")
    }

    #[test]
    fn known_moments_have_their_known_dates() {
        for (seconds, date) in [
            (0, "Thursday 1 January 1970 00:00:00"),
            (-1, "Wednesday 31 December 1969 23:59:59"),
            (951_782_399, "Monday 28 February 2000 23:59:59"),
            (951_782_400, "Tuesday 29 February 2000 00:00:00"),
            (951_868_800, "Wednesday 1 March 2000 00:00:00"),
            (1_000_000_000, "Sunday 9 September 2001 01:46:40"),
            (2_147_483_647, "Tuesday 19 January 2038 03:14:07"),
            (4_107_542_400, "Monday 1 March 2100 00:00:00"),
            (-2_208_988_800, "Monday 1 January 1900 00:00:00"),
        ] {
            assert_eq!(text(seconds), date);
        }
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let mut before = Civil::at(-DAY_SECONDS);
        for day in 0..DAYS_IN_400_YEARS {
            let today = Civil::at(day * DAY_SECONDS);
            assert_eq!(today.weekday, (before.weekday + 1) % 7);
            assert!(today > before, "{today:?} after {before:?}");
            let same_month = (today.year, today.month) == (before.year, before.month);
            assert_eq!(today.day, if same_month { before.day + 1 } else { 1 });
            before = today;
        }
        assert_eq!((before.year, before.month, before.day), (2369, 12, 31));
    }
}
