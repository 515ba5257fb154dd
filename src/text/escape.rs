//! Escapes foreign text: everything chosen by a peer, a user, another program or a name server,
//! before it is written to a line of text, an HTML page or a shell command. JSON is in `json`.
//!
//! Control characters steer a terminal, line breaks forge log lines, and invisible characters
//! reorder text. All of these are written as `\xNN`, byte by byte, and a backslash as two, so that
//! the output is unambiguous.

use std::fmt::{self, Write};

/// Maximum columns of foreign text in a line. Longer text ends in `...`.
pub const COLUMNS: usize = 256;

/// Foreign bytes, to be shown with `{}`.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    bytes: &'a [u8],
    form: Form,
    columns: usize,
}

/// What is escaped in addition to control and invisible characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text of oneloop itself: backslashes are not escaped.
    Ours,
    /// Foreign text: a backslash is doubled.
    Foreign,
    /// Foreign text in double quotes.
    Quoted,
    /// Text of an HTML page, in an element or a quoted attribute: backslashes are not escaped.
    Html,
}

impl<'a> Shown<'a> {
    pub fn new(bytes: &'a [u8], form: Form) -> Shown<'a> {
        Shown { bytes, form, columns: COLUMNS }
    }

    pub fn within(self, columns: usize) -> Shown<'a> {
        Shown { columns, ..self }
    }
}

/// Foreign text as part of a line.
pub fn plain(text: &str) -> Shown<'_> {
    Shown::new(text.as_bytes(), Form::Foreign)
}

/// A printed value that may contain foreign text, as part of a line.
pub fn escaped(value: &dyn fmt::Display) -> String {
    plain(&value.to_string()).to_string()
}

/// Foreign bytes in double quotes.
pub fn quoted(bytes: &[u8]) -> Shown<'_> {
    Shown::new(bytes, Form::Quoted)
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = if self.form == Form::Quoted { "\"" } else { "" };
        f.write_str(quote)?;
        let whole = escape(f, self.bytes, self.form, self.columns)?;
        write!(f, "{quote}{}", if whole { "" } else { "..." })
    }
}

/// Escapes an error message line by line. Foreign text in it was escaped when it was inserted: this
/// is the last line of defense.
pub fn message(text: &str) -> String {
    let lines = text
        .split('\n')
        .map(|line| Shown::new(line.as_bytes(), Form::Ours).within(usize::MAX).to_string());
    lines.collect::<Vec<_>>().join("\n")
}

/// Writes `bytes` escaped, in at most the given columns. Returns false if they did not fit.
pub fn escape(
    out: &mut dyn Write,
    bytes: &[u8],
    form: Form,
    columns: usize,
) -> Result<bool, fmt::Error> {
    let mut left = columns;
    for chunk in bytes.utf8_chunks() {
        for ch in chunk.valid().chars() {
            let piece = Escaped::of(ch, form);
            let Some(after) = left.checked_sub(piece.columns()) else { return Ok(false) };
            left = after;
            piece.write(out)?;
        }
        for &byte in chunk.invalid() {
            let piece = Escaped::InvalidByte(byte);
            let Some(after) = left.checked_sub(piece.columns()) else { return Ok(false) };
            left = after;
            piece.write(out)?;
        }
    }
    Ok(true)
}

/// Escapes text so that it cannot open or close an element or an attribute.
pub fn html(text: &str) -> String {
    Shown::new(text.as_bytes(), Form::Html).within(usize::MAX).to_string()
}

