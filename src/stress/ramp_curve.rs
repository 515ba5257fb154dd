//! How the connections that stay came to be there: their number at every short while of the ramp.

use std::time::Duration;

/// The number at the end of each step, from the beginning of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RampCurve {
    pub step: Duration,
    pub open: Vec<u64>,
}

/// A ramp may be over in a moment.
const STEP: Duration = Duration::from_millis(1);
/// More points than this no chart can show.
const POINTS_MAX: usize = 400;

impl RampCurve {
    pub fn new() -> RampCurve {
        RampCurve { step: STEP, open: Vec::new() }
    }

    /// So many connections are open now.
    pub fn note(&mut self, now: Duration, open: u64) {
        // A loop that slept for long had as many as before.
        let before = self.open.last().copied().unwrap_or(0);
        while self.due(1) <= now {
            self.push(before);
        }
        if self.due(0) <= now {
            self.push(open);
        }
    }

    /// The ramp is over.
    pub fn end(&mut self, now: Duration, open: u64) {
        self.note(now, open);
        // What came in the last step, or in a ramp shorter than one.
        self.push(open);
    }

    /// When so many more steps have been made.
    fn due(&self, more: u32) -> Duration {
        self.step * (self.open.len() as u32 + 1 + more)
    }

    fn push(&mut self, open: u64) {
        self.open.push(open);
        if self.open.len() >= POINTS_MAX {
            self.halve();
        }
    }

    fn halve(&mut self) {
        self.step *= 2;
        self.open = self.open.chunks(2).filter_map(|pair| pair.last().copied()).collect();
    }

    /// Adds those of another process.
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
    fn a_step_in_which_nothing_was_noted_is_as_the_one_before() {
        let mut ramp_curve = RampCurve::new();
        for (at, open) in [(0, 3), (1, 5), (2, 8), (5, 9)] {
            ramp_curve.note(millis(at), open);
        }
        assert_eq!(ramp_curve.open, [5, 8, 8, 8, 9]);
    }

    #[test]
    fn a_long_ramp_has_no_more_points() {
        let mut ramp_curve = RampCurve::new();
        (1..=5000).for_each(|at| ramp_curve.note(millis(at), at));
        assert!(ramp_curve.open.len() < POINTS_MAX && ramp_curve.step == millis(16));
        assert!(ramp_curve.open.iter().zip(1..).all(|(open, step)| open.abs_diff(16 * step) <= 16));
    }

    #[test]
    fn two_processes_make_one_ramp() {
        let (mut one, mut two) = (RampCurve::new(), RampCurve::new());
        (1..=500).for_each(|at| one.note(millis(at), at));
        (1..=4).for_each(|at| two.note(millis(at), 10 * at));
        two.merge(&one);
        assert_eq!((two.step, two.open.len()), (millis(2), 250));
        assert_eq!((two.open[1], two.open[249]), (44, 540));
    }
}
