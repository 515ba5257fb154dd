//! Explanations that were given already: with `--explain`, each is given the first time only.

use std::collections::HashSet;
use std::fmt::{self, Display, Formatter};

use crate::core::{Event, Key};

use super::explain::hint;

/// The explanations given so far. There are as many as `explain` has sentences.
#[derive(Default)]
pub struct Given(HashSet<String>);

impl Given {
    /// Whether the explanation of this event is the first of its kind.
    pub fn is_first(&mut self, key: Key, event: &Event<'_>) -> bool {
        let sentence = Explanation { key, event }.to_string();
        // Numbers and times make no other kind of it.
        let has_digit = |word: &str| word.contains(|letter: char| letter.is_ascii_digit());
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
        hint(f, self.key, self.event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ReadHint;

    #[test]
    fn an_explanation_is_given_once_whatever_its_numbers_are() {
        let mut given = Given::default();
        let key = Key::new(7, 3);
        let read = |bytes, hint| Event::Read { bytes, room: 65_536, hint };
        assert!(given.is_first(key, &read(5, ReadHint::Short)));
        assert!(!given.is_first(Key::new(8, 4), &read(900, ReadHint::Short)));
        assert!(given.is_first(key, &read(65_536, ReadHint::Full)), "another reason");
        assert!(given.is_first(key, &Event::Wrote { bytes: 3, left: 2 }));
        assert!(!given.is_first(key, &Event::Wrote { bytes: 4, left: 77 }));
        assert!(given.is_first(key, &Event::Wrote { bytes: 4, left: 0 }));
    }
}
