//! The number of persistent connections over the time of the ramp.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The number of open connections at the end of each step, from the start of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RampCurve {
    pub step: Duration,
    pub open: Vec<u64>,
}

/// Initial length of a step: a ramp may take only milliseconds.
const STEP: Duration = Duration::from_millis(1);
/// Maximum number of points: a chart cannot show more.
const POINTS_MAX: usize = 400;

impl RampCurve {
    pub fn new() -> RampCurve {
        RampCurve { step: STEP, open: Vec::new() }
    }

    /// Records the number of open connections.
    pub fn record(&mut self, now: Duration, open: u64) {
        // In steps that passed while the loop slept, the number did not change.
        let before = self.open.last().copied().unwrap_or(0);
        while self.due(1) <= now {
            self.push(before);
        }
        if self.due(0) <= now {
            self.push(open);
        }
    }

    /// Records the number at the end of the ramp.
    pub fn end(&mut self, now: Duration, open: u64) {
        self.record(now, open);
        // The last step is incomplete, and may be the only one.
        self.push(open);
    }

    /// Returns when the current step ends, or the step `more` steps later.
    fn due(&self, more: u32) -> Duration {
        self.step * (self.open.len() as u32 + 1 + more)
    }

    fn push(&mut self, open: u64) {
        self.open.push(open);
        if self.open.len() >= POINTS_MAX {
            self.halve();
        }
    }

    /// Merges each pair of steps into one.
    fn halve(&mut self) {
        self.step *= 2;
        self.open = self.open.chunks(2).filter_map(|pair| pair.last().copied()).collect();
    }

    /// Adds the connections of another process.
    pub fn merge(&mut self, other: &RampCurve) {
        let mut other = other.clone();
        while self.step < other.step {
            self.halve();
        }
        while other.step < self.step {
            other.halve();
        }
        let longer = self.open.len().max(other.open.len());
        for open in [&mut self.open, &mut other.open] {
            open.resize(longer, open.last().copied().unwrap_or(0));
        }
        for (open, more) in self.open.iter_mut().zip(other.open) {
            *open += more;
        }
    }
}

impl Default for RampCurve {
    fn default() -> RampCurve {
        RampCurve::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    #[test]
    fn a_step_without_a_record_repeats_the_one_before() {
        let mut ramp_curve = RampCurve::new();
        for (at, open) in [(0, 3), (1, 5), (2, 8), (5, 9)] {
            ramp_curve.record(millis(at), open);
        }
        assert_eq!(ramp_curve.open, [5, 8, 8, 8, 9]);
    }

    #[test]
    fn a_long_ramp_has_no_more_points() {
        let mut ramp_curve = RampCurve::new();
        (1..=5000).for_each(|at| ramp_curve.record(millis(at), at));
        assert!(ramp_curve.open.len() < POINTS_MAX && ramp_curve.step == millis(16));
        assert!(ramp_curve.open.iter().zip(1..).all(|(open, step)| open.abs_diff(16 * step) <= 16));
    }

    #[test]
    fn ramps_of_two_processes_are_added() {
        let (mut one, mut two) = (RampCurve::new(), RampCurve::new());
        (1..=500).for_each(|at| one.record(millis(at), at));
        (1..=4).for_each(|at| two.record(millis(at), 10 * at));
        two.merge(&one);
        assert_eq!((two.step, two.open.len()), (millis(2), 250));
        assert_eq!((two.open[1], two.open[249]), (44, 540));
    }
}
