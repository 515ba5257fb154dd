//! Buffers the output of a chat for a slow standard output. While the buffer is full, clients are
//! not read, so nothing is lost.

use std::collections::VecDeque;
use std::io;

use super::line_splitter::Piece;
use crate::text::escape::{Form, escape};

/// Buffered bytes from which clients are not read. One more read may be added.
const SCREEN_BYTES: usize = 64 * 1024;

/// Maximum writes per turn. A pipe takes a page with each.
const BUDGET: usize = 32;

/// Maximum number of waiting notes. With more, the oldest does not wait for its lines.
const NOTES: usize = 64;

/// The lines not yet written.
#[derive(Default)]
pub struct Screen {
    lines: Vec<u8>,
    written: usize,
    /// Number of bytes removed before `lines`.
    gone: u64,
    /// Status lines, each with the position of the output that must be written before it.
    notes: VecDeque<(u64, String)>,
}

/// Result of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    All,
    /// The budget of the turn is used up.
    More,
    Blocked,
}

impl Screen {
    pub fn has_room(&self) -> bool {
        self.lines.len() - self.written < SCREEN_BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a line: `#1 127.0.0.1:5000: hello`. Pieces of a long line but the last end with a
    /// backslash; a backslash in the text is doubled.
    pub fn add(&mut self, name: &str, piece: Piece<'_>) {
        let mut line = format!("{name}: ");
        // Writing to a string does not fail, and a piece is short enough to be shown whole.
        let _ = escape(&mut line, piece.text, Form::Foreign, usize::MAX);
        line.push_str(if piece.read_again { "\\\n" } else { "\n" });
        self.lines.extend_from_slice(line.as_bytes());
    }

    /// Adds a status line to be printed after the lines added so far.
    pub fn note(&mut self, note: String) {
        self.notes.push_back((self.gone + self.lines.len() as u64, note));
    }

    /// Returns the next status line that need not wait any more.
    pub fn due(&mut self) -> Option<String> {
        let shown = self.gone + self.written as u64;
        let full = self.notes.len() > NOTES;
        let is_due = self.notes.front().is_some_and(|(behind, _)| *behind <= shown || full);
        if is_due { self.notes.pop_front().map(|(_, note)| note) } else { None }
    }

    /// Writes as much as the output accepts now.
    pub fn show(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<Shown> {
        for _ in 0..BUDGET {
            if self.written == self.lines.len() {
                self.forget();
                return Ok(Shown::All);
            }
            match write(&self.lines[self.written..]) {
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.lines.drain(..self.written);
                    self.gone += std::mem::take(&mut self.written) as u64;
                    return Ok(Shown::Blocked);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Shown::More)
    }

    /// Discards the buffered lines.
    pub fn forget(&mut self) {
        self.gone += self.lines.len() as u64;
        (self.lines, self.written) = (Vec::new(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &[u8], read_again: bool) -> Piece<'_> {
        Piece { text, read_again }
    }

    #[test]
    fn who_said_what_comes_out_escaped_and_pieces_are_marked() {
        let (mut screen, mut out) = (Screen::default(), Vec::new());
        screen.add("#1 unix", said(b"caf\xc3\xa9 \x1b[2J\\", false));
        screen.add("#2 unix", said(b"\xff", true));
        let mut write = |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            Ok(bytes.len())
        };
        assert_eq!(screen.show(&mut write).unwrap(), Shown::All);
        assert!(screen.is_empty());
        let shown = String::from_utf8(out).unwrap();
        assert_eq!(shown, "#1 unix: café \\x1b[2J\\\\\n#2 unix: \\xff\\\n");
    }

    #[test]
    fn a_note_waits_for_the_lines_before_it_and_for_no_others() {
        let mut screen = Screen::default();
        screen.note("came".to_string());
        assert_eq!(screen.due(), Some("came".to_string()));
        screen.add("#1 unix", said(b"words", false));
        screen.note("left".to_string());
        assert_eq!(screen.due(), None);
        let mut room = "#1 unix: words\n".len();
        let mut write = |bytes: &[u8]| match std::mem::take(&mut room).min(bytes.len()) {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        };
        screen.add("#2 unix", said(b"more", false));
        assert_eq!(screen.show(&mut write).unwrap(), Shown::Blocked);
        assert_eq!((screen.due(), screen.due()), (Some("left".to_string()), None));
        screen.note("gone".to_string());
        assert_eq!(screen.due(), None);
        screen.forget();
        assert_eq!(screen.due(), Some("gone".to_string()));
    }

    #[test]
    fn of_too_many_notes_the_oldest_do_not_wait() {
        let mut screen = Screen::default();
        screen.add("#1 unix", said(b"words", false));
        for note in 0..NOTES + 2 {
            screen.note(note.to_string());
        }
        let due: Vec<String> = std::iter::from_fn(|| screen.due()).collect();
        assert_eq!(due, ["0", "1"]);
    }

    #[test]
    fn a_slow_screen_loses_nothing_and_says_when_it_is_full() {
        let (mut screen, mut lines, mut out) = (Screen::default(), 0, Vec::new());
        while screen.has_room() {
            screen.add("#1 unix", said(lines.to_string().as_bytes(), false));
            lines += 1;
        }
        let (mut calls, mut rests) = (0, 0);
        loop {
            let shown = screen.show(|bytes| {
                calls += 1;
                match calls % 3 {
                    0 => Err(io::ErrorKind::WouldBlock.into()),
                    1 => Err(io::ErrorKind::Interrupted.into()),
                    _ => {
                        let taken = bytes.len().min(1000);
                        out.extend_from_slice(&bytes[..taken]);
                        Ok(taken)
                    }
                }
            });
            match shown.unwrap() {
                Shown::All => break,
                Shown::Blocked => rests += 1,
                Shown::More => {}
            }
        }
        assert!(rests > 10 && screen.has_room());
        let expected: String = (0..lines).map(|line| format!("#1 unix: {line}\n")).collect();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
