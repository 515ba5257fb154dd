//! Formats log records: date, level, message, newline. Access lines have the message only. Formats
//! the times in them, too.

use std::fmt::{self, Formatter, Write as _};
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::{Level, Record};

use crate::core::Civil;
use crate::text::count::Count;
use crate::text::escape::{Form, escape};

/// The log target of start, stop and the lives of connections.
pub const LIFECYCLE: &str = "oneloop";

/// The log target of steps, for `RUST_LOG=oneloop::loop=trace`.
pub const LOOP: &str = "oneloop::loop";

/// The log target of dumps, which are shown at every level.
pub const DUMP: &str = "oneloop::dump";

/// The log target of what is logged because it is watched, and which every filter shows.
pub const WATCH: &str = "oneloop::watch";

/// The log target of access lines, which have no date or level in front.
pub const ACCESS: &str = "access";

/// Writes one record as one line. Line breaks in the message are escaped.
pub fn write_record(out: &mut dyn io::Write, record: &Record<'_>, color: bool) -> io::Result<()> {
    write_record_at(out, record, Stamp::now(), color)
}

/// Writes one record with the time of a recording.
pub fn write_record_at(
    out: &mut dyn io::Write,
    record: &Record<'_>,
    stamp: Stamp,
    color: bool,
) -> io::Result<()> {
    let mut line = String::new();
    // Writing to a string cannot fail. If the message's `Display` fails, the part before is kept.
    let _ = match record.target() {
        ACCESS => escaped(&mut line, record),
        _ => prefix(&mut line, stamp, record.level(), color)
            .and_then(|()| escaped(&mut line, record)),
    };
    line.push('\n');
    out.write_all(line.as_bytes())
}

/// Returns the warning that `lost` lines are missing at this place.
pub fn lost_lines(lost: u64) -> String {
    let mut line = String::new();
    let _ = prefix(&mut line, Stamp::now(), Level::Warn, false);
    let _ = writeln!(line, "{} lost", Count(lost as usize, "log line"));
    line
}

fn prefix(line: &mut String, stamp: Stamp, level: Level, color: bool) -> fmt::Result {
    let (on, off) = if color { (color_of(level), "\x1b[0m") } else { ("", "") };
    write!(line, "{stamp} {on}{level:<5}{off} ")
}

fn escaped(line: &mut String, record: &Record<'_>) -> fmt::Result {
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

/// A timestamp in UTC, as `2026-11-20T16:11:58.641Z`.
#[derive(Clone, Copy, Debug)]
pub struct Stamp(pub SystemTime);

/// A duration, short and with its unit: `312us`, `3.2ms`, `404ms`, `4.20s`, `30s`, `2m05s`,
/// `3h00m`.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub Duration);

impl Stamp {
    pub fn now() -> Stamp {
        Stamp(SystemTime::now())
    }

    /// Returns the date and time, and the milliseconds.
    pub fn parts(self) -> (Civil, u32) {
        let millis = match self.0.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        };
        (Civil::at(millis.div_euclid(1000)), millis.rem_euclid(1000) as u32)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (date, millis) = self.parts();
        write!(f, "{:04}-{:02}-{:02}", date.year, date.month, date.day)?;
        write!(f, "T{:02}:{:02}:{:02}.{millis:03}Z", date.hour, date.minute, date.second)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        let seconds = self.0.as_secs();
        if micros < 1000 {
            write!(f, "{micros}us")
        } else if micros < 10_000 {
            write!(f, "{}.{}ms", micros / 1000, micros / 100 % 10)
        } else if seconds == 0 {
            write!(f, "{}ms", micros / 1000)
        } else if seconds < 60 && micros % 1_000_000 < 10_000 {
            write!(f, "{seconds}s")
        } else if seconds < 60 {
            write!(f, "{seconds}.{:02}s", micros / 10_000 % 100)
        } else if seconds < 3600 {
            write!(f, "{}m{:02}s", seconds / 60, seconds % 60)
        } else {
            write!(f, "{}h{:02}m", seconds / 3600, seconds / 60 % 60)
        }
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

    #[test]
    fn a_stamp_is_a_date_in_utc_with_milliseconds() {
        let stamp = |millis| Stamp(UNIX_EPOCH + Duration::from_millis(millis)).to_string();
        assert_eq!(stamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(stamp(1_795_191_118_641), "2026-11-20T16:11:58.641Z");
        let before = Stamp(UNIX_EPOCH - Duration::from_millis(1));
        assert_eq!(before.to_string(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_span_is_short_and_has_a_unit() {
        let span = |micros| Span(Duration::from_micros(micros)).to_string();
        assert_eq!(span(0), "0us");
        assert_eq!(span(999), "999us");
        assert_eq!(span(3_249), "3.2ms");
        assert_eq!(span(10_000), "10ms");
        assert_eq!(span(999_999), "999ms");
        assert_eq!(span(4_205_000), "4.20s");
        assert_eq!(span(30_000_000), "30s");
        assert_eq!(span(125_000_000), "2m05s");
        assert_eq!(span(10_800_000_000), "3h00m");
    }
}
