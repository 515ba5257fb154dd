//! Computes when messages at a fixed rate are due.

use std::time::Duration;

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

    /// Returns the interval between two messages of one of `connections` connections.
    pub fn interval(&self, connections: usize) -> Duration {
        Duration::from_nanos((connections as f64 * self.period) as u64)
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
}
