//! Edits the line that is typed at a terminal: typed bytes in, complete lines and the text to be
//! displayed out. Does not touch the terminal.
//!
//! It replaces the line editing of the kernel, which does not report what has been typed before the
//! line is complete. The special characters are those that the terminal had set.

use crate::text::escape::is_hidden;

/// Maximum bytes of a line. When more are typed or pasted, what is there is sent, and the line
/// continues.
pub const MAX_TYPED_BYTES: usize = 64 * 1024;

/// Width of a row that is used if the terminal does not know its own, in columns.
pub const COLUMNS: usize = 80;

/// The special characters of the terminal. `None`: it has been disabled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpecialKeys {
    pub erase: Option<u8>,
    pub erase_word: Option<u8>,
    pub erase_line: Option<u8>,
    pub end: Option<u8>,
    pub reprint: Option<u8>,
    pub suspend: Option<u8>,
}

/// What typed bytes mean beyond a change of the line.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// A complete line with its line end, or what was typed of one.
    Line(Vec<u8>),
    /// The character for the end of the input, at an empty line.
    End,
    /// Display the line again: the screen may have been changed by others.
    Reprint,
    Suspend,
}

/// The unfinished line.
pub struct LineEditor {
    keys: SpecialKeys,
    line: Vec<u8>,
}

impl LineEditor {
    pub fn new(keys: SpecialKeys) -> LineEditor {
        LineEditor { keys, line: Vec::new() }
    }

    /// Handles typed bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Typed> {
        bytes.iter().filter_map(|&byte| self.push_byte(byte)).collect()
    }

    /// Returns the text to be displayed for the unfinished line: its end, as far as it fits into
    /// one row.
    pub fn display(&self, columns: usize) -> String {
        fit_end(&display(&self.line), columns)
    }

    fn push_byte(&mut self, byte: u8) -> Option<Typed> {
        let (keys, typed) = (self.keys, Some(byte));
        if typed == keys.end {
            let line = std::mem::take(&mut self.line);
            return Some(if line.is_empty() { Typed::End } else { Typed::Line(line) });
        }
        if typed == keys.reprint || typed == keys.suspend {
            return Some(if typed == keys.suspend { Typed::Suspend } else { Typed::Reprint });
        }
        // A terminal sends one of the last two, whichever is set.
        if typed == keys.erase || matches!(byte, b'\x08' | b'\x7f') {
            self.erase_character();
        } else if typed == keys.erase_line {
            self.line.clear();
        } else if typed == keys.erase_word {
            let is_space = |byte: &u8| byte.is_ascii_whitespace();
            let words = self.line.iter().rposition(|byte| !is_space(byte)).map_or(0, |at| at + 1);
            let rest = self.line[..words].iter().rposition(is_space).map_or(0, |at| at + 1);
            self.line.truncate(rest);
        } else {
            self.line.push(byte);
            if byte == b'\n' || self.line.len() == MAX_TYPED_BYTES {
                return Some(Typed::Line(std::mem::take(&mut self.line)));
            }
        }
        None
    }

    /// Removes the last character with its combining marks; a byte if that is not UTF-8.
    fn erase_character(&mut self) {
        while let Some(chunk) = self.line.utf8_chunks().last() {
            let last = chunk.valid().chars().next_back();
            let (bytes, is_mark) = match (chunk.invalid(), last) {
                ([], Some(ch)) => (ch.len_utf8(), ch != '\t' && columns_of(ch) == 0),
                _ => (1, false),
            };
            self.line.truncate(self.line.len() - bytes);
            if !is_mark {
                break;
            }
        }
    }
}

/// Returns the text to be displayed for typed bytes. Control characters are displayed like by the
/// kernel (`^X`), and their effect on the terminal is avoided.
pub fn display(line: &[u8]) -> String {
    let mut text = String::new();
    for ch in String::from_utf8_lossy(line).chars() {
        match ch {
            '\r' | '\n' => {}
            '\t' => text.push(' '),
            '\0'..='\x1f' | '\x7f' => text.extend(['^', char::from(ch as u8 ^ 0x40)]),
            ch if ch != '\u{200d}' && is_hidden(ch) => text.push(char::REPLACEMENT_CHARACTER),
            ch => text.push(ch),
        }
    }
    text
}

/// Returns the end of a text that fits into a row, marked with `<` if it is not all. The last
/// column stays free: a character there would move the cursor to the next row on some terminals.
fn fit_end(text: &str, columns: usize) -> String {
    let room = columns.saturating_sub(1).max(1);
    if text.chars().map(columns_of).sum::<usize>() <= room {
        return text.to_string();
    }
    let (mut start, mut used) = (text.len(), 1);
    for (at, ch) in text.char_indices().rev() {
        used += columns_of(ch);
        if used > room {
            break;
        }
        start = at;
    }
    format!("<{}", &text[start..])
}

