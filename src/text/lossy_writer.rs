//! Writes log lines without blocking. A line that would block is lost and counted; when lines can
//! be written again, the first one reports how many were lost.
//!
//! ```text
//!   line --> cut to 4,096 bytes --> rest of the last line --> "3 log lines lost" --> line
//!                               `- still blocked: lost, and counted
//! ```

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Maximum length of a line in bytes, newline included: PIPE_BUF on Linux, which a pipe accepts
/// whole or not at all.
pub const LINE_BYTES: usize = 4096;

/// Ends a truncated line.
const CUT: &[u8] = b"...[cut]\n";

/// An output that never blocks.
pub trait TryWrite {
    /// Writes a prefix of `bytes` and returns its length. Zero: it would block, or it failed.
    fn write_now(&mut self, bytes: &[u8]) -> usize;
}

/// A `Write` that accepts one whole line per call and never fails.
pub struct LossyWriter<W> {
    out: W,
    /// The unwritten rest of a line. At most one line.
    rest: Vec<u8>,
    lost: Arc<AtomicU64>,
    /// The lost lines that have been reported.
    reported: u64,
    report: fn(u64) -> String,
}

impl<W: TryWrite> LossyWriter<W> {
    /// `report` formats the line that reports lost lines.
    pub fn new(out: W, report: fn(u64) -> String) -> LossyWriter<W> {
        LossyWriter { out, rest: Vec::new(), lost: Arc::default(), reported: 0, report }
    }

    /// Returns the counter of lost lines.
    pub fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.lost)
    }

    fn line(&mut self, line: &[u8]) -> bool {
        self.finish_rest() && self.report_lost() && self.send(line)
    }

    fn finish_rest(&mut self) -> bool {
        if !self.rest.is_empty() {
            let taken = self.out.write_now(&self.rest);
            self.rest.drain(..taken);
        }
        self.rest.is_empty()
    }

    fn report_lost(&mut self) -> bool {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost == self.reported {
            return true;
        }
        let report = (self.report)(lost - self.reported);
        if !self.send(&truncate(report.as_bytes())) {
            return false;
        }
        self.reported = lost;
        // While a part of the report is unwritten, no line may follow.
        self.rest.is_empty()
    }

    /// Writes a line that ends in a newline. An unwritten rest is written before the next line.
    fn send(&mut self, line: &[u8]) -> bool {
        let taken = self.out.write_now(line);
        if taken > 0 {
            self.rest.extend_from_slice(&line[taken..]);
        }
        taken > 0
    }
}

impl<W: TryWrite> Write for LossyWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !line.is_empty() && !self.line(&truncate(line)) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Truncates a line to `LINE_BYTES`, between characters.
fn truncate(line: &[u8]) -> std::borrow::Cow<'_, [u8]> {
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

    /// Accepts `capacity` bytes in all, and keeps them.
    #[derive(Default)]
    struct Limited {
        capacity: usize,
        written: Vec<u8>,
    }

    impl TryWrite for Limited {
        fn write_now(&mut self, bytes: &[u8]) -> usize {
            let taken = bytes.len().min(self.capacity);
            self.capacity -= taken;
            self.written.extend_from_slice(&bytes[..taken]);
            taken
        }
    }

    fn lossy(capacity: usize) -> LossyWriter<Limited> {
        LossyWriter::new(Limited { capacity, written: Vec::new() }, |lost| format!("{lost} lost\n"))
    }

    fn say(lossy: &mut LossyWriter<Limited>, line: &str) {
        lossy.write_all(line.as_bytes()).expect("a lossy writer never fails");
    }

    fn written(lossy: &LossyWriter<Limited>) -> String {
        String::from_utf8(lossy.out.written.clone()).expect("whole characters")
    }

    #[test]
    fn lines_are_written_in_order() {
        let mut lossy = lossy(100);
        say(&mut lossy, "one\n");
        say(&mut lossy, "two\n");
        assert_eq!(written(&lossy), "one\ntwo\n");
    }

    #[test]
    fn lost_lines_are_counted_and_reported_before_the_next_line() {
        let mut lossy = lossy(4);
        for line in ["one\n", "two\n", "three\n"] {
            say(&mut lossy, line);
        }
        assert_eq!(lossy.lost().load(Ordering::Relaxed), 2);
        lossy.out.capacity = 100;
        say(&mut lossy, "four\n");
        say(&mut lossy, "five\n");
        assert_eq!(written(&lossy), "one\n2 lost\nfour\nfive\n");
    }

    #[test]
    fn a_line_that_was_written_in_part_is_finished_first() {
        let mut lossy = lossy(2);
        say(&mut lossy, "one\n");
        say(&mut lossy, "two\n");
        assert_eq!(written(&lossy), "on");
        lossy.out.capacity = 1;
        say(&mut lossy, "three\n");
        lossy.out.capacity = 100;
        say(&mut lossy, "four\n");
        assert_eq!(written(&lossy), "one\n2 lost\nfour\n");
    }

    #[test]
    fn half_a_report_is_not_mixed_with_a_line_and_not_repeated() {
        let mut lossy = lossy(0);
        say(&mut lossy, "one\n");
        lossy.out.capacity = 3;
        say(&mut lossy, "two\n");
        assert_eq!(written(&lossy), "1 l");
        lossy.out.capacity = 100;
        say(&mut lossy, "three\n");
        assert_eq!(written(&lossy), "1 lost\n1 lost\nthree\n");
        assert_eq!(lossy.lost().load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_long_line_is_truncated_between_characters_and_marked() {
        for pad in 0..4 {
            let mut lossy = lossy(usize::MAX);
            let line = format!("{}{}\n", "x".repeat(pad), "日".repeat(5000));
            say(&mut lossy, &line);
            let text = written(&lossy);
            assert!(text.len() <= LINE_BYTES && text.len() > LINE_BYTES - 4, "{}", text.len());
            assert!(text.ends_with("日...[cut]\n"));
        }
        let mut lossy = lossy(usize::MAX);
        let longest = "x".repeat(LINE_BYTES - 1) + "\n";
        say(&mut lossy, &longest);
        assert_eq!(written(&lossy), longest);
    }

    #[test]
    fn the_memory_of_a_blocked_log_is_bounded() {
        let mut lossy = lossy(1);
        for _ in 0..10_000 {
            say(&mut lossy, &("x".repeat(10_000) + "\n"));
        }
        assert!(lossy.rest.len() < LINE_BYTES);
        assert!(lossy.rest.capacity() <= 2 * LINE_BYTES);
    }
}
