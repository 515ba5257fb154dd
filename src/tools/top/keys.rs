//! Decodes the bytes of a keyboard: characters, and the escape sequences of other keys.

/// A key, or a control character with a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopKey {
    Char(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Backspace,
    Tab,
    /// `^L`
    Redraw,
    /// `^Z`
    Suspend,
}

/// Maximum bytes of a sequence that is not complete. A longer one is not of a keyboard.
const SEQUENCE_BYTES: usize = 32;

/// Bytes received and not decoded yet.
#[derive(Debug, Default)]
pub struct KeyDecoder {
    bytes: Vec<u8>,
}

/// What the first bytes are.
enum Decoded {
    /// A key of this many bytes. None: one without a meaning.
    Complete(usize, Option<TopKey>),
    Incomplete,
}

impl KeyDecoder {
    /// Adds received bytes, and returns the keys that are complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<TopKey> {
        self.bytes.extend_from_slice(bytes);
        let mut keys = Vec::new();
        while let Decoded::Complete(length, key) = decode(&self.bytes) {
            self.bytes.drain(..length);
            keys.extend(key);
        }
        if self.bytes.len() > SEQUENCE_BYTES {
            self.bytes.clear();
        }
        keys
    }

    /// Whether a key is not complete: an escape that may be the begin of a sequence.
    pub fn is_pending(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Decodes what is left when nothing follows: an escape alone is the escape key.
    pub fn flush(&mut self) -> Option<TopKey> {
        let is_escape = self.bytes == [ESC];
        self.bytes.clear();
        is_escape.then_some(TopKey::Escape)
    }
}

const ESC: u8 = 0x1b;

fn decode(bytes: &[u8]) -> Decoded {
    let key = |key| Decoded::Complete(1, Some(key));
    match bytes {
        [] => Decoded::Incomplete,
        [ESC, rest @ ..] => escape(rest),
        [b'\r' | b'\n', ..] => key(TopKey::Enter),
        [b'\t', ..] => key(TopKey::Tab),
        [0x08 | 0x7f, ..] => key(TopKey::Backspace),
        [0x0c, ..] => key(TopKey::Redraw),
        [0x1a, ..] => key(TopKey::Suspend),
        [0..0x20, ..] => Decoded::Complete(1, None),
        [byte, ..] if byte.is_ascii() => key(TopKey::Char(char::from(*byte))),
        _ => character(bytes),
    }
}

/// Decodes a character of several bytes.
fn character(bytes: &[u8]) -> Decoded {
    let most = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(most) {
        Ok(text) => text,
        Err(error) if error.valid_up_to() > 0 => {
            std::str::from_utf8(&most[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(error) => {
            return match error.error_len() {
                Some(length) => Decoded::Complete(length, None),
                None => Decoded::Incomplete,
            };
        }
    };
    match valid.chars().next() {
        Some(ch) => Decoded::Complete(ch.len_utf8(), Some(TopKey::Char(ch))),
        None => Decoded::Complete(1, None),
    }
}

/// Decodes what follows an escape.
fn escape(rest: &[u8]) -> Decoded {
    match rest {
        [] => Decoded::Incomplete,
        [b'O', last, ..] => Decoded::Complete(3, named(*last, b"")),
        [b'O'] => Decoded::Incomplete,
        [b'[', sequence @ ..] => {
            let last = sequence.iter().position(|byte| (0x40..0x7f).contains(byte));
            match last {
                Some(last) => Decoded::Complete(last + 3, named(sequence[last], &sequence[..last])),
                None => Decoded::Incomplete,
            }
        }
        // The escape key, and another key shortly after it.
        _ => Decoded::Complete(1, Some(TopKey::Escape)),
    }
}

/// Returns the key of a sequence with this last letter and these parameters.
fn named(last: u8, parameters: &[u8]) -> Option<TopKey> {
    match (last, parameters) {
        (b'A', _) => Some(TopKey::Up),
        (b'B', _) => Some(TopKey::Down),
        (b'H', _) | (b'~', b"1" | b"7") => Some(TopKey::Home),
        (b'F', _) | (b'~', b"4" | b"8") => Some(TopKey::End),
        (b'~', b"5") => Some(TopKey::PageUp),
        (b'~', b"6") => Some(TopKey::PageDown),
        (b'M', _) => Some(TopKey::Enter),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded_however_they_are_split() {
        let typed =
            "q\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[H\x1b[4~\r\t\x7fé\x1b[1;5C\x0c\x1a€/".as_bytes();
        let expected = [
            TopKey::Char('q'),
            TopKey::Up,
            TopKey::Down,
            TopKey::PageUp,
            TopKey::PageDown,
            TopKey::Home,
            TopKey::End,
            TopKey::Enter,
            TopKey::Tab,
            TopKey::Backspace,
            TopKey::Char('é'),
            TopKey::Redraw,
            TopKey::Suspend,
            TopKey::Char('€'),
            TopKey::Char('/'),
        ];
        for size in 1..typed.len() {
            let mut keys = KeyDecoder::default();
            let decoded: Vec<_> = typed.chunks(size).flat_map(|bytes| keys.push(bytes)).collect();
            assert_eq!(decoded, expected, "{size} bytes at a time");
            assert!(!keys.is_pending());
        }
    }

    #[test]
    fn an_escape_alone_is_a_key_when_nothing_follows() {
        let mut keys = KeyDecoder::default();
        assert_eq!(keys.push(b"\x1b"), []);
        assert!(keys.is_pending());
        assert_eq!(keys.flush(), Some(TopKey::Escape));
        assert_eq!(keys.flush(), None);
        assert_eq!(keys.push(b"\x1bq"), [TopKey::Escape, TopKey::Char('q')]);
        assert_eq!(keys.push(b"\x1b["), []);
        assert_eq!(keys.flush(), None, "half a sequence is no key");
    }

    #[test]
    fn what_is_no_key_is_ignored() {
        let mut keys = KeyDecoder::default();
        assert_eq!(keys.push(b"\xff\xc3\x28\x01\x80a"), [TopKey::Char('('), TopKey::Char('a')]);
        assert_eq!(keys.push(&[b"\x1b[".as_slice(), &[b'0'; 99]].concat()), []);
        assert_eq!(keys.push(b"q"), [TopKey::Char('q')]);
    }
}
