//! The text of a greeting: bytes, and places that are filled in for each connection.

use std::fmt::{self, Write};
use std::str::FromStr;

use super::parse::{self, ParseError, SpanError, Spanned};

/// A text with escapes and placeholders, parsed once and rendered for each connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

/// A value that is known only per connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Placeholder {
    /// The peer's full address.
    Peer,
    PeerIp,
    PeerPort,
    /// The full local address of the connection.
    Local,
    LocalIp,
    LocalPort,
    /// The name of the service.
    Service,
    /// The time at which the connection was opened.
    Time,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Bytes(Vec<u8>),
    Place(Placeholder),
}

/// All placeholders and their names.
const PLACEHOLDERS: [(&str, Placeholder); 8] = [
    ("peer", Placeholder::Peer),
    ("peer.ip", Placeholder::PeerIp),
    ("peer.port", Placeholder::PeerPort),
    ("local", Placeholder::Local),
    ("local.ip", Placeholder::LocalIp),
    ("local.port", Placeholder::LocalPort),
    ("service", Placeholder::Service),
    ("time", Placeholder::Time),
];

const NAMES: &str = "{peer} {peer.ip} {peer.port} {local} {local.ip} {local.port}\n\
     {service} {time}, \\{ for a brace";
const ESCAPES: &str = "\\n \\r \\t \\\\ \\{ \\} \\xNN";

/// Maximum bytes and placeholders of a text. A rendered text is stored for each connection that
/// does not accept it, and must fit into one buffer.
const TEXT_BYTES: usize = 16 * 1024;
const PLACES: usize = 64;
const MOST: &str = "at most 16384 bytes and 64 placeholders";

impl Template {
    pub fn parse(text: &str) -> Result<Template, ParseError> {
        read(Spanned::whole(text)).map_err(|span_error| ParseError::new("text", text, span_error))
    }

    /// Renders the text for one connection; `lookup` returns the value of a placeholder.
    pub fn render(&self, lookup: impl Fn(Placeholder) -> String) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.parts {
            match part {
                Part::Bytes(bytes) => out.extend_from_slice(bytes),
                Part::Place(place) => out.extend_from_slice(lookup(*place).as_bytes()),
            }
        }
        out
    }

    fn places(&self) -> usize {
        self.parts.iter().filter(|part| matches!(part, Part::Place(_))).count()
    }

    fn bytes(&self) -> usize {
        let length = |part: &Part| if let Part::Bytes(bytes) = part { bytes.len() } else { 0 };
        self.parts.iter().map(length).sum()
    }

    fn push(&mut self, byte: u8) {
        match self.parts.last_mut() {
            Some(Part::Bytes(bytes)) => bytes.push(byte),
            _ => self.parts.push(Part::Bytes(vec![byte])),
        }
    }
}

impl FromStr for Template {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Template, ParseError> {
        Template::parse(text)
    }
}

/// Prints the source text; parsing it gives the same template.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Place(place) => write!(f, "{{{place}}}")?,
                Part::Bytes(bytes) => bytes.iter().try_for_each(|byte| show(*byte, f))?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(parse::choice_name(&PLACEHOLDERS, *self))
    }
}

fn show(byte: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match byte {
        b'\n' => f.write_str("\\n"),
        b'\r' => f.write_str("\\r"),
        b'\t' => f.write_str("\\t"),
        b'\\' | b'{' | b'}' => write!(f, "\\{}", byte as char),
        b' '..=b'~' => f.write_char(byte as char),
        _ => write!(f, "\\x{byte:02x}"),
    }
}

pub fn read(input: Spanned<'_>) -> Result<Template, SpanError> {
    let mut template = Template::default();
    let mut rest = input;
    while let Some(sign) = rest.text.bytes().next() {
        rest = match sign {
            b'\\' => {
                let (byte, rest) = escape(rest)?;
                template.push(byte);
                rest
            }
            b'{' => {
                let (place, behind) = placeholder(rest)?;
                if template.places() == PLACES {
                    return Err(rest.wrong("too many placeholders").or_accepts(MOST));
                }
                template.parts.push(Part::Place(place));
                behind
            }
            _ => {
                // Other bytes are copied up to the next sign: a character may have several.
                let length = rest.text.find(['\\', '{']).unwrap_or(rest.text.len());
                rest.text[..length].bytes().for_each(|byte| template.push(byte));
                rest.from(length)
            }
        };
    }
    match template.bytes() <= TEXT_BYTES {
        true => Ok(template),
        false => Err(input.wrong("too long").or_accepts(MOST)),
    }
}

/// Reads an escape. Returns its byte and the rest.
fn escape(input: Spanned<'_>) -> Result<(u8, Spanned<'_>), SpanError> {
    let byte = match input.text.as_bytes().get(1) {
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(byte @ (b'\\' | b'{' | b'}')) => *byte,
        Some(b'x') => return hex(input),
        _ => {
            let length = input.text.chars().take(2).map(char::len_utf8).sum();
            return Err(input.to(length).wrong("unknown escape").or_accepts(ESCAPES));
        }
    };
    Ok((byte, input.from(2)))
}

