//! The values of the charts: numbers and the names of the loads, without foreign text. `page.js`
//! selects and describes the charts, and `charts.js` draws them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::stress::histogram::Histogram;
use crate::stress::load_stats::WorkUnit;
use crate::stress::outcome::Outcome;
use crate::stress::timeline::Point;

use super::figures::load_names;

/// Returns the values for `page.js`. Times are in seconds, latencies in nanoseconds.
pub fn chart_values(outcome: &Outcome) -> Value {
    let (timeline, ramp) = (&outcome.timeline, &outcome.ramp_curve);
    let counts = |of: fn(&Point) -> u64| timeline.points.iter().map(of).collect::<Vec<_>>();
    let nanos = |of: fn(&Point) -> Duration| -> Vec<u64> {
        timeline.points.iter().map(|point| of(point).as_nanos() as u64).collect()
    };
    let loads = outcome.loads.iter().zip(load_names(outcome)).map(|(load, name)| {
        json!({
            "name": name,
            "unit": match load.unit() {
                WorkUnit::None => "none",
                WorkUnit::Message => "message",
                WorkUnit::Connection => "connection",
                WorkUnit::Gibibyte => "gibibyte",
            },
            "latency": buckets(&load.stats.latency),
            "corrected": buckets(&load.corrected().unwrap_or_default()),
        })
    });
    json!({
        "precision": PRECISION,
        "persistent": outcome.persistent_planned(),
        "ramp": { "step": ramp.step.as_secs_f64(), "open": ramp.open },
        "ramp_rate": outcome.ramp_rate(),
        "measured": outcome.measured.map(|(from, to)| [from.as_secs_f64(), to.as_secs_f64()]),
        "step": timeline.step.as_secs_f64(),
        "open": counts(|point| point.open),
        "answered": counts(|point| point.answered),
        "exchanged": counts(|point| point.exchanged),
        "bytes": counts(|point| point.bytes),
        "died": counts(|point| point.died),
        "failed": counts(|point| point.failed),
        "memory": counts(|point| point.user_bytes),
        "p50": nanos(|point| point.p50),
        "p99": nanos(|point| point.p99),
        "cpu": nanos(|point| point.cpu),
        "loads": loads.collect::<Vec<_>>(),
    })
}

/// Relative width of the buckets: finer than the bars of a chart, and few enough for a small page.
const PRECISION: f64 = 0.005;

/// Returns the highest value in nanoseconds and the count of each bucket. Buckets that are closer
/// than `PRECISION` are merged.
fn buckets(histogram: &Histogram) -> Vec<(u64, u64)> {
    let mut merged: Vec<(u64, u64)> = Vec::new();
    let mut least = 0.0;
    for (took, times) in histogram.buckets() {
        let nanos = took.as_nanos() as u64;
        match merged.last_mut().filter(|_| nanos as f64 <= least * (1.0 + PRECISION)) {
            Some(last) => *last = (nanos, last.1 + times),
            None => {
                least = nanos as f64;
                merged.push((nanos, times));
            }
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stress::report::example::example;

    #[test]
    fn the_values_of_the_charts_are_those_of_the_run() {
        let outcome = example();
        let values = chart_values(&outcome);
        let last = |name: &str| values[name].as_array().and_then(|all| all.last()).cloned();
        assert_eq!((last("open"), last("answered")), (Some(json!(1016)), Some(json!(100))));
        assert_eq!((values["step"].as_f64(), &values["measured"][0]), (Some(0.1), &json!(0.4)));
        assert_eq!(last("cpu"), Some(json!(720_000_000)));
        let echo = &values["loads"][1];
        assert_eq!((&echo["name"], &echo["unit"]), (&json!("echo"), &json!("message")));
        let total: u64 =
            echo["latency"].as_array().unwrap().iter().filter_map(|it| it[1].as_u64()).sum();
        assert_eq!(total, 20_000);
    }

    #[test]
    fn buckets_are_merged_while_they_are_closer_than_the_precision() {
        let mut histogram = Histogram::new();
        (1..=100_000).for_each(|step| histogram.record(Duration::from_nanos(step * 100)));
        let buckets = buckets(&histogram);
        let near = |pair: &[(u64, u64)]| pair[1].0 as f64 > pair[0].0 as f64;
        assert!(buckets.windows(2).all(near) && buckets.len() < 1500, "{}", buckets.len());
        assert_eq!(buckets.iter().map(|bucket| bucket.1).sum::<u64>(), 100_000);
        assert_eq!(buckets.last().unwrap().0, histogram.max().as_nanos() as u64);
    }
}
