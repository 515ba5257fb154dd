//! Leave to send, where the clock sets the pace: so many messages of a connection, one after the
//! other, each at its time.

use std::time::Duration;

use super::load::{Load, Pace};

/// Messages that the loop has counted out to a connection so far.
#[derive(Debug, Default)]
pub struct SendPermits {
    pub given: u64,
    /// When the first of them was due.
    first_due: Duration,
}

impl SendPermits {
    /// For so many from the start.
    pub fn of(given: u64) -> SendPermits {
        SendPermits { given, ..SendPermits::default() }
    }

    /// For one message more.
    pub fn next(&mut self, due: Duration) {
        if self.given == 0 {
            self.first_due = due;
        }
        self.given += 1;
    }

    /// How long this message had leave before it was sent. Where answers set the pace, none waits.
    pub fn waited(&self, load: &Load, number: u64, sent: Duration) -> Duration {
        match load.pace {
            Pace::Answers(_) => Duration::ZERO,
            Pace::Loop => sent.saturating_sub(self.due(load, number)),
        }
    }

    /// When this message should have been sent.
    fn due(&self, load: &Load, number: u64) -> Duration {
        self.first_due + load.step.get().saturating_mul(number.min(u64::from(u32::MAX)) as u32)
    }
}
