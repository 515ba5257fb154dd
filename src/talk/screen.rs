//! Buffers what a chat prints: lines of clients for a slow standard output, and the status lines
//! between them. While the buffer is full, clients are not read, so no line is lost.
//!
//! On a terminal whose lines are edited by us, the line being typed is displayed in the last row:
//! it is erased before anything is printed, and displayed again below.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};

use super::lines::LinePiece;
use crate::text::count::plural;
use crate::text::escape::{Form, escape};
use crate::text::lossy_writer::LossyWriter;
use crate::text::nonblocking_out::standard_error;

/// Buffered bytes from which clients are not read. One more read may be added.
const BUFFER_BYTES: usize = 64 * 1024;

/// Maximum writes per turn. A pipe takes a page with each.
const BUDGET: usize = 32;

/// Maximum number of waiting status lines. With more, the oldest does not wait for its position.
const MAX_STATUS_LINES: usize = 64;

/// Moves the cursor to the start of the row, and erases the row.
const ERASE_ROW: &[u8] = b"\r\x1b[K";

/// The lines not yet written.
#[derive(Default)]
pub struct Screen {
    lines: Vec<u8>,
    written: usize,
    /// Position of `lines` in the output: the number of bytes removed before it.
    offset: u64,
    /// Status lines, each with the position of the output that must be written before it.
    status_lines: VecDeque<(u64, String)>,
    /// Status lines are printed here too, between the other lines.
    has_status: bool,
    /// What is displayed of the line being typed, once all is written.
    typed: String,
}

/// Result of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushOutcome {
    Done,
    /// The budget of the turn is used up.
    Yielded,
    Blocked,
}

impl Screen {
    /// Creates an empty screen. `has_status`: status lines are printed here too, in between.
    pub fn new(has_status: bool) -> Screen {
        Screen { has_status, ..Screen::default() }
    }

