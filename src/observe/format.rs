//! Formats log records: date, level, message, newline. Access lines have the message only.

use std::fmt::Write as _;
use std::io;

use log::{Level, Record};

use super::access::ACCESS;
use super::clock::Stamp;
use crate::text::count::Count;
use crate::text::escape::{Form, escape};

/// Writes one record as one line. Line breaks in the message are escaped.
pub fn write_record(out: &mut dyn io::Write, record: &Record<'_>, color: bool) -> io::Result<()> {
    let mut line = String::new();
    // Writing to a string cannot fail. If the message's `Display` fails, the part before is kept.
    let _ = match record.target() {
        ACCESS => escaped(&mut line, record),
        _ => prefix(&mut line, record.level(), color).and_then(|()| escaped(&mut line, record)),
    };
    line.push('\n');
    out.write_all(line.as_bytes())
}

/// Returns the warning that `lost` lines are missing at this place.
pub fn lost_lines(lost: u64) -> String {
    let mut line = String::new();
    let _ = prefix(&mut line, Level::Warn, false);
    let _ = writeln!(line, "{} lost", Count(lost as usize, "log line"));
    line
}

fn prefix(line: &mut String, level: Level, color: bool) -> std::fmt::Result {
    let (on, off) = if color { (color_of(level), "\x1b[0m") } else { ("", "") };
    write!(line, "{} {on}{level:<5}{off} ", Stamp::now())
}

fn escaped(line: &mut String, record: &Record<'_>) -> std::fmt::Result {
    // Untrusted text is escaped where it enters a message; this is the last line of defence.
    let mut message = String::new();
    let written = write!(message, "{}", record.args());
    escape(line, message.as_bytes(), Form::Ours, usize::MAX)?;
    written
}

fn color_of(level: Level) -> &'static str {
    match level {
        Level::Error => "\x1b[31m",
        Level::Warn => "\x1b[33m",
        Level::Info => "\x1b[32m",
        Level::Debug => "\x1b[36m",
        Level::Trace => "\x1b[2m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(target: &str, message: &str, color: bool) -> String {
        let mut out = Vec::new();
        let args = format_args!("{message}");
        let record = Record::builder().target(target).level(Level::Info).args(args).build();
        write_record(&mut out, &record, color).expect("a vector accepts all bytes");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_line_is_date_level_message() {
        let line = line("oneloop", "listening", false);
        let (date, rest) = line.split_at("2026-11-20T16:11:58.641Z".len());
        assert!(date.ends_with('Z') && date.contains('T'), "{date}");
        assert_eq!(rest, " INFO  listening\n");
    }

    #[test]
    fn an_access_line_is_bare() {
        assert_eq!(line(ACCESS, "{\"conn\":1}", true), "{\"conn\":1}\n");
    }

    #[test]
    fn only_the_level_is_coloured_and_only_on_demand() {
        assert!(line("oneloop", "m", true).ends_with(" \x1b[32mINFO \x1b[0m m\n"));
        assert!(!line("oneloop", "m", false).contains('\x1b'));
    }

    #[test]
    fn a_message_with_unescaped_text_is_still_one_harmless_line() {
        let line = line("oneloop", "a\nb\x1b[2J \\n \u{202e}", false);
        assert!(line.ends_with(" a\\nb\\x1b[2J \\n \\xe2\\x80\\xae\n"), "{line}");
    }

    #[test]
    fn lost_lines_are_counted_in_a_warning() {
        assert!(lost_lines(1).ends_with(" WARN  1 log line lost\n"));
        assert!(lost_lines(12).ends_with(" WARN  12 log lines lost\n"));
    }
}