/// Returns how many columns a character takes on most terminals: none for a combining mark, two for
/// East Asian wide characters and emoji. An error of one is repaired by the next redraw.
fn columns_of(ch: char) -> usize {
    match ch {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{20d0}'..='\u{20ff}' => 0,
        '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}' => 0,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' => 2,
        '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' => 2,
        '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn editor() -> LineEditor {
        LineEditor::new(SpecialKeys {
            erase: Some(b'\x7f'),
            erase_word: Some(b'\x17'),
            erase_line: Some(b'\x15'),
            end: Some(b'\x04'),
            reprint: Some(b'\x12'),
            suspend: Some(b'\x1a'),
        })
    }

    fn line(text: &str) -> Typed {
        Typed::Line(text.as_bytes().to_vec())
    }

    /// Returns the line after these bytes were typed.
    fn after(typed: &str) -> String {
        let mut editor = editor();
        assert_eq!(editor.push(typed.as_bytes()), []);
        String::from_utf8(editor.line).unwrap()
    }

    #[test]
    fn the_keys_erase_a_character_a_word_and_the_line() {
        let table = [
            ("abc\x7f", "ab"),
            ("abc\x08\x08", "a"),
            ("\x7f\x17\x15a", "a"),
            ("caf\u{e9}\x7f", "caf"),
            ("日本\x7f", "日"),
            ("e\u{301}\x7f", ""),
            ("a\t\x7f", "a"),
            ("👍\x7fx", "x"),
            ("one two\x17", "one "),
            ("one two \t \x17", "one "),
            ("one\x17", ""),
            ("one two\x15three", "three"),
        ];
        for (typed, expected) in table {
            assert_eq!(after(typed), expected, "{typed:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_erased_one_by_one() {
        let mut editor = editor();
        editor.push(b"a\xe6\x97\xff");
        for expected in [&b"a\xe6\x97"[..], b"a\xe6", b"a", b"", b""] {
            editor.push(b"\x7f");
            assert_eq!(editor.line, expected);
        }
    }

    #[test]
    fn a_pasted_text_is_as_many_lines_as_it_has() {
        let mut editor = editor();
        assert_eq!(editor.push(b"one\ntwo\r\n\nthr"), [line("one\n"), line("two\r\n"), line("\n")]);
        assert_eq!(
            (editor.push(b"ee\n"), editor.display(80)),
            (vec![line("three\n")], String::new())
        );
    }

    #[test]
    fn the_end_is_one_at_an_empty_line_only() {
        let mut editor = editor();
        assert_eq!(editor.push(b"part\x04\x04"), [line("part"), Typed::End]);
        assert_eq!(editor.push(b"a\x12\x1ab\n"), [Typed::Reprint, Typed::Suspend, line("ab\n")]);
    }

    #[test]
    fn a_key_that_is_disabled_is_an_ordinary_byte() {
        let mut editor = LineEditor::new(SpecialKeys::default());
        assert_eq!(editor.push(b"a\x04\x15\x1a\0\n"), [line("a\x04\x15\x1a\0\n")]);
    }

    #[test]
    fn a_line_that_is_too_long_is_sent_in_parts() {
        let mut editor = editor();
        let typed = editor.push(&[b'x'; 2 * MAX_TYPED_BYTES + 1]);
        assert_eq!(typed.len(), 2);
        assert!(typed.iter().all(|typed| *typed == line(&"x".repeat(MAX_TYPED_BYTES))));
        assert_eq!(editor.line, b"x");
    }

    #[test]
    fn the_display_is_one_row_without_control_characters() {
        let shown = |text: &str, columns| fit_end(&display(text.as_bytes()), columns);
        assert_eq!(shown("a\tb\x1b[Ac\x7f\r\n", 80), "a b^[[Ac^?");
        assert_eq!(shown("\u{9b}2J\u{202e}", 80), "\u{fffd}2J\u{fffd}");
        assert_eq!(display(b"\xff"), "\u{fffd}");
        assert_eq!(shown("123456789", 10), "123456789");
        assert_eq!(shown("1234567890", 10), "<34567890");
        assert_eq!(shown("日本語日本", 10), "<本語日本");
        assert_eq!(shown("abc", 0), "<");
        for columns in 0..20 {
            let text = shown("日e\u{301}👍 text that is too long 日本", columns);
            let used: usize = text.chars().map(columns_of).sum();
            assert!(used < columns.max(2), "{columns}: {text}");
        }
    }
}
