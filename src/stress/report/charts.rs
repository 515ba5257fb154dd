//! Selects the charts of a run and draws those over time.

use std::time::Duration;

use crate::stress::load_stats::WorkUnit;
use crate::stress::outcome::Outcome;
use crate::stress::timeline::Point;

use super::chart::{Axis, Chart, Series, Shape};
use super::format::count;
use super::latency_charts::latency_charts;
use super::marks::{area, latency_axis, line, top};
use super::marks::{show_bytes, show_count, show_nanos, show_percent, show_seconds};

/// Draws all charts that have data, as figures of the page.
pub fn charts(outcome: &Outcome) -> String {
    let time = Time::of(outcome);
    let mut charts = vec![time.open(outcome)];
    charts.extend(ramp(outcome));
    charts.extend(time.rates(outcome));
    charts.extend(time.latency());
    for load in &outcome.loads {
        charts.extend(latency_charts(load, outcome.loads.len() > 1));
    }
    charts.extend(time.deaths());
    charts.extend(time.failures());
    charts.extend(time.memory());
    charts.extend(time.cpu());
    charts.iter().map(Chart::figure).collect()
}

/// Draws the persistent connections over the time of connecting.
fn ramp(outcome: &Outcome) -> Option<Chart> {
    let ramp_curve = &outcome.ramp_curve;
    if ramp_curve.open.last().is_none_or(|open| *open < 2) {
        return None;
    }
    let step = ramp_curve.step.as_nanos() as f64;
    let ends = (1..).map(|at| f64::from(at) * step);
    let mut points = vec![(0.0, 0.0)];
    points.extend(ends.zip(ramp_curve.open.iter().map(|open| *open as f64)));
    let rate = outcome.ramp_rate().map(|rate| format!("; {}/s", count(rate)));
    let about = format!("persistent connections{}", rate.unwrap_or_default());
    Some(Chart {
        title: "Ramp".to_string(),
        about,
        x: Axis::linear(points.last().map_or(step, |(at, _)| *at), show_nanos),
        y: Axis::linear(top(&points), show_count),
        shaded: None,
        series: vec![area("open", "three", points)],
    })
}

/// The timeline and its horizontal scale.
struct Time<'a> {
    points: &'a [Point],
    step: f64,
    shaded: Option<(f64, f64)>,
}

