//! Words that stand for a value: how they are read, and which word a value has.

use super::guess;
use super::parse_error::{Piece, SpanError};

/// The value of one of these words.
pub fn read<T: Copy>(piece: Piece<'_>, words: &[(&str, T)]) -> Result<T, SpanError> {
    let found = words.iter().find(|(word, _)| *word == piece.text);
    found.map(|(_, meant)| *meant).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let hint = guess::hint(piece.text, known.iter().copied(), str::to_string);
        piece.wrong(format!("an unknown word{hint}")).or_accepts(&known.join(", "))
    })
}

/// The word of a value: it must be among these.
pub fn of<T: PartialEq>(words: &[(&'static str, T)], meant: T) -> &'static str {
    words.iter().find(|(_, known)| *known == meant).map_or("", |(word, _)| word)
}
