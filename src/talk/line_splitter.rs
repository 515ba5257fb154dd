//! Splits the bytes of a client into lines.

/// Maximum length in bytes of a line shown in one piece, and of a stored unfinished line.
pub const SAID_BYTES: usize = 1024;

/// The unfinished line of a client.
#[derive(Default)]
pub struct LineSplitter {
    begun: Vec<u8>,
}

/// A line, or a piece of a long one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Without its line end.
    pub text: &'a [u8],
    /// More of the same line follows.
    pub read_again: bool,
}

impl LineSplitter {
    /// Adds received bytes, and passes complete lines, and pieces of long lines, to `show`.
    pub fn hear(&mut self, mut bytes: &[u8], mut show: impl FnMut(Piece<'_>)) {
        while let Some(at) = bytes.iter().position(|&byte| byte == b'\n') {
            self.add(&bytes[..at], &mut show);
            bytes = &bytes[at + 1..];
            let text = self.begun.strip_suffix(b"\r").unwrap_or(&self.begun);
            show(Piece { text, read_again: false });
            self.begun.clear();
        }
        self.add(bytes, &mut show);
    }

    /// Passes an unfinished line to `show` at the end of input.
    pub fn end(&mut self, mut show: impl FnMut(Piece<'_>)) {
        if !self.begun.is_empty() {
            show(Piece { text: &self.begun, read_again: false });
        }
        self.begun = Vec::new();
    }

    /// Passes on a piece only once its line is known to continue, so that no piece is empty.
    fn add(&mut self, mut bytes: &[u8], show: &mut impl FnMut(Piece<'_>)) {
        while self.begun.len() + bytes.len() > SAID_BYTES {
            let (fits, rest) = bytes.split_at(SAID_BYTES - self.begun.len());
            self.begun.extend_from_slice(fits);
            let cut = whole_characters(&self.begun);
            show(Piece { text: &self.begun[..cut], read_again: true });
            self.begun.drain(..cut);
            bytes = rest;
        }
        self.begun.extend_from_slice(bytes);
    }
}

/// Returns the length of the longest prefix of `bytes` that ends between characters; all of it if
/// they are not UTF-8.
fn whole_characters(bytes: &[u8]) -> usize {
    const LONGEST: usize = 4;
    let is_inside = |byte: u8| byte & 0xc0 == 0x80;
    let last = bytes.len().saturating_sub(LONGEST);
    match (last..bytes.len()).rev().find(|&at| !is_inside(bytes[at])) {
        Some(at) if bytes[at] >= 0xc0 && at > 0 && std::str::from_utf8(&bytes[at..]).is_err() => at,
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Random;

    /// What is shown of `parts`, one read each, and of the end. A piece that goes on ends in `+`.
    fn shown(parts: &[&[u8]]) -> Vec<String> {
        let (mut said, mut lines) = (LineSplitter::default(), Vec::new());
        let mut show = |piece: Piece<'_>| {
            let mark = if piece.read_again { "+" } else { "" };
            lines.push(String::from_utf8_lossy(piece.text).into_owned() + mark);
        };
        for part in parts {
            said.hear(part, &mut show);
            assert!(said.begun.len() <= SAID_BYTES);
        }
        said.end(&mut show);
        lines
    }

    #[test]
    fn lines_come_out_whole_however_they_were_cut() {
        for cut in 0..12 {
            let (a, b) = b"one\r\n\ntwo\nx".split_at(cut);
            assert_eq!(shown(&[a, b]), ["one", "", "two", "x"], "cut at {cut}");
        }
        assert_eq!(shown(&[]), [""; 0]);
        assert_eq!(shown(&[b"one\n"]), ["one"]);
        assert_eq!(shown(&[b"on\re\n"]), ["on\re"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_shown_in_pieces() {
        let long = |bytes: usize| "x".repeat(bytes);
        let just = long(SAID_BYTES) + "\n";
        assert_eq!(shown(&[just.as_bytes()]), [long(SAID_BYTES)]);
        let over = long(2 * SAID_BYTES + 1) + "\nnext\n";
        let piece = long(SAID_BYTES) + "+";
        let expected = [&piece, &piece, "x", "next"];
        assert_eq!(shown(&[over.as_bytes()]), expected);
        let bytes: Vec<&[u8]> = over.as_bytes().chunks(1).collect();
        assert_eq!(shown(&bytes), expected);
    }

    #[test]
    fn a_piece_ends_between_characters_if_there_are_any() {
        for pad in 0..4 {
            let line = "x".repeat(pad) + &"日".repeat(SAID_BYTES);
            let lines = shown(&[line.as_bytes()]);
            assert!(lines.len() > 2);
            assert_eq!(lines.concat().replace('+', ""), line);
        }
        let noise = [0x80; 3 * SAID_BYTES];
        assert_eq!(shown(&[&noise]).len(), 3);
        let noise = [0xff; 3 * SAID_BYTES];
        assert_eq!(shown(&[&noise]).len(), 4);
    }

    #[test]
    fn nothing_is_lost_whatever_is_said_in_whatever_pieces() {
        for seed in 0..100 {
            let mut random = Random::new(seed);
            let length = random.below(6000) as usize;
            // Few line ends, many bytes that look like the insides of characters.
            let letters = [b'a', 0x80, 0xe6, 0xff, b'b', 0x97, 0xa5, b'c'];
            let text: Vec<u8> = (0..length)
                .map(|_| match random.below(500) {
                    0 => b'\n',
                    n => letters[n as usize % letters.len()],
                })
                .collect();
            let (mut said, mut heard, mut left) = (LineSplitter::default(), Vec::new(), &text[..]);
            let mut show = |piece: Piece<'_>| {
                assert!(piece.text.len() <= SAID_BYTES);
                assert!(!piece.text.is_empty() || !piece.read_again);
                heard.extend_from_slice(piece.text);
                heard.extend(if piece.read_again { None } else { Some(b'\n') });
            };
            while !left.is_empty() {
                let (now, later) = left.split_at(random.below(left.len() as u64 + 1) as usize);
                said.hear(now, &mut show);
                left = later;
            }
            said.end(&mut show);
            let mut expected = text.clone();
            if !text.is_empty() && !text.ends_with(b"\n") {
                expected.push(b'\n');
            }
            assert_eq!(heard, expected, "seed {seed}");
        }
    }
}
