//! Permits to send for connections of a load with a rate.

use std::time::Duration;

use super::load::{Load, Pace};

/// The permits granted to a connection so far.
#[derive(Debug, Default)]
pub struct SendPermits {
    pub given: u64,
    /// When the first was due.
    first_due: Duration,
}

impl SendPermits {
    /// Grants `given` permits from the start.
    pub fn of(given: u64) -> SendPermits {
        SendPermits { given, ..SendPermits::default() }
    }

    /// Grants one more permit.
    pub fn next(&mut self, due: Duration) {
        if self.given == 0 {
            self.first_due = due;
        }
        self.given += 1;
    }

    /// Returns how long a message was overdue when it was sent. Without a rate: zero.
    pub fn waited(&self, load: &Load, number: u64, sent: Duration) -> Duration {
        match load.pace {
            Pace::Answers(_) => Duration::ZERO,
            Pace::Loop => sent.saturating_sub(self.due(load, number)),
        }
    }

    /// Returns when a message was due.
    fn due(&self, load: &Load, number: u64) -> Duration {
        self.first_due + load.step.get().saturating_mul(number.min(u64::from(u32::MAX)) as u32)
    }
}
