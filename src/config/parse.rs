//! Helpers of all parsers of user input: positions in a text, errors with carets, named values, and
//! suggestions for misspelled names.

use std::error::Error;
use std::fmt;
use std::ops::Range;

use crate::text::escape::is_hidden;

/// The error of every parser of user input. `Display` prints several lines: the subject, the text,
/// carets under the error, and what is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What the text is parsed as: "address", "route".
    pub subject: String,
    pub text: String,
    /// Position of the error, in bytes of `text`. Empty if something is missing there.
    pub span: Range<usize>,
    pub wrong: String,
    pub accepted: String,
}

/// A parse error before the whole text is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanError {
    pub span: Range<usize>,
    pub wrong: String,
    pub accepted: String,
}

/// A part of a text with its position in the whole.
#[derive(Clone, Copy, Debug)]
pub struct Spanned<'a> {
    pub text: &'a str,
    pub at: usize,
}

/// Maximum characters of a text in an error message; a longer one is cut around the error.
const SHOWN_CHARS: usize = 72;

impl ParseError {
    pub fn new(
        subject: impl Into<String>,
        text: impl Into<String>,
        span_error: SpanError,
    ) -> ParseError {
        let SpanError { span, wrong, accepted } = span_error;
        ParseError { subject: subject.into(), text: text.into(), span, wrong, accepted }
    }

    /// Returns the error in one line.
    pub fn wrong_and_accepted(&self) -> String {
        format!("{}; accepted: {}", self.wrong, self.accepted)
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "bad {}: {}", self.subject, shown(&self.text))?;
        let (line, carets) = window(&self.text, self.span.clone());
        writeln!(f, "  {line}")?;
        let marks = "^".repeat(carets.len().max(1));
        write!(f, "  {:indent$}{marks} {}", "", self.wrong, indent = carets.start)?;
        match self.accepted.is_empty() {
            true => Ok(()),
            false => write!(f, "\n  accepted: {}", self.accepted.replace('\n', "\n            ")),
        }
    }
}

impl Error for ParseError {}

impl SpanError {
    /// Sets what is accepted, unless it was set before.
    pub fn or_accepts(mut self, accepted: &str) -> SpanError {
        if self.accepted.is_empty() {
            self.accepted = accepted.to_string();
        }
        self
    }
}

impl<'a> Spanned<'a> {
    pub fn whole(text: &'a str) -> Spanned<'a> {
        Spanned { text, at: 0 }
    }

    pub fn is_empty(self) -> bool {
        self.text.is_empty()
    }

    /// Returns the bytes from `start` on, relative to this input.
    pub fn from(self, start: usize) -> Spanned<'a> {
        Spanned { text: &self.text[start..], at: self.at + start }
    }

    pub fn to(self, end: usize) -> Spanned<'a> {
        Spanned { text: &self.text[..end], at: self.at }
    }

    pub fn after(self, prefix: &str) -> Option<Spanned<'a>> {
        self.text.strip_prefix(prefix).map(|_| self.from(prefix.len()))
    }

    /// Splits at the first `sign`. None: there is no `sign`.
    pub fn split(self, sign: char) -> (Spanned<'a>, Option<Spanned<'a>>) {
        match self.text.find(sign) {
            Some(found) => (self.to(found), Some(self.from(found + sign.len_utf8()))),
            None => (self, None),
        }
    }

    /// Splits at every `sign`, into at least one part.
    pub fn parts(self, sign: char) -> impl Iterator<Item = Spanned<'a>> {
        let mut rest = Some(self);
        std::iter::from_fn(move || {
            let (part, others) = rest?.split(sign);
            rest = others;
            Some(part)
        })
    }

    /// Splits before the first of these signs; the rest begins with it.
    pub fn until(self, signs: &[char]) -> (Spanned<'a>, Spanned<'a>) {
        let found = self.text.find(signs).unwrap_or(self.text.len());
        (self.to(found), self.from(found))
    }

    /// Returns an error that spans this input.
    pub fn wrong(self, wrong: impl Into<String>) -> SpanError {
        let span = self.at..self.at + self.text.len();
        SpanError { span, wrong: wrong.into(), accepted: String::new() }
    }

    /// Returns an error at the end of this input: something is missing there.
    pub fn lacks(self, wrong: impl Into<String>) -> SpanError {
        self.from(self.text.len()).wrong(wrong)
    }
}

/// Returns the text as one safe line of limited length. Blank text is quoted.
pub fn shown(text: &str) -> String {
    match text.trim().is_empty() {
        true => format!("{text:?}"),
        false => window(text, 0..0).0,
    }
}

/// Stores a parsed value.
pub fn put<T>(field: &mut T, read: Result<T, SpanError>) -> Result<(), SpanError> {
    read.map(|value| *field = value)
}

