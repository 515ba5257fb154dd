//! The timeline of a run: one point per step. When there are too many points, each pair is merged
//! and the step doubled, so that a run of any length has a few hundred.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cost::Cost;
use super::histogram::Histogram;

/// The points of a run, in order, for steps of equal length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    pub step: Duration,
    /// Completed steps.
    pub points: Vec<Point>,
    #[serde(skip)]
    recent: Histogram,
    #[serde(skip)]
    current: Point,
}

/// The events of one step. `open` and the costs are values at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub answered: u64,
    pub bytes: u64,
    pub opened: u64,
    pub exchanged: u64,
    pub failed: u64,
    pub died: u64,
    pub open: u64,
    pub p50: Duration,
    pub p99: Duration,
    /// Memory and total CPU time of the server. Zero: not read.
    pub user_bytes: u64,
    pub cpu: Duration,
}

/// Initial length of a step: short enough to show a pause of the server.
const STEP: Duration = Duration::from_millis(100);
/// Maximum number of points: a chart cannot show more.
const POINTS_MAX: usize = 600;

impl Timeline {
    pub fn new() -> Timeline {
        let (recent, current) = (Histogram::new(), Point::default());
        Timeline { step: STEP, points: Vec::new(), recent, current }
    }

    /// Returns the current step.
    pub fn current(&mut self) -> &mut Point {
        &mut self.current
    }

    /// Counts an answer.
    pub fn answered(&mut self, took: Duration) {
        self.current.answered += 1;
        self.recent.record(took);
    }

    /// Returns when the current step ends.
    pub fn due(&self) -> Duration {
        self.step * (self.points.len() as u32 + 1)
    }

    /// Ends the current step if it is due. Returns whether it was.
    pub fn advance(&mut self, now: Duration, open: u64, cost: Option<Cost>) -> bool {
        if now < self.due() {
            return false;
        }
        while now >= self.due() {
            self.end_step(open, cost);
        }
        true
    }

    /// Ends the last step, which may be shorter, at the end of the run.
    pub fn finish(&mut self, open: u64) {
        if self.current != Point::default() || !self.recent.is_empty() {
            let last = self.points.last().copied().unwrap_or_default();
            self.end_step(open, None);
            if let Some(point) = self.points.last_mut() {
                (point.user_bytes, point.cpu) = (last.user_bytes, last.cpu);
            }
        }
    }

    fn end_step(&mut self, open: u64, cost: Option<Cost>) {
        let mut point = std::mem::take(&mut self.current);
        point.open = open;
        if !self.recent.is_empty() {
            point.p50 = self.recent.at(0.5);
            point.p99 = self.recent.at(0.99);
            self.recent.clear();
        }
        if let Some(cost) = cost {
            point.user_bytes = cost.user_bytes;
            point.cpu = cost.cpu_fine.max(cost.cpu_ticked);
        }
        self.points.push(point);
        if self.points.len() >= POINTS_MAX {
            self.halve();
        }
    }

    /// Merges points until there are at most `points`.
    pub fn condensed(mut self, points: usize) -> Timeline {
        while self.points.len() > points.max(1) {
            self.halve();
        }
        self
    }

    /// Merges each pair of points into one.
    fn halve(&mut self) {
        self.step *= 2;
        self.points = self.points.chunks(2).map(merged).collect();
    }

    /// Adds the timeline of another process.
    pub fn merge(&mut self, other: &Timeline) {
        let mut other = other.clone();
        while self.step < other.step {
            self.halve();
        }
        while other.step < self.step {
            other.halve();
        }
        let longer = self.points.len().max(other.points.len());
        self.points.resize(longer, Point::default());
        for (point, more) in self.points.iter_mut().zip(&other.points) {
            point.add(more);
            point.open += more.open;
            point.user_bytes = point.user_bytes.max(more.user_bytes);
            point.cpu = point.cpu.max(more.cpu);
        }
    }
}

impl Default for Timeline {
    fn default() -> Timeline {
        Timeline::new()
    }
}

impl Point {
    /// Adds the counts, and takes the higher latencies.
    fn add(&mut self, more: &Point) {
        self.answered += more.answered;
        self.bytes += more.bytes;
        self.opened += more.opened;
        self.exchanged += more.exchanged;
        self.failed += more.failed;
        self.died += more.died;
        self.p50 = self.p50.max(more.p50);
        self.p99 = self.p99.max(more.p99);
    }
}

fn merged(points: &[Point]) -> Point {
    let mut sum = Point::default();
    for point in points {
        sum.add(point);
        sum.open = point.open;
        sum.user_bytes = sum.user_bytes.max(point.user_bytes);
        sum.cpu = sum.cpu.max(point.cpu);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    #[test]
    fn events_are_counted_in_their_step() {
        let mut timeline = Timeline::new();
        timeline.current().failed += 1;
        timeline.answered(millis(3));
        assert!(!timeline.advance(millis(99), 5, None));
        assert!(timeline.advance(millis(301), 5, None));
        assert_eq!(timeline.points.len(), 3);
        let first = timeline.points[0];
        assert_eq!((first.failed, first.answered, first.open), (1, 1, 5));
        assert!(first.p50 >= millis(3) && timeline.points[1].p50 == Duration::ZERO);
        assert_eq!(timeline.due(), millis(400));
    }

    #[test]
    fn the_last_step_is_kept_though_it_is_short() {
        let mut timeline = Timeline::new();
        timeline.advance(millis(100), 5, Some(Cost { user_bytes: 7, ..Cost::default() }));
        timeline.finish(5);
        assert_eq!(timeline.points.len(), 1);
        timeline.current().died += 3;
        timeline.finish(2);
        let last = timeline.points[1];
        assert_eq!((timeline.points.len(), last.died, last.open, last.user_bytes), (2, 3, 2, 7));
    }

    #[test]
    fn a_long_run_has_no_more_points_and_loses_no_count() {
        let mut timeline = Timeline::new();
        for step in 1..=5000u64 {
            timeline.current().answered += 1;
            timeline.advance(millis(100 * step), step, None);
        }
        assert!(timeline.points.len() < POINTS_MAX && timeline.step == millis(1600));
        let total: u64 = timeline.points.iter().map(|point| point.answered).sum();
        assert_eq!(total + timeline.current().answered, 5000);
        let condensed = timeline.condensed(16);
        let of_condensed: u64 = condensed.points.iter().map(|point| point.answered).sum();
        assert!(condensed.points.len() <= 16 && of_condensed == total, "{condensed:?}");
    }

    #[test]
    fn timelines_of_two_processes_are_merged() {
        let mut lines = [Timeline::new(), Timeline::new()];
        for (line, steps) in lines.iter_mut().zip([700u64, 10]) {
            for step in 1..=steps {
                line.current().answered += 1;
                line.advance(millis(100 * step), 1, None);
            }
        }
        let [long, short] = &mut lines;
        short.merge(long);
        let total: u64 = short.points.iter().map(|point| point.answered).sum();
        assert_eq!((total, short.step, short.points.len()), (710, long.step, long.points.len()));
        assert_eq!(short.points[0].open, 2);
    }
}