fn hex(input: Spanned<'_>) -> Result<(u8, Spanned<'_>), SpanError> {
    let length = input.text.chars().take(4).map(char::len_utf8).sum();
    let digits = &input.text[2..length];
    let are_hex = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u8::from_str_radix(digits, 16) {
        Ok(byte) if are_hex => Ok((byte, input.from(length))),
        _ => Err(input.to(length).wrong("\\x needs two hex digits").or_accepts(ESCAPES)),
    }
}

/// Reads a placeholder. Returns it and the rest.
fn placeholder(input: Spanned<'_>) -> Result<(Placeholder, Spanned<'_>), SpanError> {
    let (inside, Some(rest)) = input.from(1).split('}') else {
        return Err(input.wrong("missing }").or_accepts(NAMES));
    };
    match PLACEHOLDERS.iter().find(|(name, _)| *name == inside.text) {
        Some((_, place)) => Ok((*place, rest)),
        None => {
            let names = PLACEHOLDERS.iter().map(|(name, _)| *name);
            let hint = parse::suggestion(inside.text, names, |name| format!("{{{name}}}"));
            Err(inside.wrong(format!("unknown placeholder{hint}")).or_accepts(NAMES))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{Dice, check};

    fn rendered(text: &str) -> Vec<u8> {
        let template = Template::parse(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(Template::parse(&template.to_string()), Ok(template.clone()), "{text}");
        template.render(|place| format!("<{place}>"))
    }

    #[test]
    fn placeholders_and_escapes_are_filled_in() {
        assert_eq!(rendered("welcome {peer.ip}\\n"), b"welcome <peer.ip>\n");
        assert_eq!(rendered("{peer}{local.port}"), b"<peer><local.port>");
        assert_eq!(rendered("{peer.port} {local} {local.ip}"), b"<peer.port> <local> <local.ip>");
        assert_eq!(rendered("{service} at {time}"), b"<service> at <time>");
        assert_eq!(rendered("\\r\\t\\\\\\x00\\xFf"), b"\r\t\\\x00\xff");
        assert_eq!(rendered("\\{peer\\} }"), b"{peer} }");
        assert_eq!(rendered("grüß {peer}"), "grüß <peer>".as_bytes());
        assert_eq!(rendered(""), b"");
    }

    #[test]
    fn a_wrong_text_is_shown_at_its_place() {
        let cases = [
            ("hi {peer.ipp}!", "peer.ipp", "unknown placeholder; did you mean {peer.ip}?"),
            ("hi {nonsense}", "nonsense", "unknown placeholder"),
            ("hi {}", "", "unknown placeholder"),
            ("hi {peer", "{peer", "missing }"),
            ("a\\qb", "\\q", "unknown escape"),
            ("a\\ß", "\\ß", "unknown escape"),
            ("a\\", "\\", "unknown escape"),
            ("a\\x4", "\\x4", "\\x needs two hex digits"),
            ("a\\x+4", "\\x+4", "\\x needs two hex digits"),
            ("a\\x4ä", "\\x4ä", "\\x needs two hex digits"),
        ];
        for (text, place, wrong) in cases {
            let error = Template::parse(text).expect_err(text);
            assert_eq!((&text[error.span.clone()], error.wrong.as_str()), (place, wrong), "{text}");
            assert!(!error.accepted.is_empty(), "{text}");
        }
    }

    #[test]
    fn a_text_fits_into_one_buffer_however_it_is_filled_in() {
        use crate::core::buffers::SCRATCH_BYTES;
        // The longest address is a Unix path of 108 bytes, of which each may be escaped as four.
        const { assert!(TEXT_BYTES + PLACES * (108 * 4 + 8) <= SCRATCH_BYTES) };
        assert_eq!(MOST, format!("at most {TEXT_BYTES} bytes and {PLACES} placeholders"));
        let (long, many) = ("x".repeat(TEXT_BYTES), "{peer}".repeat(PLACES));
        assert!(Template::parse(&long).is_ok() && Template::parse(&many).is_ok());
        for text in [long.clone() + "x", many + "{time}"] {
            assert_eq!(Template::parse(&text).map_err(|error| error.accepted), Err(MOST.into()));
        }
    }

    #[test]
    fn any_text_is_refused_in_order_or_prints_back() {
        let mut dice = Dice::throw();
        for _ in 0..10_000 {
            let text = dice.text(&["welcome {peer.ip}\\n", "\\x41\\{{time}}", "{local.port}\\\\ü"]);
            match Template::parse(&text) {
                Ok(template) => assert_eq!(Template::parse(&template.to_string()), Ok(template)),
                Err(error) => check(&error),
            }
        }
    }
}