    /// Whether clients may be read.
    pub fn has_room(&self) -> bool {
        self.lines.len() - self.written < BUFFER_BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a line: `#1 127.0.0.1:5000: hello`. Pieces of a long line but the last end with a
    /// backslash; a backslash in the text is doubled.
    pub fn add(&mut self, name: &str, piece: LinePiece<'_>) {
        self.erase_typed();
        let mut line = format!("{name}: ");
        // Writing to a string does not fail, and a piece is short enough not to be truncated.
        let _ = escape(&mut line, piece.text, Form::Foreign, usize::MAX);
        line.push_str(if piece.is_continued { "\\\n" } else { "\n" });
        self.lines.extend_from_slice(line.as_bytes());
    }

    /// Adds a status line to be printed after the lines added so far.
    pub fn add_status(&mut self, line: String) {
        if self.has_status {
            self.erase_typed();
            return self.lines.extend_from_slice(format!("{line}\n").as_bytes());
        }
        self.status_lines.push_back((self.offset + self.lines.len() as u64, line));
    }

    /// Displays the line being typed.
    pub fn show_typed(&mut self, text: String) {
        match text.strip_prefix(&self.typed) {
            Some(added) => self.lines.extend_from_slice(added.as_bytes()),
            None => {
                self.erase_typed();
                self.lines.extend_from_slice(text.as_bytes());
            }
        }
        self.typed = text;
    }

    /// Leaves the line being typed where it is displayed, and begins a new row.
    pub fn leave_typed(&mut self) {
        if !self.typed.is_empty() {
            self.lines.push(b'\n');
            self.typed.clear();
        }
    }

    /// Prints a line that was typed, in the place of what is displayed of it.
    pub fn add_typed(&mut self, text: String) {
        self.show_typed(text);
        self.lines.push(b'\n');
        self.typed.clear();
    }

    /// The line being typed is not displayed any more, because others have used the terminal.
    pub fn forget_typed(&mut self) {
        self.typed.clear();
    }

    /// Erases the line being typed, to be displayed again later.
    pub fn erase_typed(&mut self) {
        if !self.typed.is_empty() {
            self.lines.extend_from_slice(ERASE_ROW);
            self.typed.clear();
        }
    }

    /// Returns the next status line whose position is written.
    pub fn next_status(&mut self) -> Option<String> {
        let written = self.offset + self.written as u64;
        let is_full = self.status_lines.len() > MAX_STATUS_LINES;
        let next = self.status_lines.front();
        let is_due = next.is_some_and(|(position, _)| *position <= written || is_full);
        if is_due { self.status_lines.pop_front().map(|(_, line)| line) } else { None }
    }

    /// Writes as much as the output accepts now.
    pub fn flush(
        &mut self,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<FlushOutcome> {
        for _ in 0..BUDGET {
            if self.written == self.lines.len() {
                self.discard();
                return Ok(FlushOutcome::Done);
            }
            match write(&self.lines[self.written..]) {
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.lines.drain(..self.written);
                    self.offset += std::mem::take(&mut self.written) as u64;
                    return Ok(FlushOutcome::Blocked);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(FlushOutcome::Yielded)
    }

    /// Discards the buffered lines.
    pub fn discard(&mut self) {
        self.offset += self.lines.len() as u64;
        (self.lines, self.written) = (Vec::new(), 0);
    }
}

/// Writes status lines to standard error: whole lines, without blocking.
pub struct StatusLines(Box<dyn Write>);

impl StatusLines {
    pub fn new() -> StatusLines {
        let dropped = |lines| format!("oneloop: {} dropped\n", plural(lines, "line"));
        StatusLines(Box::new(LossyWriter::new(standard_error(), dropped)))
    }

    /// Creates a writer that discards all lines.
    pub fn silent() -> StatusLines {
        StatusLines(Box::new(std::io::sink()))
    }

    /// Writes a line. Foreign text in it must already be escaped.
    pub fn print(&mut self, line: impl fmt::Display) {
        // The writer never fails: it counts dropped lines.
        let _ = self.0.write_all(format!("{line}\n").as_bytes());
    }
}

impl Default for StatusLines {
    fn default() -> StatusLines {
        StatusLines::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &[u8], is_continued: bool) -> LinePiece<'_> {
        LinePiece { text, is_continued }
    }

    #[test]
    fn lines_are_escaped_and_continued_pieces_are_marked() {
        let mut screen = Screen::default();
        screen.add("#1 unix", piece(b"caf\xc3\xa9 \x1b[2J\\", false));
        screen.add("#2 unix", piece(b"\xff", true));
        let written = written(&mut screen);
        assert!(screen.is_empty());
        assert_eq!(written, "#1 unix: café \\x1b[2J\\\\\n#2 unix: \\xff\\\n");
    }

    /// Returns what is written.
    fn written(screen: &mut Screen) -> String {
        let mut out = Vec::new();
        let mut write = |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            Ok(bytes.len())
        };
        assert_eq!(screen.flush(&mut write).unwrap(), FlushOutcome::Done);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_line_being_typed_is_erased_before_a_line_and_displayed_again_below() {
        let mut screen = Screen::new(true);
        screen.show_typed("hel".to_string());
        screen.show_typed("hello".to_string());
        assert_eq!(written(&mut screen), "hello");
        screen.add("#1 unix", piece(b"words", false));
        screen.add_status("* #1 unix left".to_string());
        screen.show_typed("hello".to_string());
        let expected = "\r\x1b[K#1 unix: words\n* #1 unix left\nhello";
        assert_eq!(written(&mut screen), expected);
        screen.show_typed("hell".to_string());
        assert_eq!(written(&mut screen), "\r\x1b[Khell");
        screen.add_typed("hell!".to_string());
        screen.add("#1 unix", piece(b"words", false));
        assert_eq!(written(&mut screen), "!\n#1 unix: words\n");
        screen.show_typed("<tail".to_string());
        screen.add_typed("whole".to_string());
        assert_eq!(written(&mut screen), "<tail\r\x1b[Kwhole\n");
        screen.leave_typed();
        assert!(screen.is_empty());
        screen.show_typed("half".to_string());
        screen.leave_typed();
        screen.show_typed(String::new());
        assert_eq!(written(&mut screen), "half\n");
    }

    #[test]
    fn a_status_line_waits_only_for_the_lines_before_it() {
        let mut screen = Screen::default();
        screen.add_status("joined".to_string());
        assert_eq!(screen.next_status(), Some("joined".to_string()));
        screen.add("#1 unix", piece(b"words", false));
        screen.add_status("left".to_string());
        assert_eq!(screen.next_status(), None);
        let mut accepted = "#1 unix: words\n".len();
        let mut write = |bytes: &[u8]| match std::mem::take(&mut accepted).min(bytes.len()) {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        };
        screen.add("#2 unix", piece(b"more", false));
        assert_eq!(screen.flush(&mut write).unwrap(), FlushOutcome::Blocked);
        assert_eq!((screen.next_status(), screen.next_status()), (Some("left".to_string()), None));
        screen.add_status("gone".to_string());
        assert_eq!(screen.next_status(), None);
        screen.discard();
        assert_eq!(screen.next_status(), Some("gone".to_string()));
    }

    #[test]
    fn of_too_many_status_lines_the_oldest_do_not_wait() {
        let mut screen = Screen::default();
        screen.add("#1 unix", piece(b"words", false));
        for number in 0..MAX_STATUS_LINES + 2 {
            screen.add_status(number.to_string());
        }
        let due: Vec<String> = std::iter::from_fn(|| screen.next_status()).collect();
        assert_eq!(due, ["0", "1"]);
    }

    #[test]
    fn a_slow_output_loses_no_line_and_a_full_buffer_is_reported() {
        let (mut screen, mut lines, mut out) = (Screen::default(), 0, Vec::new());
        while screen.has_room() {
            screen.add("#1 unix", piece(lines.to_string().as_bytes(), false));
            lines += 1;
        }
        let (mut calls, mut blocked) = (0, 0);
        loop {
            let result = screen.flush(|bytes| {
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
            match result.unwrap() {
                FlushOutcome::Done => break,
                FlushOutcome::Blocked => blocked += 1,
                FlushOutcome::Yielded => {}
            }
        }
        assert!(blocked > 10 && screen.has_room());
        let expected: String = (0..lines).map(|line| format!("#1 unix: {line}\n")).collect();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
