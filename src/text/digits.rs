//! Formats whole numbers with digits in groups of three.

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

/// Formats a number with its noun: `1 connection`, `19,936 connections`.
pub fn plural(count: u64, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", grouped(count))
}

#[cfg(test)]
mod tests {
    use super::*;

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
