//! Parts shared by charts: axis ranges, series and axis labels.

use std::time::Duration;

use super::chart::{Axis, Series, Shape};
use super::format::{bytes, count, duration};
use super::scale::round_up;

/// Builds a logarithmic axis around these values.
pub fn latency_axis(values: impl Iterator<Item = f64>) -> Axis {
    let (mut least, mut most) = (f64::MAX, 1.0f64);
    for value in values.filter(|value| *value > 0.0) {
        (least, most) = (least.min(value), most.max(value));
    }
    Axis::log(least.min(most) * 0.8, most * 1.25, show_nanos)
}

/// Returns a round upper end for an axis with these points.
pub fn top(points: &[(f64, f64)]) -> f64 {
    let most = points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    // Round up, to leave some space above the curve.
    let step = round_up(most / 5.0);
    (most / step).ceil().max(1.0) * step
}

pub fn area(name: &'static str, class: &'static str, points: Vec<(f64, f64)>) -> Series {
    Series { name, class, shape: Shape::Area, points }
}

pub fn line(name: &'static str, class: &'static str, points: Vec<(f64, f64)>) -> Series {
    Series { name, class, shape: Shape::Line, points }
}

pub fn show_seconds(seconds: f64) -> String {
    match seconds {
        0.0 => "0".to_string(),
        seconds if seconds < 120.0 => format!("{} s", trimmed(seconds)),
        seconds if seconds < 7200.0 => format!("{} min", trimmed(seconds / 60.0)),
        seconds => format!("{} h", trimmed(seconds / 3600.0)),
    }
}

pub fn show_nanos(nanos: f64) -> String {
    match nanos {
        0.0 => "0".to_string(),
        nanos => short(&duration(Duration::from_nanos(nanos as u64))),
    }
}

pub fn show_count(value: f64) -> String {
    short(&count(value))
}

pub fn show_bytes(value: f64) -> String {
    short(&bytes(value))
}

pub fn show_percent(share: f64) -> String {
    format!("{} %", trimmed(100.0 * share))
}

/// Removes trailing zeros after the decimal point of a number with a unit.
fn short(text: &str) -> String {
    let (number, unit) = text.split_at(text.find(' ').unwrap_or(text.len()));
    match number.contains('.') {
        true => format!("{}{unit}", number.trim_end_matches('0').trim_end_matches('.')),
        false => text.to_string(),
    }
}

/// Formats a number without trailing zeros.
pub fn trimmed(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short() {
        assert_eq!(show_nanos(1e6), "1 ms");
        assert_eq!(show_count(50_000.0), "50 k");
        assert_eq!((show_bytes(1.5e9), show_bytes(100.0)), ("1.5 GB".into(), "100 B".into()));
        assert_eq!((show_seconds(2.5), show_seconds(180.0)), ("2.5 s".into(), "3 min".into()));
    }

    #[test]
    fn an_axis_ends_at_a_round_value_above_all() {
        assert_eq!(top(&[(0.0, 87.0)]), 100.0);
        assert_eq!(top(&[]), 1.0);
    }
}
