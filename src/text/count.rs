//! Formats counts with singular and plural nouns.

use std::fmt::{self, Display, Formatter};

/// `1 target`, `2 targets`, `3 addresses`; of `pause: of accepting`: `2 pauses of accepting`.
pub struct Count<'a>(pub usize, pub &'a str);

impl Display for Count<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Count(number, thing) = *self;
        // The part after a colon belongs to the noun and has no plural.
        let (noun, rest) = thing.split_once(':').unwrap_or((thing, ""));
        let plural = match noun {
            _ if number == 1 => "",
            "address" => "es",
            _ => "s",
        };
        write!(f, "{number} {noun}{plural}{rest}")
    }
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
        ];
        for (count, expected) in table {
            assert_eq!(count.to_string(), expected);
        }
    }
}