/// Returns the text as one safe line, and the span in it in characters.
pub(super) fn window(text: &str, span: Range<usize>) -> (String, Range<usize>) {
    let place = |byte: usize| text.char_indices().take_while(|(at, _)| *at < byte).count();
    let (start, end) = (place(span.start), place(span.end));
    let total = text.chars().count();
    let visible = |c: char| match c {
        '\t' => ' ',
        c if is_hidden(c) => '?',
        c => c,
    };
    if total <= SHOWN_CHARS {
        return (text.chars().map(visible).collect(), start..end);
    }
    let first = start.saturating_sub(SHOWN_CHARS / 2).min(total - SHOWN_CHARS);
    let last = first + SHOWN_CHARS;
    let mut line = String::new();
    line.extend((first > 0).then_some('…'));
    line.extend(text.chars().skip(first).take(SHOWN_CHARS).map(visible));
    line.extend((last < total).then_some('…'));
    let shift = usize::from(first > 0);
    (line, start - first + shift..end.min(last) - first + shift)
}

/// Parses the name of a value.
pub fn choice<T: Copy>(input: Spanned<'_>, words: &[(&str, T)]) -> Result<T, SpanError> {
    let found = words.iter().find(|(word, _)| *word == input.text);
    found.map(|(_, meant)| *meant).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let hint = suggestion(input.text, known.iter().copied(), str::to_string);
        input.wrong(format!("unknown value{hint}")).or_accepts(&known.join(", "))
    })
}

/// Returns the name of a value, which must be in `words`.
pub fn choice_name<T: PartialEq>(words: &[(&'static str, T)], meant: T) -> &'static str {
    words.iter().find(|(_, known)| *known == meant).map_or("", |(word, _)| word)
}

/// Returns the nearest known name, if it is near enough.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (typed.chars().count() / 3).clamp(1, 3);
    let typed = typed.to_lowercase();
    let near = known.into_iter().map(|word| (distance(&typed, word), word));
    near.min_by_key(|(far, _)| *far).filter(|(far, _)| *far <= allowed).map(|(_, word)| word)
}

/// Returns "; did you mean NAME?" or an empty string, for the end of an error message.
pub fn suggestion<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str>,
    show: impl Fn(&str) -> String,
) -> String {
    nearest(typed, known).map_or(String::new(), |word| format!("; did you mean {}?", show(word)))
}

/// Returns the edit distance: insertions, deletions, substitutions and swaps of neighbors. Input is
/// unbounded, so only its first characters are compared.
fn distance(typed: &str, word: &str) -> usize {
    const CHARS_MAX: usize = 32;
    let a: Vec<char> = typed.chars().take(CHARS_MAX).collect();
    let b: Vec<char> = word.chars().collect();
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_carets_stand_under_the_wrong_place() {
        let span_error =
            Spanned::whole("ä=12x").from(3).wrong("not a number").or_accepts("a number");
        let shown = ParseError::new("thing", "ä=12x", span_error).to_string();
        let lines = ["bad thing: ä=12x", "  ä=12x", "    ^^^ not a number", "  accepted: a number"];
        assert_eq!(shown, lines.join("\n"));
    }

    #[test]
    fn a_missing_thing_gets_one_caret_after_the_text() {
        let shown =
            ParseError::new("thing", "a:", Spanned::whole("a:").lacks("no port")).to_string();
        assert_eq!(shown, "bad thing: a:\n  a:\n    ^ no port");
    }

    #[test]
    fn an_invisible_text_is_quoted() {
        assert_eq!([shown(""), shown(" "), shown("a b")], ["\"\"", "\" \"", "a b"]);
    }

    #[test]
    fn a_long_text_is_cut_round_the_wrong_place() {
        let text = format!("{}!{}", "x".repeat(300), "y".repeat(300));
        let span_error = Spanned::whole(&text).from(300).to(1).wrong("here");
        let shown = ParseError::new("thing", text.as_str(), span_error).to_string();
        let lines: Vec<&str> = shown.lines().collect();
        let column = |line: &str, sign| line.chars().position(|c| c == sign);
        assert_eq!(column(lines[1], '!'), column(lines[2], '^'));
        assert!(lines.iter().all(|line| line.chars().count() < 90), "{shown}");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let text = "a\x1b[31m\nb";
        let shown = ParseError::new("thing", text, Spanned::whole(text).wrong("no")).to_string();
        assert_eq!(shown, "bad thing: a?[31m?b\n  a?[31m?b\n  ^^^^^^^^ no");
        assert_eq!(super::shown("a\u{202e}b\u{200b}"), "a?b?");
        assert_eq!(super::shown("a\tb"), "a b", "a tab is a space");
    }

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        let known = ["echo", "relay", "discard", "idle-timeout", "max-lifetime"];
        let cases = [
            ("ecoh", Some("echo")),
            ("eho", Some("echo")),
            ("realy", Some("relay")),
            ("idel-timeout", Some("idle-timeout")),
            ("idletimeout", Some("idle-timeout")),
            ("ECHO", Some("echo")),
            ("Idle_Timeout", Some("idle-timeout")),
            ("idle_timeout", Some("idle-timeout")),
            ("max-life-time", Some("max-lifetime")),
            ("stress", None),
            ("x", None),
            ("", None),
        ];
        for (typed, meant) in cases {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
    }

    #[test]
    fn distances_count_single_slips() {
        for (a, b, far) in [("", "abc", 3), ("abc", "abc", 0), ("acb", "abc", 1), ("xbc", "abc", 1)]
        {
            assert_eq!(distance(a, b), far, "{a} {b}");
        }
        assert_eq!(distance(&"a".repeat(100_000), "echo"), 32);
    }
}
