//! Where a chat shows what is said: standard output, which may be slow. What it does not take yet
//! is kept, and while that is much, nothing more is read of those who talk: nothing is lost, and a
//! slow screen slows only them.

use std::io;

use super::said::Piece;
use crate::observe::escape::{Form, escape};

/// While so much waits to be shown, nobody is listened to. One more read's worth may come on top.
const SCREEN_BYTES: usize = 64 * 1024;

/// So many writes are made in one turn. A pipe takes a page with each.
const BUDGET: usize = 32;

/// The lines that wait to be shown.
#[derive(Default)]
pub struct Screen {
    lines: Vec<u8>,
    written: usize,
}

/// What showing came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    All,
    /// It has had its share of the turn, and would take more.
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

    /// Adds a line: `#1 127.0.0.1:5000: hello`. Behind the pieces of a long line, except the last,
    /// stands a backslash; one that was said stands doubled, so the two are told apart.
    pub fn add(&mut self, name: &str, piece: Piece<'_>) {
        let mut line = format!("{name}: ");
        // Writing to a string does not fail, and a piece is short enough to be shown whole.
        let _ = escape(&mut line, piece.text, Form::Foreign, usize::MAX);
        line.push_str(if piece.goes_on { "\\\n" } else { "\n" });
        self.lines.extend_from_slice(line.as_bytes());
    }

    /// Writes as much as is taken now.
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
                    self.written = 0;
                    return Ok(Shown::Blocked);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Shown::More)
    }

    /// Nobody will see what waits here.
    pub fn forget(&mut self) {
        (self.lines, self.written) = (Vec::new(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &[u8], goes_on: bool) -> Piece<'_> {
        Piece { text, goes_on }
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
