//! Named values: parses a name, and returns the name of a value.

use super::guess;
use super::parse_error::{Piece, SpanError};

/// Parses the name of a value.
pub fn read<T: Copy>(piece: Piece<'_>, words: &[(&str, T)]) -> Result<T, SpanError> {
    let found = words.iter().find(|(word, _)| *word == piece.text);
    found.map(|(_, meant)| *meant).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let hint = guess::hint(piece.text, known.iter().copied(), str::to_string);
        piece.wrong(format!("unknown value{hint}")).or_accepts(&known.join(", "))
    })
}

/// Returns the name of a value, which must be in `words`.
pub fn of<T: PartialEq>(words: &[(&'static str, T)], meant: T) -> &'static str {
    words.iter().find(|(_, known)| *known == meant).map_or("", |(word, _)| word)
}
