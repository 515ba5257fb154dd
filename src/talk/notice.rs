//! What a talk tells its user on standard error: whole lines that are never waited for.

use std::fmt;
use std::io::Write;

use crate::observe::sink::Sink;
use crate::observe::way::standard_error;
use crate::text::digits::plural;

/// Standard error, for lines.
pub struct StatusLines(Box<dyn Write>);

impl StatusLines {
    pub fn new() -> StatusLines {
        let lost = |lines| format!("oneloop: {} dropped\n", plural(lines, "line"));
        StatusLines(Box::new(Sink::new(standard_error(), lost)))
    }

    /// They go nowhere: the user wants to hear of errors only.
    pub fn silent() -> StatusLines {
        StatusLines(Box::new(std::io::sink()))
    }

    /// Says a line. What is foreign in it must be escaped already.
    pub fn say(&mut self, line: impl fmt::Display) {
        // The sink never fails: what it cannot say it counts.
        let _ = self.0.write_all(format!("{line}\n").as_bytes());
    }
}

impl Default for StatusLines {
    fn default() -> StatusLines {
        StatusLines::new()
    }
}
