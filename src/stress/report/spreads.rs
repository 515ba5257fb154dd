//! Draws the latency distribution of a load: as a histogram, and by percentile.

use crate::stress::histogram::Histogram;
use crate::stress::outcome::LoadOutcome;

use super::chart::{Axis, Chart, Series, Shape};
use super::marks::{latency_axis, line, show_nanos, show_percent, top, trimmed};

/// Draws the charts of one load. `several`: whether titles must name it.
pub(super) fn spread_charts(load: &LoadOutcome, several: bool) -> Vec<Chart> {
    let spread = &load.tally.latency;
    if spread.count() < 2 {
        return Vec::new();
    }
    let of = if several { format!(" of {}", load.name()) } else { String::new() };
    // The last series is drawn on top.
    let mut drawn = Vec::new();
    drawn.extend(load.corrected().map(|it| (CORRECTED, "two", it)));
    drawn.push(("measured", "one", spread.clone()));
    vec![distribution(&drawn, &of), by_percentile(&drawn, &of)]
}

/// A name, a colour, and what is drawn.
type Drawn = (&'static str, &'static str, Histogram);

const CORRECTED: &str = "corrected for coordinated omission";

fn by_percentile(drawn: &[Drawn], of: &str) -> Chart {
    let ends = drawn.iter().flat_map(|(_, _, spread)| [spread.min(), spread.max()]);
    let y = latency_axis(ends.map(|end| end.as_nanos() as f64));
    let last = drawn.iter().map(|(_, _, spread)| last_mark(spread)).fold(0.0, f64::max);
    let series = drawn.iter().map(|(name, class, spread)| line(name, class, percentiles(spread)));
    Chart {
        title: format!("Latency{of} by percentile"),
        about: "minimum latency of the slowest share; both axes logarithmic".to_string(),
        x: Axis { marks: Some(bars_marks()), ..Axis::linear(last, show_share) },
        y,
        shaded: None,
        series: series.collect(),
    }
}

/// Draws the distribution as bars of equal width on a logarithmic axis, with corrected values as a
/// line on top.
fn distribution(drawn: &[Drawn], of: &str) -> Chart {
    let ends = || drawn.iter().flat_map(|(_, _, spread)| [spread.min(), spread.max()]);
    let from = ends().min().map_or(1.0, |least| least.as_nanos() as f64 * 0.9);
    let to = ends().max().map_or(2.0, |most| most.as_nanos() as f64 * 1.1);
    let mut series: Vec<Series> = drawn
        .iter()
        .map(|(name, class, spread)| {
            let (points, shape) = match *name {
                CORRECTED => (steps(&shares(spread, (from, to))), Shape::Line),
                _ => (shares(spread, (from, to)), Shape::Bars),
            };
            Series { name, class, shape, points }
        })
        .collect();
    series.reverse();
    let highest = series.iter().map(|series| top(&series.points)).fold(0.0, f64::max);
    Chart {
        title: format!("Latency{of}"),
        about: "share of all answers; logarithmic time axis".to_string(),
        x: Axis::log(from, to, show_nanos),
        y: Axis::linear(highest, show_percent),
        shaded: None,
        series,
    }
}

/// Computes the share of answers in each bar, with its left edge; the last point ends the axis.
fn shares(spread: &Histogram, (from, to): (f64, f64)) -> Vec<(f64, f64)> {
    const BARS: usize = 64;
    let edge = |bar: usize| from * (to / from).powf(bar as f64 / BARS as f64);
    let mut bars = vec![0.0; BARS];
    for (took, times) in spread.buckets() {
        let place = (took.as_nanos() as f64 / from).ln() / (to / from).ln();
        bars[((place * BARS as f64) as usize).min(BARS - 1)] += times as f64;
    }
    let total = spread.count() as f64;
    let mut points: Vec<(f64, f64)> =
        bars.iter().enumerate().map(|(bar, times)| (edge(bar), times / total)).collect();
    points.push((to, 0.0));
    points
}

/// The outline of bars.
fn steps(bars: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let both = bars.windows(2).flat_map(|pair| [pair[0], (pair[1].0, pair[0].1)]);
    both.collect()
}

/// Returns the position of a share on the percentile axis: 90 % is 1, 99 % is 2.
fn place(share: f64) -> f64 {
    -(1.0 - share).max(1e-9).log10()
}

fn percentiles(spread: &Histogram) -> Vec<(f64, f64)> {
    let total = spread.count() as f64;
    let mut so_far = 0.0;
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (took, times) in spread.buckets() {
        let at = place(so_far / total);
        so_far += times as f64;
        let nanos = took.as_nanos() as f64;
        // Skip points that would be indistinguishable.
        if points.last().is_none_or(|(x, y)| at - x > 0.01 || nanos / y > 1.02) {
            points.push((at, nanos));
        }
    }
    points.push((place(1.0 - 0.5 / total), spread.max().as_nanos() as f64));
    points
}

fn bars_marks() -> Vec<f64> {
    [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999_999].map(place).to_vec()
}

fn last_mark(spread: &Histogram) -> f64 {
    place(1.0 - 0.5 / spread.count().max(1) as f64)
}

fn show_share(place: f64) -> String {
    let share = 100.0 * (1.0 - 10f64.powf(-place));
    format!("{} %", trimmed((share * 1e6).round() / 1e6))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn shares_are_written_with_no_more_nines_than_they_have() {
        let shares: Vec<String> = bars_marks().into_iter().take(5).map(show_share).collect();
        assert_eq!(shares, ["50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }

    #[test]
    fn percentiles_rise_to_the_slowest() {
        let mut spread = Histogram::new();
        (1..=1000).for_each(|step| spread.record(Duration::from_micros(step)));
        let points = percentiles(&spread);
        assert!(points.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1));
        let at = points.iter().find(|(x, _)| *x >= 1.0).unwrap();
        assert!((at.1 - 900e3).abs() < 20e3, "{at:?}");
        assert_eq!(points.last().unwrap().1, spread.max().as_nanos() as f64);
    }
}
