//! A clock that counts messages out, whatever the answers do.

use std::time::Duration;

/// Messages at a rate of their own, whatever the answers do.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    since: Duration,
    /// Nanoseconds from one message to the next.
    period: f64,
    pub sent: u64,
}

/// So many messages are counted out in one turn, so that answers are heard meanwhile.
const SENT_PER_TURN: u64 = 4096;

impl Pacer {
    pub fn new(since: Duration, per_second: f64) -> Pacer {
        Pacer { since, period: 1e9 / per_second, sent: 0 }
    }

    /// When this message is to be sent, counted from 0.
    pub fn due(&self, number: u64) -> Duration {
        self.since + Duration::from_nanos((number as f64 * self.period) as u64)
    }

    /// How many messages are due by now that were not sent yet.
    pub fn owed(&self, now: Duration) -> u64 {
        let elapsed = now.saturating_sub(self.since).as_nanos() as f64;
        let due = (elapsed / self.period) as u64 + 1;
        due.saturating_sub(self.sent).min(SENT_PER_TURN)
    }

    /// From one message of a connection to its next one, if there are so many connections.
    pub fn step(&self, connections: usize) -> Duration {
        Duration::from_nanos((connections as f64 * self.period) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metronome_owes_what_is_due_and_keeps_its_time() {
        let millis = Duration::from_millis;
        let mut clock = Pacer::new(millis(100), 1000.0);
        assert_eq!((clock.due(0), clock.due(5)), (millis(100), millis(105)));
        assert_eq!(clock.owed(millis(100)), 1);
        clock.sent = 1;
        assert_eq!(clock.owed(Duration::from_micros(100_999)), 0);
        assert_eq!(clock.owed(millis(110)), 10);
        assert_eq!(clock.owed(Duration::from_secs(60)), SENT_PER_TURN);
        assert_eq!(clock.step(64), millis(64));
    }

    #[test]
    fn a_metronome_does_not_drift_over_a_day() {
        let clock = Pacer::new(Duration::ZERO, 50_000.0);
        let day = 86_400 * 50_000;
        assert!(clock.due(day).abs_diff(Duration::from_secs(86_400)) < Duration::from_millis(1));
    }
}
