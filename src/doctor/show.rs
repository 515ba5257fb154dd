//! Formats counts and sizes.

use super::finding::Unit;
use crate::text::digits::grouped;

impl Unit {
    pub fn print(self, number: u64) -> String {
        match self {
            Unit::Count => count(number),
            Unit::Bytes => bytes(number),
        }
    }
}

/// `19,936`, `9,999,999`, `16.7 M`: at most nine columns, never rounded up.
pub fn count(number: u64) -> String {
    let (mut tenths, mut units) = (number / 100_000, ["M", "G", "T", "P", "E"].iter());
    let mut unit = units.next();
    if number < 10_000_000 {
        return grouped(number);
    }
    while tenths >= 10_000
        && let Some(next) = units.next()
    {
        (tenths, unit) = (tenths / 1000, Some(next));
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, unit.unwrap_or(&""))
}

/// `512 B`, `3.9 KiB`, `23 GiB`: never rounded up.
fn bytes(number: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut power = 0;
    while power + 1 < units.len() && number >> (10 * (power + 1)) > 0 {
        power += 1;
    }
    let whole = number >> (10 * power);
    let tenth = ((number as u128 * 10) >> (10 * power)) % 10;
    match (power, whole) {
        (1.., ..10) => format!("{whole}.{tenth} {}", units[power]),
        _ => format!("{whole} {}", units[power]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_counts_are_short_and_never_rounded_up() {
        let numbers = [0, 9_999_999, 10_000_000, 16_777_183, 999_999_999, 1_073_741_816, u64::MAX];
        let expected = ["0", "9,999,999", "10.0 M", "16.7 M", "999.9 M", "1.0 G", "18.4 E"];
        assert_eq!(numbers.map(count), expected);
    }

    #[test]
    fn sizes_have_two_digits_at_least() {
        let shown = [0, 1023, 1024, 3_993, 10_240, 24_927_068_160, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "3.8 KiB", "10 KiB", "23 GiB", "15 EiB"]);
    }
}
