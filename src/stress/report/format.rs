//! Formats the numbers and dates of a report.

use std::time::Duration;

use crate::core::Civil;
pub use crate::text::quantity::{bytes, count, digits, duration, near, percent};

/// Formats a time since 1970 as `2026-11-20T16:11:58Z`.
pub fn utc(since_1970: Duration) -> String {
    let Civil { year, month, day, hour, minute, second, .. } =
        Civil::at(since_1970.as_secs() as i64);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_in_iso_8601() {
        assert_eq!(utc(Duration::from_secs(951_782_400)), "2000-02-29T00:00:00Z");
    }
}
