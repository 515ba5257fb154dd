//! Remembers which explanations were logged: `--explain` logs each only once.

use std::collections::HashSet;
use std::fmt::{self, Display, Formatter};

use crate::core::{Event, Key};

use super::explain::explain;

/// The explanations logged so far. At most as many as `explain` has sentences.
#[derive(Default)]
pub struct Explained(HashSet<String>);

impl Explained {
    /// Returns whether this explanation was not logged before, and records it.
    pub fn is_first(&mut self, key: Key, event: &Event<'_>) -> bool {
        let sentence = Explanation { key, event }.to_string();
        // Sentences that differ only in numbers and times count as one.
        let has_digit = |word: &str| word.contains(|c: char| c.is_ascii_digit());
        let words = sentence.split(' ').filter(|word| !has_digit(word));
        self.0.insert(words.collect::<Vec<_>>().join(" "))
    }
}

struct Explanation<'a> {
    key: Key,
    event: &'a Event<'a>,
}

impl Display for Explanation<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        explain(f, self.key, self.event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ReadHint;

    #[test]
    fn an_explanation_is_logged_once_whatever_its_numbers_are() {
        let mut explained = Explained::default();
        let key = Key::new(7, 3);
        let read = |bytes, hint| Event::Read { bytes, room: 65_536, hint };
        assert!(explained.is_first(key, &read(5, ReadHint::Short)));
        assert!(!explained.is_first(Key::new(8, 4), &read(900, ReadHint::Short)));
        assert!(explained.is_first(key, &read(65_536, ReadHint::Full)), "another reason");
        assert!(explained.is_first(key, &Event::Wrote { bytes: 3, left: 2 }));
        assert!(!explained.is_first(key, &Event::Wrote { bytes: 4, left: 77 }));
        assert!(explained.is_first(key, &Event::Wrote { bytes: 4, left: 0 }));
    }
}
