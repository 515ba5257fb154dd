//! Formats times for the log: timestamps and durations.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::core::Civil;

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
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, millis) = self.parts();
        write!(f, "{:04}-{:02}-{:02}", date.year, date.month, date.day)?;
        write!(f, "T{:02}:{:02}:{:02}.{millis:03}Z", date.hour, date.minute, date.second)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
