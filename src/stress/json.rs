//! JSON values: writes and parses them.

use std::fmt::{self, Write};

use crate::text::escape::write_json;

/// A JSON value. Numbers have the precision of a 64-bit float, as in most JSON parsers.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    /// Fields in the order in which they are written.
    Object(Vec<(String, Json)>),
}

/// Creates an object.
pub fn object<const N: usize>(fields: [(&str, Json); N]) -> Json {
    Json::Object(fields.map(|(name, value)| (name.to_string(), value)).into())
}

/// Maximum nesting depth of a parsed value.
const DEPTH_MAX: usize = 32;

impl Json {
    /// Parses a text. `None`: it is not valid JSON.
    pub fn parse(text: &str) -> Option<Json> {
        let mut parser = JsonParser { rest: text };
        let value = parser.value(DEPTH_MAX)?;
        parser.skip_whitespace();
        parser.rest.is_empty().then_some(value)
    }

    /// Returns a field of an object.
    pub fn get(&self, name: &str) -> Option<&Json> {
        let Json::Object(fields) = self else { return None };
        fields.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub fn number(&self) -> Option<f64> {
        match self {
            Json::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the items of a list; none of any other value.
    pub fn items(&self) -> &[Json] {
        match self {
            Json::List(items) => items,
            _ => &[],
        }
    }

    /// Formats the value with one line per field, down to this depth. Deeper values are on one
    /// line.
    pub fn pretty(&self, depth: usize) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text, depth, 0);
        text
    }

    fn write(&self, out: &mut dyn Write, depth: usize, indent: usize) -> fmt::Result {
        let open = depth > indent;
        match self {
            Json::Null => out.write_str("null"),
            Json::Bool(flag) => write!(out, "{flag}"),
            Json::Number(number) if number.is_finite() => write!(out, "{number}"),
            Json::Number(_) => out.write_str("null"),
            Json::Text(text) => write_json(out, text),
            Json::List(items) => {
                let open = open && items.iter().any(|item| matches!(item, Json::Object(_)));
                sequence(out, ['[', ']'], open.then_some(indent), items, |out, item| {
                    item.write(out, depth, indent + 1)
                })
            }
            Json::Object(fields) => {
                let open = open.then_some(indent);
                sequence(out, ['{', '}'], open, fields, |out, (name, value)| {
                    write_json(out, name)?;
                    out.write_str(": ")?;
                    value.write(out, depth, indent + 1)
                })
            }
        }
    }
}

/// Writes the items of a list or an object, one per line if `indent` is given.
fn sequence<T>(
    out: &mut dyn Write,
    brackets: [char; 2],
    indent: Option<usize>,
    items: &[T],
    mut write: impl FnMut(&mut dyn Write, &T) -> fmt::Result,
) -> fmt::Result {
    out.write_char(brackets[0])?;
    for (index, item) in items.iter().enumerate() {
        match indent {
            Some(indent) => {
                let comma = if index == 0 { "" } else { "," };
                write!(out, "{comma}\n{:1$}", "", 2 * (indent + 1))?;
            }
            None if index > 0 => out.write_str(", ")?,
            None => {}
        }
        write(out, item)?;
    }
    if let Some(indent) = indent.filter(|_| !items.is_empty()) {
        write!(out, "\n{:1$}", "", 2 * indent)?;
    }
    out.write_char(brackets[1])
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0, 0)
    }
}

/// The part of the text not parsed yet.
struct JsonParser<'a> {
    rest: &'a str,
}

