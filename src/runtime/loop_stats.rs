//! Counters of the event loop itself: events, and where the time of the turns goes. Reads no clock.

use std::time::Duration;

use crate::core::counters::{DurationHistogram, TURN};
use crate::core::{Moment, Tick, TurnDetail};

/// What the loop has counted since it was created. Everything but `events` is counted only while
/// the loop is timed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoopStats {
    /// Events that polls returned.
    pub events: u64,
    /// Turns whose poll slept. The others found events at once, or had work left.
    pub slept: u64,
    /// Time in polls, sleeps included.
    pub polled: Duration,
    /// Duration of each turn, from the end of its poll to the next one.
    pub turn_time: DurationHistogram<TURN>,
    /// The longest turn of the present period, and of the one before it.
    longest: [Option<LongestTurn>; 2],
    /// The tick at which the present period began.
    period: Tick,
}

/// One turn of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongestTurn {
    pub number: u64,
    pub took: Duration,
    /// When it began.
    pub at: Moment,
    /// What its time was spent on. None: that was not measured.
    pub detail: Option<TurnDetail>,
}

/// Shortest poll that counts as a sleep. A poll that finds events returns within a few
/// microseconds, and waking up a thread takes longer.
pub(super) const SLEEP_MIN: Duration = Duration::from_micros(10);

/// Length of the periods of `longest`, in ticks: one minute.
const PERIOD: Tick = 600;

impl LoopStats {
    /// Counts the turn `number` that began at `woke` and ended at `before`, and the poll from there
    /// to `now`.
    pub fn turn(
        &mut self,
        number: u64,
        woke: Moment,
        before: Moment,
        now: Moment,
        detail: &Option<TurnDetail>,
    ) {
        let (took, polled) = (before.since(woke), now.since(before));
        self.polled += polled;
        self.slept += u64::from(polled >= SLEEP_MIN);
        // Before the first turn, the loop was being set up.
        if number == 0 {
            return;
        }
        self.turn_time.record(took);
        if woke.tick().saturating_sub(self.period) >= PERIOD {
            let is_next = woke.tick() - self.period < 2 * PERIOD;
            self.longest = [None, self.longest[0].filter(|_| is_next)];
            self.period = woke.tick();
        }
        if self.longest[0].is_none_or(|longest| longest.took < took) {
            self.longest[0] = Some(LongestTurn { number, took, at: woke, detail: *detail });
        }
    }

    /// Returns the longest turn of the last one to two minutes in which there were turns.
    pub fn longest(&self) -> Option<LongestTurn> {
        self.longest.into_iter().flatten().max_by_key(|turn| turn.took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(stats: &mut LoopStats, number: u64, woke: u64, took: u64, polled: u64) {
        let (woke, before) = (Moment(woke), Moment(woke + took));
        stats.turn(number, woke, before, Moment(before.0 + polled), &None);
    }

    #[test]
    fn time_is_split_into_turns_and_polls() {
        let mut stats = LoopStats::default();
        at(&mut stats, 0, 0, 5_000_000, 9);
        at(&mut stats, 1, 5_000_009, 30, 10);
        at(&mut stats, 2, 5_000_049, 70, 0);
        assert_eq!((stats.slept, stats.polled), (1, Duration::from_micros(19)));
        let turns = &stats.turn_time;
        assert_eq!((turns.count(), turns.sum()), (2, Duration::from_micros(100)));
    }

    #[test]
    fn the_longest_turn_is_forgotten_after_two_periods() {
        let minute = 60_000_000;
        let mut stats = LoopStats::default();
        at(&mut stats, 1, 10, 500, 0);
        at(&mut stats, 2, minute / 2, 400, 0);
        let took = |stats: &LoopStats| stats.longest().map(|turn| (turn.number, turn.at.0));
        assert_eq!(took(&stats), Some((1, 10)));
        at(&mut stats, 3, minute + 100_000, 300, 0);
        assert_eq!(took(&stats), Some((1, 10)), "in the period before");
        at(&mut stats, 4, 2 * minute + 200_000, 200, 0);
        assert_eq!(took(&stats), Some((3, minute + 100_000)));
        at(&mut stats, 5, 10 * minute, 100, 0);
        assert_eq!(took(&stats), Some((5, 10 * minute)), "both periods are long past");
    }
}
