//! Timing of messages and connects: when messages at a fixed rate are due, how many a connection
//! may send, and how fast connections are attempted.

use std::time::Duration;

use crate::config::StressPlan;
use crate::config::unit::Rate;

use super::load::{Load, Pace};

/// The schedule of messages at a fixed rate, independent of answers.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    since: Duration,
    /// Nanoseconds between two messages.
    period: f64,
    pub sent: u64,
}

/// Maximum messages sent per turn, so that answers are read meanwhile.
const SENT_PER_TURN: u64 = 4096;

impl Pacer {
    pub fn new(since: Duration, per_second: f64) -> Pacer {
        Pacer { since, period: 1e9 / per_second, sent: 0 }
    }

    /// Returns when message `number`, counted from 0, is due.
    pub fn due_at(&self, number: u64) -> Duration {
        self.since + Duration::from_nanos((number as f64 * self.period) as u64)
    }

    /// Returns the number of messages that are due and not sent yet, limited per turn.
    pub fn due_count(&self, now: Duration) -> u64 {
        let elapsed = now.saturating_sub(self.since).as_nanos() as f64;
        let due = (elapsed / self.period) as u64 + 1;
        due.saturating_sub(self.sent).min(SENT_PER_TURN)
    }

    /// Counts the next message. Returns its number, and when it is due.
    pub fn take(&mut self) -> (u64, Duration) {
        self.sent += 1;
        (self.sent - 1, self.due_at(self.sent - 1))
    }

    /// Returns the interval between two messages of one of `connections` connections.
    pub fn interval(&self, connections: usize) -> Duration {
        Duration::from_nanos((connections as f64 * self.period) as u64)
    }
}

/// Permits granted to a connection.
#[derive(Debug, Default)]
pub struct SendPermits {
    pub granted: u64,
    /// Due time of the last.
    last_due: Duration,
}

impl SendPermits {
    /// Creates permits with `granted` of them granted at once.
    pub fn new(granted: u64) -> SendPermits {
        SendPermits { granted, ..SendPermits::default() }
    }

    /// Grants one more permit.
    pub fn grant(&mut self, due: Duration) {
        self.last_due = due;
        self.granted += 1;
    }

    /// Returns how long a message was overdue when it was sent. Without permits: zero.
    pub fn overdue(&self, load: &Load, number: u64, sent: Duration) -> Duration {
        match load.pace {
            Pace::Answers(_) => Duration::ZERO,
            Pace::Loop => sent.saturating_sub(self.due_at(load, number)),
        }
    }

    /// Returns when a message was due.
    fn due_at(&self, load: &Load, number: u64) -> Duration {
        let later = (self.granted - 1 - number).min(u64::from(u32::MAX)) as u32;
        self.last_due.saturating_sub(load.interval.get().saturating_mul(later))
    }
}

/// Limits the rate at which connections are attempted.
#[derive(Clone, Copy, Debug)]
pub struct ConnectPace {
    /// Maximum connects per second. `None`: unlimited.
    rate: Option<f64>,
    /// The rate after the ramp.
    rate_after_ramp: Option<f64>,
    /// Connects attempted since the rate was started, and when that was.
    attempted: u64,
    since: Duration,
}

/// Maximum connections attempted per turn, so that open ones are served meanwhile.
const CONNECTS_PER_TURN: usize = 64;

impl ConnectPace {
    /// Starts the ramp with the rate of the plan, or the default rate.
    pub fn new(planned: Option<Rate>) -> ConnectPace {
        let ramp = planned.unwrap_or(StressPlan::CONNECT_RATE);
        ConnectPace {
            rate: Some(ramp.per_second()),
            rate_after_ramp: planned.map(Rate::per_second),
            attempted: 0,
            since: Duration::ZERO,
        }
    }

    /// Starts the rate of the loads after the ramp: without a planned rate it is unlimited.
    pub fn end_ramp(&mut self, now: Duration) {
        *self = ConnectPace { rate: self.rate_after_ramp, attempted: 0, since: now, ..*self };
    }

    /// Counts an attempted connect.
    pub fn count(&mut self) {
        self.attempted += 1;
    }

    /// Returns the number of connections that may be attempted now.
    pub fn allowance(&self, now: Duration) -> usize {
        let Some(rate) = self.rate else { return CONNECTS_PER_TURN };
        let elapsed = now.saturating_sub(self.since);
        let due = 1 + (rate * elapsed.as_secs_f64()) as u64;
        (due.saturating_sub(self.attempted) as usize).min(CONNECTS_PER_TURN)
    }

    /// Returns when the next connect is due. `None`: at once.
    pub fn next_due(&self) -> Option<Duration> {
        let after = |rate: f64| Duration::from_secs_f64(self.attempted as f64 / rate);
        self.rate.map(|rate| self.since + after(rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overdue_messages_are_counted_and_the_schedule_stays() {
        let millis = Duration::from_millis;
        let mut pacer = Pacer::new(millis(100), 1000.0);
        assert_eq!((pacer.due_at(0), pacer.due_at(5)), (millis(100), millis(105)));
        assert_eq!(pacer.due_count(millis(100)), 1);
        pacer.sent = 1;
        assert_eq!(pacer.due_count(Duration::from_micros(100_999)), 0);
        assert_eq!(pacer.due_count(millis(110)), 10);
        assert_eq!(pacer.due_count(Duration::from_secs(60)), SENT_PER_TURN);
        assert_eq!(pacer.interval(64), millis(64));
    }

    #[test]
    fn a_pacer_does_not_drift_over_a_day() {
        let pacer = Pacer::new(Duration::ZERO, 50_000.0);
        let day = 86_400 * 50_000;
        assert!(pacer.due_at(day).abs_diff(Duration::from_secs(86_400)) < Duration::from_millis(1));
    }

    #[test]
    fn connects_are_limited_by_rate_and_turn() {
        let millis = Duration::from_millis;
        let rate = Rate { count: 100, per: Duration::from_secs(1) };
        let mut pace = ConnectPace::new(Some(rate));
        assert_eq!((pace.allowance(millis(0)), pace.allowance(millis(35))), (1, 4));
        assert_eq!(pace.allowance(Duration::from_secs(60)), CONNECTS_PER_TURN);
        (0..3).for_each(|_| pace.count());
        assert_eq!((pace.allowance(millis(29)), pace.allowance(millis(30))), (0, 1));
        assert_eq!(pace.next_due(), Some(millis(30)));
        pace.end_ramp(millis(500));
        assert_eq!((pace.allowance(millis(500)), pace.next_due()), (1, Some(millis(500))));
    }

    #[test]
    fn without_a_rate_only_the_ramp_is_limited() {
        let mut pace = ConnectPace::new(None);
        assert_eq!(pace.allowance(Duration::ZERO), 1);
        pace.end_ramp(Duration::ZERO);
        assert_eq!((pace.allowance(Duration::ZERO), pace.next_due()), (CONNECTS_PER_TURN, None));
    }
}
