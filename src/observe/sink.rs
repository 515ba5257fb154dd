//! The log's way out: line by line, never waiting. A line that would have to wait is lost, and
//! counted; when lines can go out again, the first one says how many are missing.
//!
//! ```text
//!   line --> cut to 4,096 bytes --> the rest of the last line --> "3 log lines were lost" --> line
//!                                    `- still stuck: lost, count it
//! ```

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The longest line, its newline included. It is what a pipe of Linux takes whole or not at all.
pub const LINE_BYTES: usize = 4096;

/// What stands at the end of a line that was cut.
const CUT: &[u8] = b"...[cut]\n";

/// Something that takes bytes now, or does not. It never waits.
pub trait Way {
    /// How many bytes, from the first on, were taken. None at all: it would have had to wait, or
    /// failed.
    fn write_now(&mut self, bytes: &[u8]) -> usize;
}

/// A `Write` that takes whole lines, one a call, and never fails.
pub struct Sink<W> {
    way: W,
    /// The end of a line whose beginning has gone out. At most one line.
    rest: Vec<u8>,
    lost: Arc<AtomicU64>,
    /// How many of the lost lines have been reported.
    told: u64,
    report: fn(u64) -> String,
}

impl<W: Way> Sink<W> {
    /// `report` makes the line that says how many lines were lost.
    pub fn new(way: W, report: fn(u64) -> String) -> Sink<W> {
        Sink { way, rest: Vec::new(), lost: Arc::default(), told: 0, report }
    }

    /// The count of lost lines, for whoever wants to read it later.
    pub fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.lost)
    }

    fn line(&mut self, line: &[u8]) -> bool {
        self.finish_rest() && self.report_lost() && self.send(line)
    }

    fn finish_rest(&mut self) -> bool {
        if !self.rest.is_empty() {
            let taken = self.way.write_now(&self.rest);
            self.rest.drain(..taken);
        }
        self.rest.is_empty()
    }

    fn report_lost(&mut self) -> bool {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost == self.told {
            return true;
        }
        let report = (self.report)(lost - self.told);
        if !self.send(&cut(report.as_bytes())) {
            return false;
        }
        self.told = lost;
        // Half a report leaves no place for the line behind it.
        self.rest.is_empty()
    }

    /// Sends a line that ends in a newline. What does not go out at once goes before the next line.
    fn send(&mut self, line: &[u8]) -> bool {
        let taken = self.way.write_now(line);
        if taken > 0 {
            self.rest.extend_from_slice(&line[taken..]);
        }
        taken > 0
    }
}

impl<W: Way> Write for Sink<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !line.is_empty() && !self.line(&cut(line)) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The line, no longer than lines may be. A cut falls between characters, never within one.
fn cut(line: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if line.len() <= LINE_BYTES {
        return line.into();
    }
    let is_inside_character = |byte: u8| byte & 0xc0 == 0x80;
    let mut end = LINE_BYTES - CUT.len();
    while end > 0 && is_inside_character(line[end]) {
        end -= 1;
    }
    [&line[..end], CUT].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes in all, and remembers them.
    #[derive(Default)]
    struct Narrow {
        room: usize,
        seen: Vec<u8>,
    }

    impl Way for Narrow {
        fn write_now(&mut self, bytes: &[u8]) -> usize {
            let taken = bytes.len().min(self.room);
            self.room -= taken;
            self.seen.extend_from_slice(&bytes[..taken]);
            taken
        }
    }

    fn sink(room: usize) -> Sink<Narrow> {
        Sink::new(Narrow { room, seen: Vec::new() }, |lost| format!("{lost} lost\n"))
    }

    fn say(sink: &mut Sink<Narrow>, line: &str) {
        sink.write_all(line.as_bytes()).expect("a sink never fails");
    }

    fn seen(sink: &Sink<Narrow>) -> String {
        String::from_utf8(sink.way.seen.clone()).expect("whole characters")
    }

    #[test]
    fn lines_go_out_as_they_come() {
        let mut sink = sink(100);
        say(&mut sink, "one\n");
        say(&mut sink, "two\n");
        assert_eq!(seen(&sink), "one\ntwo\n");
    }

    #[test]
    fn lost_lines_are_counted_and_reported_before_the_next_line() {
        let mut sink = sink(4);
        for line in ["one\n", "two\n", "three\n"] {
            say(&mut sink, line);
        }
        assert_eq!(sink.lost().load(Ordering::Relaxed), 2);
        sink.way.room = 100;
        say(&mut sink, "four\n");
        say(&mut sink, "five\n");
        assert_eq!(seen(&sink), "one\n2 lost\nfour\nfive\n");
    }

    #[test]
    fn a_line_that_went_out_in_part_is_finished_first() {
        let mut sink = sink(2);
        say(&mut sink, "one\n");
        say(&mut sink, "two\n");
        assert_eq!(seen(&sink), "on");
        sink.way.room = 1;
        say(&mut sink, "three\n");
        sink.way.room = 100;
        say(&mut sink, "four\n");
        assert_eq!(seen(&sink), "one\n2 lost\nfour\n");
    }

    #[test]
    fn half_a_report_is_not_mixed_with_a_line_and_not_told_twice() {
        let mut sink = sink(0);
        say(&mut sink, "one\n");
        sink.way.room = 3;
        say(&mut sink, "two\n");
        assert_eq!(seen(&sink), "1 l");
        sink.way.room = 100;
        say(&mut sink, "three\n");
        assert_eq!(seen(&sink), "1 lost\n1 lost\nthree\n");
        assert_eq!(sink.lost().load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_long_line_is_cut_between_characters_and_marked() {
        for pad in 0..4 {
            let mut sink = sink(usize::MAX);
            let line = format!("{}{}\n", "x".repeat(pad), "日".repeat(5000));
            say(&mut sink, &line);
            let seen = seen(&sink);
            assert!(seen.len() <= LINE_BYTES && seen.len() > LINE_BYTES - 4, "{}", seen.len());
            assert!(seen.ends_with("日...[cut]\n"));
        }
        let mut sink = sink(usize::MAX);
        let longest = "x".repeat(LINE_BYTES - 1) + "\n";
        say(&mut sink, &longest);
        assert_eq!(seen(&sink), longest);
    }

    #[test]
    fn the_memory_of_a_stuck_log_is_bounded() {
        let mut sink = sink(1);
        for _ in 0..10_000 {
            say(&mut sink, &("x".repeat(10_000) + "\n"));
        }
        assert!(sink.rest.len() < LINE_BYTES);
        assert!(sink.rest.capacity() <= 2 * LINE_BYTES);
    }
}
