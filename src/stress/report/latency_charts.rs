//! Draws the latency distribution of a load: as a histogram, and by percentile.

use crate::stress::histogram::Histogram;
use crate::stress::outcome::LoadOutcome;

use super::chart::{Axis, Chart, Series, Shape};
use super::marks::{latency_axis, line, show_nanos, show_percent, top, trimmed};

/// Draws the charts of one load. `several`: whether titles must name it.
pub(super) fn latency_charts(load: &LoadOutcome, several: bool) -> Vec<Chart> {
    let histogram = &load.stats.latency;
    if histogram.count() < 2 {
        return Vec::new();
    }
    let of = if several { format!(" of {}", load.name()) } else { String::new() };
    // The last series is drawn on top.
    let mut drawn = Vec::new();
    drawn.extend(load.corrected().map(|it| (CORRECTED, "two", it)));
    drawn.push(("measured", "one", histogram.clone()));
    vec![distribution(&drawn, &of), by_percentile(&drawn, &of)]
}

/// A name, a CSS class, and a histogram.
type NamedHistogram = (&'static str, &'static str, Histogram);

const CORRECTED: &str = "corrected for coordinated omission";

fn by_percentile(drawn: &[NamedHistogram], of: &str) -> Chart {
    let ends = drawn.iter().flat_map(|(_, _, histogram)| [histogram.min(), histogram.max()]);
    let y = latency_axis(ends.map(|end| end.as_nanos() as f64));
    let last =
        drawn.iter().map(|(_, _, histogram)| percentile_of_max(histogram)).fold(0.0, f64::max);
    let series =
        drawn.iter().map(|(name, class, histogram)| line(name, class, percentiles(histogram)));
    Chart {
        title: format!("Latency{of} by percentile"),
        about: "minimum latency of the slowest share; both axes logarithmic".to_string(),
        x: Axis { ticks: Some(percentile_ticks()), ..Axis::linear(last, percentile_label) },
        y,
        shaded: None,
        series: series.collect(),
    }
}

/// Draws the distribution as bars of equal width on a logarithmic axis, with corrected values as a
/// line on top.
fn distribution(drawn: &[NamedHistogram], of: &str) -> Chart {
    let ends = || drawn.iter().flat_map(|(_, _, histogram)| [histogram.min(), histogram.max()]);
    let from = ends().min().map_or(1.0, |least| least.as_nanos() as f64 * 0.9);
    let to = ends().max().map_or(2.0, |most| most.as_nanos() as f64 * 1.1);
    let mut series: Vec<Series> = drawn
        .iter()
        .map(|(name, class, histogram)| {
            let (points, shape) = match *name {
                CORRECTED => (outline(&shares(histogram, (from, to))), Shape::Line),
                _ => (shares(histogram, (from, to)), Shape::Bars),
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
fn shares(histogram: &Histogram, (from, to): (f64, f64)) -> Vec<(f64, f64)> {
    const BARS: usize = 64;
    let edge = |bar: usize| from * (to / from).powf(bar as f64 / BARS as f64);
    let mut bars = vec![0.0; BARS];
    for (took, times) in histogram.buckets() {
        let position = (took.as_nanos() as f64 / from).ln() / (to / from).ln();
        bars[((position * BARS as f64) as usize).min(BARS - 1)] += times as f64;
    }
    let total = histogram.count() as f64;
    let mut points: Vec<(f64, f64)> =
        bars.iter().enumerate().map(|(bar, times)| (edge(bar), times / total)).collect();
    points.push((to, 0.0));
    points
}

/// Returns the outline of bars.
fn outline(bars: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let both = bars.windows(2).flat_map(|pair| [pair[0], (pair[1].0, pair[0].1)]);
    both.collect()
}

/// Returns the position of a share on the percentile axis: 90 % is 1, 99 % is 2.
fn percentile_position(share: f64) -> f64 {
    -(1.0 - share).max(1e-9).log10()
}

/// Returns the points of a curve of latency by percentile.
fn percentiles(histogram: &Histogram) -> Vec<(f64, f64)> {
    let total = histogram.count() as f64;
    let mut so_far = 0.0;
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (took, times) in histogram.buckets() {
        let at = percentile_position(so_far / total);
        so_far += times as f64;
        let nanos = took.as_nanos() as f64;
        // Skip points that would be indistinguishable.
        if points.last().is_none_or(|(x, y)| at - x > 0.01 || nanos / y > 1.02) {
            points.push((at, nanos));
        }
    }
    points.push((percentile_position(1.0 - 0.5 / total), histogram.max().as_nanos() as f64));
    points
}

/// Returns the positions of the ticks on the percentile axis.
fn percentile_ticks() -> Vec<f64> {
    [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999_999].map(percentile_position).to_vec()
}

/// Returns the position of the maximum.
fn percentile_of_max(histogram: &Histogram) -> f64 {
    percentile_position(1.0 - 0.5 / histogram.count().max(1) as f64)
}

fn percentile_label(position: f64) -> String {
    let share = 100.0 * (1.0 - 10f64.powf(-position));
    format!("{} %", trimmed((share * 1e6).round() / 1e6))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn percentiles_are_labelled_with_no_more_nines_than_they_have() {
        let shares: Vec<String> =
            percentile_ticks().into_iter().take(5).map(percentile_label).collect();
        assert_eq!(shares, ["50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }

    #[test]
    fn percentiles_rise_to_the_slowest() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|step| histogram.record(Duration::from_micros(step)));
        let points = percentiles(&histogram);
        assert!(points.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1));
        let at = points.iter().find(|(x, _)| *x >= 1.0).unwrap();
        assert!((at.1 - 900e3).abs() < 20e3, "{at:?}");
        assert_eq!(points.last().unwrap().1, histogram.max().as_nanos() as f64);
    }
}
