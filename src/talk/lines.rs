//! Divides the bytes of a client into lines. It stores nothing: the bytes of an unfinished line
//! stay where they were received.

/// Maximum length in bytes of a line printed in one piece, so also of an unfinished line.
pub const MAX_LINE_BYTES: usize = 1024;

/// A line, or a piece of a long one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinePiece<'a> {
    /// Without its line end.
    pub text: &'a [u8],
    /// More of the same line follows.
    pub is_continued: bool,
}

/// Returns the line at the front of `bytes`, or a piece of a long one, and how many bytes it takes
/// with its line end. `None`: the line is unfinished. `last`: no bytes follow, so the rest is a
/// line. A piece is only returned once its line is known to continue, so that no piece is empty.
pub fn next_piece(bytes: &[u8], last: bool) -> Option<(LinePiece<'_>, usize)> {
    let line = |text| LinePiece { text, is_continued: false };
    let within = &bytes[..bytes.len().min(MAX_LINE_BYTES + 1)];
    if let Some(at) = within.iter().position(|&byte| byte == b'\n') {
        let text = bytes[..at].strip_suffix(b"\r").unwrap_or(&bytes[..at]);
        return Some((line(text), at + 1));
    }
    if bytes.len() > MAX_LINE_BYTES {
        let cut = whole_characters(&bytes[..MAX_LINE_BYTES]);
        return Some((LinePiece { text: &bytes[..cut], is_continued: true }, cut));
    }
    (last && !bytes.is_empty()).then_some((line(bytes), bytes.len()))
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

    /// Passes the pieces of `parts`, one read each, to `emit`, up to the end of file.
    fn each_piece<'a>(
        parts: impl IntoIterator<Item = &'a [u8]>,
        mut emit: impl FnMut(LinePiece<'_>),
    ) {
        let mut inbox = Vec::new();
        let mut take = |inbox: &mut Vec<u8>, last| {
            while let Some((piece, length)) = next_piece(inbox, last) {
                assert!(piece.text.len() <= MAX_LINE_BYTES);
                assert!(!piece.text.is_empty() || !piece.is_continued);
                emit(piece);
                inbox.drain(..length);
            }
            assert!(inbox.len() <= MAX_LINE_BYTES);
        };
        for part in parts {
            inbox.extend_from_slice(part);
            take(&mut inbox, false);
        }
        take(&mut inbox, true);
        assert!(inbox.is_empty());
    }

    /// Returns the lines of `parts`. A piece that is continued ends in `+`.
    fn lines_of(parts: &[&[u8]]) -> Vec<String> {
        let mut lines = Vec::new();
        each_piece(parts.iter().copied(), |piece| {
            let mark = if piece.is_continued { "+" } else { "" };
            lines.push(String::from_utf8_lossy(piece.text).into_owned() + mark);
        });
        lines
    }

    #[test]
    fn lines_are_whole_however_they_were_cut() {
        for cut in 0..12 {
            let (a, b) = b"one\r\n\ntwo\nx".split_at(cut);
            assert_eq!(lines_of(&[a, b]), ["one", "", "two", "x"], "cut at {cut}");
        }
        assert_eq!(lines_of(&[]), [""; 0]);
        assert_eq!(lines_of(&[b"one\n"]), ["one"]);
        assert_eq!(lines_of(&[b"on\re\n"]), ["on\re"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_split_into_pieces() {
        let long = |bytes: usize| "x".repeat(bytes);
        let longest = long(MAX_LINE_BYTES) + "\n";
        assert_eq!(lines_of(&[longest.as_bytes()]), [long(MAX_LINE_BYTES)]);
        let over = long(2 * MAX_LINE_BYTES + 1) + "\nnext\n";
        let piece = long(MAX_LINE_BYTES) + "+";
        let expected = [&piece, &piece, "x", "next"];
        assert_eq!(lines_of(&[over.as_bytes()]), expected);
        let bytes: Vec<&[u8]> = over.as_bytes().chunks(1).collect();
        assert_eq!(lines_of(&bytes), expected);
    }

    #[test]
    fn a_piece_ends_between_characters_if_there_are_any() {
        for pad in 0..4 {
            let line = "x".repeat(pad) + &"日".repeat(MAX_LINE_BYTES);
            let lines = lines_of(&[line.as_bytes()]);
            assert!(lines.len() > 2);
            assert_eq!(lines.concat().replace('+', ""), line);
        }
        let noise = [0x80; 3 * MAX_LINE_BYTES];
        assert_eq!(lines_of(&[&noise]).len(), 3);
        let noise = [0xff; 3 * MAX_LINE_BYTES];
        assert_eq!(lines_of(&[&noise]).len(), 4);
    }

    #[test]
    fn no_byte_is_lost_however_the_input_is_cut() {
        for seed in 0..100 {
            let mut random = Random::new(seed);
            let length = random.below(6000) as usize;
            // Few line ends, many bytes that look like the insides of characters.
            let alphabet = [b'a', 0x80, 0xe6, 0xff, b'b', 0x97, 0xa5, b'c'];
            let text: Vec<u8> = (0..length)
                .map(|_| match random.below(500) {
                    0 => b'\n',
                    n => alphabet[n as usize % alphabet.len()],
                })
                .collect();
            let (mut parts, mut left) = (Vec::new(), &text[..]);
            while !left.is_empty() {
                let (now, later) = left.split_at(random.below(left.len() as u64 + 1) as usize);
                parts.push(now);
                left = later;
            }
            let mut output = Vec::new();
            each_piece(parts, |piece| {
                output.extend_from_slice(piece.text);
                output.extend(if piece.is_continued { None } else { Some(b'\n') });
            });
            let mut expected = text.clone();
            if !text.is_empty() && !text.ends_with(b"\n") {
                expected.push(b'\n');
            }
            assert_eq!(output, expected, "seed {seed}");
        }
    }
}
