//! The progress of a run, or of several processes, at one moment.

use std::time::Duration;

/// The progress of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    pub phase: String,
    /// Completed part of the phase, from 0 to 1.
    pub share: f64,
    pub open: u64,
    pub wanted: u64,
    /// Answers, exchanges and bytes per second, in the last complete step.
    pub answered: f64,
    pub exchanged: f64,
    pub bytes: f64,
    pub errors: u64,
    pub p50: Duration,
    pub p99: Duration,
}

impl Snapshot {
    /// Adds the progress of another process.
    pub fn add(&mut self, other: &Snapshot) {
        self.open += other.open;
        self.wanted += other.wanted;
        self.answered += other.answered;
        self.exchanged += other.exchanged;
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.p50 = self.p50.max(other.p50);
        self.p99 = self.p99.max(other.p99);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_of_processes_are_added() {
        let mut sum = Snapshot { open: 1, p99: Duration::from_secs(1), ..Snapshot::default() };
        sum.add(&Snapshot { open: 2, errors: 3, ..Snapshot::default() });
        assert_eq!((sum.open, sum.errors, sum.p99), (3, 3, Duration::from_secs(1)));
    }
}
