//! Numbers as people read them.

use super::finding::Unit;
use crate::text::digits::grouped;

impl Unit {
    pub fn print(self, number: u64) -> String {
        match self {
            Unit::Count => grouped(number),
            Unit::Bytes => bytes(number),
        }
    }
}

/// `512 B`, `3.9 KiB`, `23 GiB`: never more than is there.
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
    fn sizes_have_two_digits_at_least() {
        let shown = [0, 1023, 1024, 3_993, 10_240, 24_927_068_160, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "3.8 KiB", "10 KiB", "23 GiB", "15 EiB"]);
    }
}
