//! Formats numbers, sizes and durations: three significant digits and a fitting unit, or two in a
//! narrow column.

use std::time::Duration;

use super::count::grouped;

/// Formats a count: `0`, `17`, `1,234`, `12.3 k`, `4.56 M`.
pub fn count(value: f64) -> String {
    match value {
        value if value < 10_000.0 => grouped(value.round() as u64),
        value => scaled(value, 1000.0, &["", " k", " M", " G", " T"]),
    }
}

/// Formats a size: `64 B`, `1.20 kB`, in steps of 1000.
pub fn bytes(value: f64) -> String {
    match value {
        value if value < 1000.0 => format!("{} B", value.round()),
        value => scaled(value, 1000.0, &[" B", " kB", " MB", " GB", " TB"]),
    }
}

/// Formats a size for a narrow column, in at most six: `64 B`, `1.2 kB`, `12 kB`, `120 kB`.
pub fn short_bytes(value: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if value < 1000 {
        return format!("{value} B");
    }
    let mut scaled = value as f64 / 1000.0;
    let mut unit = 0;
    // A value that rounds up to 1000 takes the next unit.
    while scaled >= 999.5 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    match scaled {
        scaled if scaled < 9.95 => format!("{scaled:.1} {}", UNITS[unit]),
        scaled => format!("{scaled:.0} {}", UNITS[unit]),
    }
}

/// Formats an age for a narrow column, in at most six up to 9999 days: `0.3 s`, `12 s`, `3 min`,
/// `5 h`, `12 d`. The unit is rounded down, as ages are.
pub fn short_age(age: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match age.as_secs() {
        0..10 => format!("{}.{} s", age.as_secs(), age.subsec_millis() / 100),
        seconds if seconds < 2 * MINUTE => format!("{seconds} s"),
        seconds if seconds < 2 * HOUR => format!("{} min", seconds / MINUTE),
        seconds if seconds < 2 * DAY => format!("{} h", seconds / HOUR),
        seconds => format!("{} d", seconds / DAY),
    }
}

/// Formats a duration: `850 ns`, `15.8 µs`, `1.54 ms`, `2.30 s`, `3 min 20 s`.
pub fn duration(value: Duration) -> String {
    let nanos = value.as_nanos() as f64;
    match value.as_secs() {
        0 => match scaled(nanos, 1000.0, &[" ns", " µs", " ms", " s"]) {
            text if text.ends_with(" ns") => format!("{nanos} ns"),
            text => text,
        },
        1..100 => format!("{} s", digits(value.as_secs_f64())),
        seconds => minutes(seconds),
    }
}

/// Formats an idle time, which is known to a tenth of a second at best.
pub fn near(idle_time: Duration) -> String {
    match idle_time.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        _ => format!("{:.1} s", idle_time.as_secs_f64()),
    }
}

fn minutes(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes, seconds) {
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// Formats a share: `12 %`, `0.4 %`.
pub fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    match percent {
        0.05..10.0 => format!("{percent:.1} %"),
        percent => format!("{percent:.0} %"),
    }
}

/// Formats a number with three significant digits.
pub fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut last = 0;
    // A value that rounds up to 1000 takes the next unit.
    while value >= step - 0.5 && last + 1 < units.len() {
        value /= step;
        last += 1;
    }
    format!("{}{}", digits(value), units[last])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_keep_their_digits_while_they_are_few() {
        let cases = [
            (0.0, "0"),
            (1234.4, "1,234"),
            (9999.0, "9,999"),
            (12_345.0, "12.3 k"),
            (999_600.0, "1.00 M"),
            (123_456_789.0, "123 M"),
        ];
        for (value, text) in cases {
            assert_eq!(count(value), text);
        }
    }

    #[test]
    fn durations_and_sizes_have_the_unit_that_fits() {
        let cases = [
            (850, "850 ns"),
            (15_839, "15.8 µs"),
            (999_900, "1.00 ms"),
            (1_539_071, "1.54 ms"),
            (2_300_000_000, "2.30 s"),
            (99_000_000_000, "99.0 s"),
            (200_000_000_000, "3 min 20 s"),
            (600_000_000_000, "10 min"),
            (5_400_000_000_000, "1 h 30 min"),
        ];
        for (nanos, text) in cases {
            assert_eq!(duration(Duration::from_nanos(nanos)), text);
        }
        assert_eq!(bytes(71.2), "71 B");
        assert_eq!(bytes(2_048.0), "2.05 kB");
        assert_eq!(percent(0.004), "0.4 %");
        assert_eq!(percent(0.996), "100 %");
    }

    #[test]
    fn short_forms_fit_six_columns() {
        let sizes = [0, 999, 1000, 9_949, 9_950, 999_499, 999_500, 1_234_567, u64::MAX];
        let texts = sizes.map(short_bytes);
        let expected =
            ["0 B", "999 B", "1.0 kB", "9.9 kB", "10 kB", "999 kB", "1.0 MB", "1.2 MB", "18 EB"];
        assert_eq!(texts, expected);
        let ages = [0, 340, 9_999, 10_000, 119_999, 120_000, 7_199_999, 7_200_000, 172_799_999];
        let texts = ages.map(|millis| short_age(Duration::from_millis(millis)));
        let expected =
            ["0.0 s", "0.3 s", "9.9 s", "10 s", "119 s", "2 min", "119 min", "2 h", "47 h"];
        assert_eq!(texts, expected);
        assert_eq!(short_age(Duration::from_secs(172_800)), "2 d");
    }
}
