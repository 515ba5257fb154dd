//! The text form of JSON: one line, or the lines of a report, without characters that a terminal
//! would obey. serde derives what is written.

use std::fmt::Write;

use serde::Serialize;

use super::escape::is_hidden;

/// Formats a value as one line, without spaces and without a line break.
///
/// `serde_json` escapes what JSON requires: quotes, backslashes and the control characters of
/// ASCII. The other hidden characters can only be part of strings, and are escaped here.
pub fn line(value: &impl Serialize) -> String {
    // Fails only for keys that are not strings, which derived objects do not have.
    let compact = serde_json::to_string(value).unwrap_or_default();
    let mut line = String::with_capacity(compact.len());
    for ch in compact.chars() {
        match is_hidden(ch) {
            false => line.push(ch),
            // Writing to a string does not fail.
            true => ch.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(line, "\\u{unit:04x}");
            }),
        }
    }
    line
}

/// Maximum nesting of objects whose fields are on lines of their own: a report and its parts.
const OBJECTS_ON_LINES: usize = 2;
/// Maximum nesting of objects and lists whose items are on lines of their own.
const LISTS_ON_LINES: usize = 3;

/// Formats a report: each field of the outer two levels of objects is on its own line, and so is
/// each object of a list. The rest is on one line.
pub fn report(value: &impl Serialize) -> String {
    let compact = line(value);
    let mut text = String::with_capacity(2 * compact.len());
    let mut levels = Levels::default();
    let mut in_string = false;
    let mut chars = compact.chars().peekable();
    while let Some(ch) = chars.next() {
        match ch {
            '"' => in_string = !in_string,
            '}' | ']' if !in_string && levels.close() => levels.break_line(&mut text),
            _ => {}
        }
        text.push(ch);
        match ch {
            '\\' => text.extend(chars.next()),
            _ if in_string => {}
            '{' | '[' if levels.open(ch, chars.peek().copied()) => levels.break_line(&mut text),
            ',' if levels.are_on_lines() => levels.break_line(&mut text),
            ',' | ':' => text.push(' '),
            _ => {}
        }
    }
    text + "\n"
}

/// The enclosing objects and lists, outermost first: whether their items are on lines of their own.
#[derive(Default)]
struct Levels(Vec<bool>);

impl Levels {
    /// Enters an object or list. Returns whether its items are on lines.
    fn open(&mut self, bracket: char, first: Option<char>) -> bool {
        let on_lines = match bracket {
            '{' => first != Some('}') && self.0.len() < OBJECTS_ON_LINES,
            _ => first == Some('{') && self.depth() < LISTS_ON_LINES,
        };
        self.0.push(on_lines);
        on_lines
    }

    /// Leaves an object or list. Returns whether its items are on lines.
    fn close(&mut self) -> bool {
        self.0.pop() == Some(true)
    }

    fn are_on_lines(&self) -> bool {
        self.0.last() == Some(&true)
    }

    fn depth(&self) -> usize {
        self.0.iter().filter(|on_lines| **on_lines).count()
    }

    fn break_line(&self, text: &mut String) {
        let _ = write!(text, "\n{:1$}", "", 2 * self.depth());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Tree {
        name: &'static str,
        parts: Vec<Tree>,
    }

    #[test]
    fn only_the_upper_levels_of_a_report_are_split_into_lines() {
        let tree = |name, parts| Tree { name, parts };
        let leaf = || vec![tree("leaf", Vec::new())];
        let value = tree("root", vec![tree("a", vec![tree("b", leaf())]), tree("c", Vec::new())]);
        let lines = "{\n  \"name\": \"root\",\n  \"parts\": [\n    \
            {\"name\": \"a\", \"parts\": [\n      \
            {\"name\": \"b\", \"parts\": [{\"name\": \"leaf\", \"parts\": []}]}\n    ]},\n    \
            {\"name\": \"c\", \"parts\": []}\n  ]\n}\n";
        assert_eq!(report(&value), lines);
        assert_eq!(report(&[[1, 2], [3, 4]]), "[[1, 2], [3, 4]]\n");
        assert_eq!(line(&leaf()), r#"[{"name":"leaf","parts":[]}]"#);
    }

    #[test]
    fn strings_are_valid_and_visible_whatever_they_contain() {
        let text = "a\"b\\c\n×\x1b\u{7f}\u{9b}\u{202e}\u{e0041}[,:{\\";
        let escaped = r#""a\"b\\c\n×\u001b\u007f\u009b\u202e\udb40\udc41[,:{\\""#;
        assert_eq!(line(&text), escaped);
        assert_eq!(report(&text), format!("{escaped}\n"));
        assert_eq!(serde_json::from_str::<String>(escaped).unwrap(), text);
    }
}