impl JsonParser<'_> {
    fn skip_whitespace(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Consumes this text, if it comes next.
    fn consume(&mut self, text: &str) -> bool {
        self.skip_whitespace();
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        let depth = depth.checked_sub(1)?;
        let literals =
            [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))];
        for (literal, value) in literals {
            if self.consume(literal) {
                return Some(value);
            }
        }
        match self.rest.chars().next()? {
            '"' => self.text().map(Json::Text),
            '[' => self.items('[', ']', |parser| parser.value(depth)).map(Json::List),
            '{' => {
                let field = |parser: &mut Self| {
                    parser.skip_whitespace();
                    let name = parser.text()?;
                    let value = parser.consume(":").then(|| parser.value(depth)).flatten()?;
                    Some((name, value))
                };
                self.items('{', '}', field).map(Json::Object)
            }
            _ => self.number(),
        }
    }

    /// Parses items separated by commas, between brackets.
    fn items<T>(
        &mut self,
        open: char,
        close: char,
        mut item: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.rest = self.rest.strip_prefix(open)?;
        let mut items = Vec::new();
        let close = close.to_string();
        if self.consume(&close) {
            return Some(items);
        }
        loop {
            items.push(item(self)?);
            if self.consume(&close) {
                return Some(items);
            }
            if !self.consume(",") {
                return None;
            }
        }
    }

    fn number(&mut self) -> Option<Json> {
        let part = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
        let end = self.rest.find(|c| !part(c)).unwrap_or(self.rest.len());
        let number = self.rest[..end].parse().ok()?;
        self.rest = &self.rest[end..];
        Some(Json::Number(number))
    }

    fn text(&mut self) -> Option<String> {
        let mut chars = self.rest.strip_prefix('"')?.chars();
        let mut text = String::new();
        loop {
            match chars.next()? {
                '"' => {
                    self.rest = chars.as_str();
                    return Some(text);
                }
                '\\' => text.push(match chars.next()? {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'u' => {
                        let (decoded, rest) = unicode(chars.as_str())?;
                        chars = rest.chars();
                        decoded
                    }
                    c => c,
                }),
                c => text.push(c),
            }
        }
    }
}

/// Decodes the character after `\u`, which may be a surrogate pair. Also returns the rest.
fn unicode(text: &str) -> Option<(char, &str)> {
    let unit = |text: &str| u16::from_str_radix(text.get(..4)?, 16).ok();
    let first = unit(text)?;
    let second = text[4..].strip_prefix("\\u").and_then(unit);
    let halves = [Some(first), second].into_iter().flatten();
    match char::decode_utf16(halves).next()? {
        Ok(decoded) => Some((decoded, &text[6 * decoded.len_utf16() - 2..])),
        Err(_) => None,
    }
}

impl From<f64> for Json {
    fn from(number: f64) -> Json {
        Json::Number(number)
    }
}

impl From<u64> for Json {
    fn from(number: u64) -> Json {
        Json::Number(number as f64)
    }
}

impl From<usize> for Json {
    fn from(number: usize) -> Json {
        Json::Number(number as f64)
    }
}

impl From<bool> for Json {
    fn from(flag: bool) -> Json {
        Json::Bool(flag)
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Json {
        Json::Text(text.to_string())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Json {
        Json::Text(text)
    }
}

impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Json {
        value.map_or(Json::Null, Into::into)
    }
}

impl<T: Into<Json>> FromIterator<T> for Json {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Json {
        Json::List(items.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_parsed_as_it_was_written() {
        let value = object([
            ("text", "a\"b\\c\n\u{1b}×\u{202e}\u{e0041}z".into()),
            ("numbers", [0.0, -1.5, 1e300, 12_345_678_901.0].into_iter().collect()),
            ("nothing", Json::Null),
            ("flag", [true, false].into_iter().collect()),
            ("none", Json::List(Vec::new())),
            ("deep", object([("deeper", object([]))])),
        ]);
        assert_eq!(Json::parse(&value.to_string()).as_ref(), Some(&value));
        assert_eq!(Json::parse(&value.pretty(3)).as_ref(), Some(&value));
        assert!(!value.to_string().contains('\n'));
    }

    #[test]
    fn only_the_upper_levels_are_split_into_lines() {
        let point = || object([("x", 1.0.into())]);
        let value = object([("list", Json::List(vec![point(), point()])), ("a", Json::Null)]);
        let lines = "{\n  \"list\": [\n    {\"x\": 1},\n    {\"x\": 1}\n  ],\n  \"a\": null\n}";
        assert_eq!(value.pretty(2), lines);
    }

    #[test]
    fn invalid_json_is_rejected() {
        let bad = ["", "{", "[1,]", "{\"a\" 1}", "nul", "1 2", "\"\\u12\"", "[1", "\"x", "{1:2}"];
        for text in bad {
            assert_eq!(Json::parse(text), None, "{text}");
        }
        assert_eq!(Json::parse(&"[".repeat(100)), None);
        assert_eq!(Json::Number(f64::NAN).to_string(), "null");
    }

    #[test]
    fn fields_are_found_by_name() {
        let value = Json::parse(" { \"a\" : [ 1 , \"x\" ] } ").unwrap();
        let items = value.get("a").unwrap().items();
        assert_eq!((items[0].number(), items[1].text()), (Some(1.0), Some("x")));
        assert!(value.get("b").is_none() && Json::Null.items().is_empty());
    }
}
