//! The retired words: private words that were replaced by the terms of the field. This file
//! contains them, so it is the only one that is not checked for them.

use crate::rules::Violation;
use crate::source::Source;

/// The path of this file.
pub const EXEMPT: &str = "tests/tidy/words.rs";

/// Rejected in every text, in the singular and with an `s`.
const RETIRED: &[&str] = &[
    "birth",
    "climb",
    "courier",
    "door",
    "heed",
    "inlet",
    "knock",
    "letterbox",
    "lexicon",
    "superior",
    "tunings",
    "volley",
];

/// Rejected in identifiers of Rust code only: in a sentence they are ordinary words.
const RETIRED_IDENTIFIERS: &[&str] = &["guest", "lane", "letter", "seen", "tell", "whose"];

/// Checks the lines of any text.
pub fn check_text(text: &str) -> Vec<Violation> {
    let is_retired = |word: &str| {
        RETIRED.contains(&word) || word.strip_suffix('s').is_some_and(|one| RETIRED.contains(&one))
    };
    // Splitting a long text is slow, and most texts contain none of the words.
    let text_lower = text.to_lowercase();
    if !RETIRED.iter().any(|word| text_lower.contains(word)) {
        return Vec::new();
    }
    let lines = text.lines().enumerate();
    lines.flat_map(|(at, line)| violations(at + 1, line, is_retired)).collect()
}

/// Checks the identifiers of a Rust file.
pub fn check_identifiers(source: &Source) -> Vec<Violation> {
    let is_retired = |word: &str| RETIRED_IDENTIFIERS.contains(&word);
    let tokens = source.tokens.iter();
    tokens.flat_map(|token| violations(token.line, token.text, is_retired)).collect()
}

fn violations(line: usize, text: &str, is_retired: impl Fn(&str) -> bool) -> Vec<Violation> {
    let found = words(text).into_iter().filter(|word| is_retired(word));
    let violation = |word| Violation { line, rule: "words", text: format!("retired word {word}") };
    found.map(violation).collect()
}

/// Splits a text into lower-case words at everything that is not a letter, and at case changes.
fn words(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let mut words = vec![String::new()];
    for (at, letter) in letters.iter().enumerate() {
        let is_lower = |at: usize| letters.get(at).is_some_and(|letter| letter.is_lowercase());
        let follows_lower = at > 0 && is_lower(at - 1);
        // The last capital of several belongs to the next word: `HTTPServer`.
        let starts_word = letter.is_uppercase() && (follows_lower || is_lower(at + 1));
        if starts_word || !letter.is_alphabetic() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter.is_alphabetic()) {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, String)> {
        check_text(text).into_iter().map(|violation| (violation.line, violation.text)).collect()
    }

    fn identifiers(text: &str) -> Vec<(usize, String)> {
        let violations = check_identifiers(&Source::new("src/x.rs", text));
        violations.into_iter().map(|violation| (violation.line, violation.text)).collect()
    }

    #[test]
    fn a_text_is_split_at_marks_and_case_changes() {
        assert_eq!(words("OwnDoor"), ["own", "door"]);
        assert_eq!(words("own_door, ownDoor2"), ["own", "door", "own", "door"]);
        assert_eq!(words("HTTPServer MAX_IDLE it's"), ["http", "server", "max", "idle", "it", "s"]);
        assert_eq!(words(" - 7"), [""; 0]);
    }

    #[test]
    fn a_retired_word_is_found_in_any_text() {
        let text = "struct OwnDoor;\n// knocks at 2 doors\nlet x = \"the Volley\";";
        let expected = [
            (1, "retired word door".to_string()),
            (2, "retired word knocks".to_string()),
            (2, "retired word doors".to_string()),
            (3, "retired word volley".to_string()),
        ];
        assert_eq!(found(text), expected);
    }

    #[test]
    fn a_longer_word_is_another_word() {
        assert_eq!(found("indoor doorway rebirth climbing"), []);
    }

    #[test]
    fn ordinary_words_are_retired_as_identifiers_only() {
        let prose = "// the guest has seen a letter\nlet x = \"tell me whose\";";
        assert_eq!((found(prose), identifiers(prose)), (vec![], vec![]));
        let code = "fn f(seen: &u8) {\n self.tell_all(GuestList) }";
        let expected = [
            (1, "retired word seen".to_string()),
            (2, "retired word tell".to_string()),
            (2, "retired word guest".to_string()),
        ];
        assert_eq!(identifiers(code), expected);
    }
}