/// Escapes JSON so that it cannot end a script element or open a comment in it, and has no line
/// separators. A parser restores it.
pub fn script_json(json: &str) -> String {
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// Quotes an argument for a POSIX shell. Control and invisible characters are escaped in `$'…'`.
pub fn shell_quoted(argument: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+[]".contains(c);
    if argument.chars().any(is_hidden) {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write!(text, "{}", plain(argument).within(usize::MAX));
        return format!("$'{}'", text.replace('\'', "\\'"));
    }
    match !argument.is_empty() && argument.chars().all(is_safe) {
        true => argument.to_string(),
        false => format!("'{}'", argument.replace('\'', "'\\''")),
    }
}

/// The output for one character, or for one invalid byte.
enum Escaped {
    AsIs(char),
    /// A backslash and the character.
    Backslash(char),
    /// An HTML entity.
    Entity(&'static str),
    /// Each of its bytes as `\xNN`.
    Bytes(char),
    /// A byte that is not valid UTF-8.
    InvalidByte(u8),
}

impl Escaped {
    fn of(ch: char, form: Form) -> Escaped {
        match ch {
            '\n' => Escaped::Backslash('n'),
            '\r' => Escaped::Backslash('r'),
            '\t' => Escaped::Backslash('t'),
            '\\' if !matches!(form, Form::Ours | Form::Html) => Escaped::Backslash('\\'),
            '"' if form == Form::Quoted => Escaped::Backslash('"'),
            '&' if form == Form::Html => Escaped::Entity("&amp;"),
            '<' if form == Form::Html => Escaped::Entity("&lt;"),
            '>' if form == Form::Html => Escaped::Entity("&gt;"),
            '"' if form == Form::Html => Escaped::Entity("&quot;"),
            '\'' if form == Form::Html => Escaped::Entity("&#39;"),
            ' '..='~' => Escaped::AsIs(ch),
            _ if !is_hidden(ch) => Escaped::AsIs(ch),
            _ => Escaped::Bytes(ch),
        }
    }

    fn columns(&self) -> usize {
        match self {
            Escaped::AsIs(_) | Escaped::Entity(_) => 1,
            Escaped::Backslash(_) => 2,
            Escaped::Bytes(ch) => 4 * ch.len_utf8(),
            Escaped::InvalidByte(_) => 4,
        }
    }

    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        match *self {
            Escaped::AsIs(ch) => out.write_char(ch),
            Escaped::Backslash(ch) => write!(out, "\\{ch}"),
            Escaped::Entity(entity) => out.write_str(entity),
            Escaped::Bytes(ch) => {
                let mut bytes = [0; 4];
                let mut bytes = ch.encode_utf8(&mut bytes).bytes();
                bytes.try_for_each(|byte| write!(out, "\\x{byte:02x}"))
            }
            Escaped::InvalidByte(byte) => write!(out, "\\x{byte:02x}"),
        }
    }
}

/// Whether a character is invisible or changes how others are displayed.
pub fn is_hidden(ch: char) -> bool {
    ch.is_control()
        || matches!(ch,
            // The soft hyphen, and marks of direction for one character.
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            // Spaces without width, joiners, and marks of direction.
            | '\u{200b}'..='\u{200f}'
            // Line and paragraph separators; embeddings and overrides of direction.
            | '\u{2028}'..='\u{202e}'
            // Invisible operators; isolates of direction.
            | '\u{2060}'..='\u{206f}'
            // The byte order mark, and annotations.
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            // Tags, which can hide whole texts.
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_of_any_script_is_shown_as_it_is() {
        for text in ["hello, world", "Grüße", "日本語", "смешно", "a/b:c@d"] {
            assert_eq!(plain(text).to_string(), text);
        }
    }

    #[test]
    fn a_terminal_escape_does_not_reach_the_terminal() {
        assert_eq!(plain("\x1b[2J\x1b]0;owned\x07").to_string(), "\\x1b[2J\\x1b]0;owned\\x07");
        // The same in one byte of C1, as a character and as a lone byte.
        assert_eq!(plain("\u{9b}2J").to_string(), "\\xc2\\x9b2J");
        assert_eq!(quoted(b"\x9b2J\x7f\0").to_string(), "\"\\x9b2J\\x7f\\x00\"");
    }

    #[test]
    fn a_line_cannot_be_forged() {
        let forged = "x\r\n2026-01-01T00:00:00.000Z ERROR all is lost";
        let shown = plain(forged).to_string();
        assert_eq!(shown, "x\\r\\n2026-01-01T00:00:00.000Z ERROR all is lost");
        for separator in ["\u{85}", "\u{2028}", "\u{2029}", "\x0b", "\x0c"] {
            assert!(plain(separator).to_string().starts_with("\\x"), "{separator:?}");
        }
    }

    #[test]
    fn characters_that_reverse_or_hide_text_are_made_visible() {
        assert_eq!(plain("exe\u{202e}txt").to_string(), "exe\\xe2\\x80\\xaetxt");
        for hidden in ["\u{200b}", "\u{2066}", "\u{feff}", "\u{e0041}", "\u{61c}"] {
            assert!(plain(hidden).to_string().is_ascii(), "{hidden:?}");
        }
    }

    #[test]
    fn invalid_utf8_is_shown_as_bytes() {
        assert_eq!(quoted(b"a\xff\xfeb\xe2\x82").to_string(), "\"a\\xff\\xfeb\\xe2\\x82\"");
    }

    #[test]
    fn escaped_text_is_unambiguous() {
        assert_eq!(plain("\\x1b").to_string(), "\\\\x1b");
        assert_eq!(quoted(b"say \"hi\"\\").to_string(), "\"say \\\"hi\\\"\\\\\"");
        assert_eq!(Shown::new(b"\\x1b \x1b", Form::Ours).to_string(), "\\x1b \\x1b");
    }

    #[test]
    fn a_page_gets_neither_markup_nor_control_characters() {
        let html = |text: &str| Shown::new(text.as_bytes(), Form::Html).to_string();
        assert_eq!(html("<a href='x'>\"&"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;");
        assert_eq!(html("\x1b\u{202e}\n"), "\\x1b\\xe2\\x80\\xae\\n");
        assert_eq!(html("it'\\''s · 3 µs"), "it&#39;\\&#39;&#39;s · 3 µs");
    }

    #[test]
    fn a_message_keeps_its_line_breaks_and_no_other_control_character() {
        let shown = message("bad \x1b[2J\r\n  ^ here\\");
        assert_eq!(shown, "bad \\x1b[2J\\r\n  ^ here\\");
        let long = "x".repeat(2 * COLUMNS);
        assert_eq!(message(&long), long);
    }

    #[test]
    fn long_text_is_truncated_between_characters_with_an_ellipsis() {
        assert_eq!(plain("abcdef").within(6).to_string(), "abcdef");
        assert_eq!(plain("abcdefg").within(6).to_string(), "abcdef...");
        assert_eq!(quoted(b"ab\x01").within(5).to_string(), "\"ab\"...");
        let long = "\u{202e}".repeat(1000);
        assert!(plain(&long).to_string().len() <= COLUMNS + 3);
    }

    #[test]
    fn an_argument_is_quoted_where_a_shell_would_change_it() {
        assert_eq!(shell_quoted("tcp://127.0.0.1:7"), "tcp://127.0.0.1:7");
        assert_eq!(shell_quoted("a b"), "'a b'");
        assert_eq!(shell_quoted("it's"), "'it'\\''s'");
        assert_eq!(shell_quoted(""), "''");
    }

    #[test]
    fn an_argument_with_control_characters_is_shown_and_can_be_pasted() {
        assert_eq!(shell_quoted("a\x1b[2J\n"), "$'a\\x1b[2J\\n'");
        assert_eq!(shell_quoted("it's\\\u{202e}"), "$'it\\'s\\\\\\xe2\\x80\\xae'");
    }

    #[test]
    fn json_in_a_script_element_cannot_end_it_and_is_restored() {
        let evil = "</script><script><!--\u{2028}\u{2029}\"'\\";
        let json = serde_json::Value::from(evil).to_string();
        let escaped = script_json(&json);
        assert!(!escaped.contains(['<', '\u{2028}', '\u{2029}']), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), evil);
    }
}
