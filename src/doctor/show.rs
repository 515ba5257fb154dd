//! Numbers as people read them.

use super::finding::Unit;

impl Unit {
    pub fn print(self, number: u64) -> String {
        match self {
            Unit::Count => grouped(number),
            Unit::Bytes => bytes(number),
        }
    }
}

/// `19,936`
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 connection`, `19,936 connections`
pub fn connections(number: u64) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} connection{ending}", grouped(number))
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
    fn numbers_are_grouped_by_three() {
        let shown = [0, 999, 1_000, 19_936, 1_000_000, u64::MAX].map(grouped);
        assert_eq!(shown[..5], ["0", "999", "1,000", "19,936", "1,000,000"]);
        assert_eq!(shown[5], "18,446,744,073,709,551,615");
        assert_eq!([0, 1, 2].map(connections), ["0 connections", "1 connection", "2 connections"]);
    }

    #[test]
    fn sizes_have_two_digits_at_least() {
        let shown = [0, 1023, 1024, 3_993, 10_240, 24_927_068_160, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "3.8 KiB", "10 KiB", "23 GiB", "15 EiB"]);
    }
}
