//! Status lines on standard error: whole lines, written without blocking.

use std::fmt;
use std::io::Write;

use crate::observe::sink::Sink;
use crate::observe::way::standard_error;
use crate::text::digits::plural;

/// Writes status lines to standard error.
pub struct StatusLines(Box<dyn Write>);

impl StatusLines {
    pub fn new() -> StatusLines {
        let lost = |lines| format!("oneloop: {} dropped\n", plural(lines, "line"));
        StatusLines(Box::new(Sink::new(standard_error(), lost)))
    }

    /// Discards all lines: the user wants errors only.
    pub fn silent() -> StatusLines {
        StatusLines(Box::new(std::io::sink()))
    }

    /// Writes a line. Foreign text in it must already be escaped.
    pub fn say(&mut self, line: impl fmt::Display) {
        // The writer never fails: it counts dropped lines.
        let _ = self.0.write_all(format!("{line}\n").as_bytes());
    }
}

impl Default for StatusLines {
    fn default() -> StatusLines {
        StatusLines::new()
    }
}
