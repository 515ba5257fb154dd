//! Permits to send for connections of a load with a rate.

use std::time::Duration;

use super::load::{Load, Pace};

/// Permits granted to a connection.
#[derive(Debug, Default)]
pub struct SendPermits {
    pub granted: u64,
    /// Due time of the first.
    first_due: Duration,
}

impl SendPermits {
    /// Creates permits with `granted` of them granted at once.
    pub fn new(granted: u64) -> SendPermits {
        SendPermits { granted, ..SendPermits::default() }
    }

    /// Grants one more permit.
    pub fn grant(&mut self, due: Duration) {
        if self.granted == 0 {
            self.first_due = due;
        }
        self.granted += 1;
    }

    /// Returns how long a message was overdue when it was sent. Without a rate: zero.
    pub fn overdue(&self, load: &Load, number: u64, sent: Duration) -> Duration {
        match load.pace {
            Pace::Answers(_) => Duration::ZERO,
            Pace::Loop => sent.saturating_sub(self.due_at(load, number)),
        }
    }

    /// Returns when a message was due.
    fn due_at(&self, load: &Load, number: u64) -> Duration {
        self.first_due + load.interval.get().saturating_mul(number.min(u64::from(u32::MAX)) as u32)
    }
}
