//! Formats whole numbers: digits in groups of three, and counts with singular and plural nouns.

use std::fmt::{self, Display, Formatter};

/// `1 target`, `2 targets`, `3 addresses`; of `pause: of accepting`: `2 pauses of accepting`; of
/// `byte: is`: `2 bytes are`.
pub struct Count<'a>(pub usize, pub &'a str);

impl Display for Count<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Count(number, thing) = *self;
        write!(f, "{number} {}", inflected(number == 1, thing))
    }
}

/// Returns a noun with its ending, and what belongs to it.
fn inflected(is_one: bool, thing: &str) -> String {
    // The part after a colon belongs to the noun. It has no plural, unless it is a verb.
    let (noun, rest) = match thing.split_once(':').unwrap_or((thing, "")) {
        (noun, " is") if !is_one => (noun, " are"),
        (noun, " was") if !is_one => (noun, " were"),
        parts => parts,
    };
    let ending = match noun {
        _ if is_one => "",
        "address" => "es",
        _ => "s",
    };
    format!("{noun}{ending}{rest}")
}

/// Formats a number: `19,936`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a number with its noun, which is as that of `Count`: `1 connection`, `19,936
/// connections`.
pub fn plural(count: u64, thing: &str) -> String {
    format!("{} {}", grouped(count), inflected(count == 1, thing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        let table = [
            (Count(1, "target"), "1 target"),
            (Count(0, "target"), "0 targets"),
            (Count(2, "address"), "2 addresses"),
            (Count(1, "pause: of accepting"), "1 pause of accepting"),
            (Count(2, "pause: of accepting"), "2 pauses of accepting"),
            (Count(1, "byte: is"), "1 byte is"),
            (Count(0, "byte: is"), "0 bytes are"),
            (Count(517_271, "event: was"), "517271 events were"),
        ];
        for (count, expected) in table {
            assert_eq!(count.to_string(), expected);
        }
    }

    #[test]
    fn numbers_are_grouped_by_three() {
        let shown = [0, 999, 1_000, 19_936, 1_000_000, u64::MAX].map(grouped);
        assert_eq!(shown[..5], ["0", "999", "1,000", "19,936", "1,000,000"]);
        assert_eq!(shown[5], "18,446,744,073,709,551,615");
        let connections = [0, 1, 2].map(|count| plural(count, "connection"));
        assert_eq!(connections, ["0 connections", "1 connection", "2 connections"]);
        assert_eq!((plural(1, "byte"), plural(0, "byte")), ("1 byte".into(), "0 bytes".into()));
    }
}