impl<'a> Time<'a> {
    fn of(outcome: &'a Outcome) -> Time<'a> {
        let seconds = |(from, to): (Duration, Duration)| (from.as_secs_f64(), to.as_secs_f64());
        let timeline = &outcome.timeline;
        Time {
            points: &timeline.points,
            step: timeline.step.as_secs_f64(),
            shaded: outcome.measured.map(seconds),
        }
    }

    fn end(&self) -> f64 {
        (self.points.len() as f64 * self.step).max(self.step)
    }

    /// Pairs each point with the end of its step.
    fn series(&self, of: impl Fn(&Point) -> f64) -> Vec<(f64, f64)> {
        let at = |index: usize| (index + 1) as f64 * self.step;
        self.points.iter().enumerate().map(|(index, point)| (at(index), of(point))).collect()
    }

    fn chart(&self, title: &str, about: &str, y: Axis, series: Vec<Series>) -> Chart {
        Chart {
            title: title.to_string(),
            about: about.to_string(),
            x: Axis::linear(self.end(), show_seconds),
            y,
            shaded: self.shaded,
            series,
        }
    }

    fn open(&self, outcome: &Outcome) -> Chart {
        let mut points = vec![(0.0, 0.0)];
        points.extend(self.series(|point| point.open as f64));
        let about = match outcome.persistent_planned() {
            0 => "open connections".to_string(),
            wanted => format!("open connections; {} persistent requested", count(wanted as f64)),
        };
        let y = Axis::linear(top(&points), show_count);
        self.chart("Open connections", &about, y, vec![area("open", "one", points)])
    }

    fn rates(&self, outcome: &Outcome) -> Option<Chart> {
        let does = |unit| outcome.loads.iter().any(|load| load.unit() == unit);
        let rate = |of: fn(&Point) -> u64| self.series(|point| of(point) as f64 / self.step);
        if does(WorkUnit::Message) || does(WorkUnit::Connection) {
            let messages = rate(|point| point.answered);
            let connections = rate(|point| point.exchanged);
            let highest = top(&messages).max(top(&connections));
            let mut series = Vec::new();
            if does(WorkUnit::Message) {
                series.push(area("messages", "one", messages));
            }
            if does(WorkUnit::Connection) {
                series.push(area("connections", "two", connections));
            }
            let y = Axis::linear(highest, show_count);
            return Some(self.chart("Rate", "answers per second", y, series));
        }
        does(WorkUnit::Gibibyte).then(|| {
            let moved = rate(|point| point.bytes);
            let y = Axis::linear(top(&moved), show_bytes);
            let about = "bytes per second, both directions";
            self.chart("Throughput", about, y, vec![area("bytes", "one", moved)])
        })
    }

    fn latency(&self) -> Option<Chart> {
        let known = |of: fn(&Point) -> Duration| -> Vec<(f64, f64)> {
            let all = self.series(|point| of(point).as_nanos() as f64);
            all.into_iter().filter(|(_, nanos)| *nanos > 0.0).collect()
        };
        let (p50, p99) = (known(|point| point.p50), known(|point| point.p99));
        if p50.len() < 2 {
            return None;
        }
        let y = latency_axis(p50.iter().chain(&p99).map(|(_, nanos)| *nanos));
        let series = vec![line("p99", "two", p99), line("p50", "one", p50)];
        Some(self.chart("Latency over time", "per time step; logarithmic", y, series))
    }

    fn deaths(&self) -> Option<Chart> {
        let about = "idle connections that died, per time step";
        self.counts("Deaths", about, "bad", |point| point.died)
    }

    fn failures(&self) -> Option<Chart> {
        let about = "failed connects, answers and closes, per time step";
        self.counts("Failures", about, "bad", |point| point.failed)
    }

    fn counts(
        &self,
        title: &str,
        about: &str,
        class: &'static str,
        of: fn(&Point) -> u64,
    ) -> Option<Chart> {
        let mut bars: Vec<(f64, f64)> = self
            .series(|point| of(point) as f64)
            .iter()
            .map(|(x, y)| (x - self.step, *y))
            .collect();
        bars.push((self.end(), 0.0));
        let highest = top(&bars);
        bars.iter().any(|(_, count)| *count > 0.0).then(|| {
            let series = vec![Series { name: "count", class, shape: Shape::Bars, points: bars }];
            self.chart(title, about, Axis::linear(highest, show_count), series)
        })
    }

    fn memory(&self) -> Option<Chart> {
        let all = self.series(|point| point.user_bytes as f64);
        let known: Vec<(f64, f64)> = all.into_iter().filter(|(_, bytes)| *bytes > 0.0).collect();
        if known.len() < 2 {
            return None;
        }
        let y = Axis::linear(top(&known), show_bytes);
        let about = "the server's own user memory, without kernel memory";
        Some(self.chart("Server memory", about, y, vec![area("memory", "three", known)]))
    }

    /// Draws the share of one core that the server used between readings.
    fn cpu(&self) -> Option<Chart> {
        let all = self.series(|point| point.cpu.as_secs_f64());
        let mut readings: Vec<(f64, f64)> = Vec::new();
        for (at, spent) in all.into_iter().filter(|(_, spent)| *spent > 0.0) {
            if readings.last().is_none_or(|(_, last)| *last != spent) {
                readings.push((at, spent));
            }
        }
        let share = |pair: &[(f64, f64)]| {
            let [(from, before), (to, after)] = pair else { return (0.0, 0.0) };
            (*to, (after - before) / (to - from))
        };
        let shares: Vec<(f64, f64)> = readings.windows(2).map(share).collect();
        if shares.len() < 2 {
            return None;
        }
        let y = Axis::linear(top(&shares).max(1.0), show_percent);
        let about = "of one core, read once a second";
        Some(self.chart("Server CPU time", about, y, vec![area("share", "three", shares)]))
    }
}
