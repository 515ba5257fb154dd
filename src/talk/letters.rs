//! What is typed, cut into datagrams: each line is one, with its line end. So the same input makes
//! the same datagrams, however it arrives.
//!
//! What has no line end goes out as soon as nothing more is there to read: whoever speaks without
//! lines, and waits for an answer, is not kept waiting.

/// The longest datagram that UDP carries over IPv4. A longer line is cut.
pub const LETTER_BYTES: usize = 65_507;

/// What was read and not sent yet.
#[derive(Default)]
pub struct Letters {
    typed: Vec<u8>,
    sent: usize,
}

impl Letters {
    pub fn add(&mut self, bytes: &[u8]) {
        self.typed.drain(..self.sent);
        self.sent = 0;
        self.typed.extend_from_slice(bytes);
    }

    /// The next datagram, if there is a whole one. `paused`: nothing more can be read now.
    pub fn next(&self, paused: bool) -> Option<&[u8]> {
        let rest = &self.typed[self.sent..];
        let most = &rest[..rest.len().min(LETTER_BYTES)];
        match most.iter().position(|&byte| byte == b'\n') {
            Some(at) => Some(&most[..=at]),
            None if most.len() == LETTER_BYTES || paused && !most.is_empty() => Some(most),
            None => None,
        }
    }

    /// The next datagram, of so many bytes, has been sent.
    pub fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(letters: &mut Letters, paused: bool) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(letter) = letters.next(paused).map(<[u8]>::to_vec) {
            letters.sent(letter.len());
            all.push(letter);
        }
        all
    }

    #[test]
    fn each_line_is_a_datagram_however_it_arrives() {
        let text = b"one\n\nthree\r\nfour";
        for cut in 0..text.len() {
            let mut letters = Letters::default();
            letters.add(&text[..cut]);
            let mut all = taken(&mut letters, false);
            letters.add(&text[cut..]);
            all.extend(taken(&mut letters, false));
            assert_eq!(all, [&b"one\n"[..], b"\n", b"three\r\n"], "cut at {cut}");
            assert_eq!(taken(&mut letters, true), [b"four"]);
            assert_eq!(letters.next(true), None);
        }
    }

    #[test]
    fn a_line_that_no_datagram_can_hold_is_cut() {
        let mut letters = Letters::default();
        letters.add(&[b'x'; LETTER_BYTES + 2]);
        let lengths = |all: Vec<Vec<u8>>| all.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths(taken(&mut letters, false)), [LETTER_BYTES]);
        letters.add(b"\n");
        assert_eq!(lengths(taken(&mut letters, false)), [3]);
    }
}
