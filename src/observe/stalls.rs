//! Adds up how long each end has stalled, from `Stalled` and `Resumed` events, for the line that
//! logs the close of the connection.

use std::collections::HashMap;
use std::time::Duration;

use crate::core::{Event, Key, Moment};

/// The stall times of open connections, by end.
#[derive(Default)]
pub struct StallTimes(HashMap<Key, StallTime>);

#[derive(Default)]
struct StallTime {
    /// Duration of finished stalls.
    total: Duration,
    /// Start of the current stall.
    since: Option<Moment>,
}

impl StallTimes {
    /// Records a `Stalled` or `Resumed` event.
    pub fn on(&mut self, key: Key, event: &Event<'_>) {
        match *event {
            Event::Stalled { since, .. } => self.0.entry(key).or_default().since = Some(since),
            Event::Resumed { stalled } => {
                let time = self.0.entry(key).or_default();
                time.total += stalled;
                time.since = None;
            }
            _ => {}
        }
    }

    /// Removes a closed connection and returns how long each of its ends has stalled.
    pub fn take(&mut self, key: Key, now: Moment) -> [Duration; 2] {
        if self.0.is_empty() {
            return [Duration::ZERO; 2];
        }
        [0, 1].map(|end| {
            let time = self.0.remove(&key.at(end)).unwrap_or_default();
            time.total + time.since.map_or(Duration::ZERO, |since| now.since(since))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalls_that_are_over_and_the_one_that_lasts_are_added_up_for_each_end() {
        let mut times = StallTimes::default();
        let key = Key::new(7, 3);
        let at = |seconds: u64| Moment(seconds * 1_000_000);
        let stalled = |since, now| Event::Stalled { unsent: 1, since: at(since), now: at(now) };
        times.on(key, &stalled(1, 2));
        times.on(key, &Event::Resumed { stalled: Duration::from_secs(4) });
        times.on(key, &stalled(10, 11));
        times.on(key.at(1), &stalled(15, 16));
        assert_eq!(times.take(Key::new(8, 4), at(20)), [Duration::ZERO; 2]);
        let expected = [Duration::from_secs(14), Duration::from_secs(5)];
        assert_eq!(times.take(key.at(1), at(20)), expected);
        assert!(times.0.is_empty());
    }
}
