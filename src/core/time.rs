//! Time in the core: numbers passed in as parameters. The core reads no clock.

use std::time::Duration;

/// Microseconds since the loop was created. The shell reads the clock once or twice per turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

/// Tenths of a second since the loop was created: the unit of deadlines. Wraps after 13 years.
pub type Tick = u32;

/// Length of a tick in microseconds.
const TICK_MICROS: u64 = 100_000;

impl Moment {
    /// Returns the tick that contains this moment.
    pub fn tick(self) -> Tick {
        (self.0 / TICK_MICROS) as Tick
    }

    /// Returns the moment at which a tick begins.
    pub fn at_tick(tick: Tick) -> Moment {
        Moment(tick as u64 * TICK_MICROS)
    }

    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Returns the moment `wait` later, saturating.
    pub fn after(self, wait: Duration) -> Moment {
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        Moment(self.0.saturating_add(micros))
    }

    /// Returns the time until `tick` begins, zero if it has begun.
    pub fn until(self, tick: Tick) -> Duration {
        Duration::from_micros((tick as u64 * TICK_MICROS).saturating_sub(self.0))
    }
}

/// Converts a timeout to ticks, rounded up and plus one: it may fire a tick or two late, never
/// early.
pub fn ticks(timeout: Duration) -> Tick {
    let ticks = timeout.as_micros().div_ceil(TICK_MICROS as u128) + 1;
    ticks.min(Tick::MAX as u128 / 2) as Tick
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_never_early() {
        for millis in [1, 99, 100, 101, 5_000] {
            let timeout = Duration::from_millis(millis);
            for start in [0, 1, 99_999, 100_000] {
                let armed = Moment(start);
                let due = armed.tick() + ticks(timeout);
                assert!(armed.until(due) >= timeout, "{millis} ms from {start}");
                assert!(armed.until(due) <= timeout + Duration::from_millis(200));
            }
        }
    }

    #[test]
    fn a_moment_that_has_come_is_no_longer_waited_for() {
        assert_eq!(Moment(1_000_000).until(10), Duration::ZERO);
        assert_eq!(Moment(950_000).until(10), Duration::from_millis(50));
    }

    #[test]
    fn moments_add_and_subtract_and_stop_at_their_ends() {
        let (early, late) = (Moment(250_000), Moment(1_250_000));
        assert_eq!((early.tick(), late.tick(), Moment::at_tick(12)), (2, 12, Moment(1_200_000)));
        assert_eq!(late.since(early), Duration::from_secs(1));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early.after(Duration::from_secs(1)), late);
        assert_eq!(early.after(Duration::MAX), Moment(u64::MAX));
    }

    #[test]
    fn the_longest_timeout_can_still_be_added_to_a_tick() {
        assert_eq!(ticks(Duration::MAX), Tick::MAX / 2);
        assert_eq!((ticks(Duration::ZERO), ticks(Duration::from_secs(1))), (1, 11));
    }
}
