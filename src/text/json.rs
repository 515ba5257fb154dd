//! The text form of JSON: one line, or the lines of a report, without characters that a terminal
//! would obey. serde derives what is written.

use std::fmt::Write;

use serde::Serialize;
use serde::de::IgnoredAny;

use super::escape::is_hidden;

/// Formats a value as one line, without spaces and without a line break.
///
/// `serde_json` escapes what JSON requires: quotes, backslashes and the control characters of
/// ASCII. The other hidden characters can only be part of strings, and are escaped here.
pub fn line(value: &impl Serialize) -> String {
    // Fails only for keys that are not strings, which derived objects do not have.
    escaped(serde_json::to_string(value).unwrap_or_default())
}

/// Formats foreign JSON as `line` does: fields and numbers stay as they are, in their order. Fails
/// if it is not JSON.
pub fn line_of(json: &str) -> serde_json::Result<String> {
    serde_json::from_str::<IgnoredAny>(json)?;
    let mut compact = String::with_capacity(json.len());
    let mut in_string = false;
    let mut chars = json.chars();
    while let Some(ch) = chars.next() {
        match ch {
            '"' => in_string = !in_string,
            ' ' | '\t' | '\r' | '\n' if !in_string => continue,
            _ => {}
        }
        compact.push(ch);
        if ch == '\\' {
            compact.extend(chars.next());
        }
    }
    Ok(escaped(compact))
}

/// Escapes the hidden characters of valid JSON, which only its strings contain. Most have none:
/// then no copy is made, since lists are long.
fn escaped(json: String) -> String {
    if json.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return json;
    }
    let mut line = String::with_capacity(json.len());
    for ch in json.chars() {
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
    on_lines(&line(value))
}

/// Formats foreign JSON as `report` does. Fails if it is not JSON.
pub fn report_of(json: &str) -> serde_json::Result<String> {
    line_of(json).map(|line| on_lines(&line))
}

/// Formats foreign JSON as one line of a report. Fails if it is not JSON.
pub fn spaced_line_of(json: &str) -> serde_json::Result<String> {
    // An object at this depth is on one line, and so is a list that does not begin with one.
    let nested = on_lines(&format!("[[0,{}]]", line_of(json)?));
    let inside = nested.trim_end().strip_prefix("[[0, ").and_then(|rest| rest.strip_suffix("]]"));
    Ok(inside.unwrap_or_default().to_string())
}

fn on_lines(compact: &str) -> String {
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

    #[test]
    fn foreign_json_keeps_its_fields_and_numbers_and_steers_no_terminal() {
        let json = "{ \"z\" : 18446744073709551615,\r\n\t\"a\": [1.50, \"x \\\" y\", null] ,\
            \"\u{9b}\":\"\u{202e}\"}\n";
        let expected = "{\n  \"z\": 18446744073709551615,\n  \"a\": [1.50, \"x \\\" y\", null],\n  \
            \"\\u009b\": \"\\u202e\"\n}\n";
        assert_eq!(report_of(json).unwrap(), expected);
        for broken in ["", "{", "{}x", "{\"a\":\u{1b}}", "\"\u{1b}\"", "[1,]"] {
            assert!(report_of(broken).is_err(), "{broken:?}");
        }
        let row = r#"{ "z":1,"a":"x, y" }"#;
        assert_eq!(spaced_line_of(row).unwrap(), r#"{"z": 1, "a": "x, y"}"#);
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(line_of(&deep).unwrap(), deep);
    }
}
