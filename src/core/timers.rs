//! The heap of deadlines: at most one valid entry per connection, never moved on activity.
//!
//! A connection's next deadline follows from its `Timeouts` and its last activity. A due entry is
//! checked against them and armed again if it is too early. So a busy connection costs one pop and
//! one push per timeout period, and nothing is ever cancelled: an entry whose connection is closed,
//! or which was superseded by an earlier one, is ignored when it is popped.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::key::Key;
use super::time::{Moment, Tick};

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    Connect,
    Idle,
    HalfClose,
    Lifetime,
    /// A service has sent everything and waits for the peer's end of file.
    Linger,
    /// The engine drains, and nothing has been in progress for the drain's idle time.
    Quiet,
}

impl Deadline {
    /// Returns its name in logs and for operators.
    pub fn name(self) -> &'static str {
        match self {
            Deadline::Connect => "connect",
            Deadline::Idle => "idle",
            Deadline::HalfClose => "half-close",
            Deadline::Lifetime => "lifetime",
            Deadline::Linger => "linger",
            Deadline::Quiet => "quiet",
        }
    }
}

/// The timeouts of a route, in ticks. None means off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Option<Tick>,
    pub idle: Option<Tick>,
    pub half_close: Option<Tick>,
    pub lifetime: Option<Tick>,
}

impl Timeouts {
    /// Whether no timeout applies to established connections.
    pub fn all_off(&self) -> bool {
        self.idle.is_none() && self.half_close.is_none() && self.lifetime.is_none()
    }
}

/// The heap of deadlines. An entry has twelve bytes.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Tick, Key)>>,
}

/// Number of stale entries from which the heap is swept. Below it, entries of closed connections
/// stay until they are due.
const SWEEP_FROM: usize = 4096;

impl Timers {
    /// Creates a heap with space for `capacity` deadlines. Growing step by step would fragment the
    /// memory; untouched pages cost nothing.
    pub fn with_capacity(capacity: usize) -> Timers {
        Timers { heap: BinaryHeap::with_capacity(capacity) }
    }

    /// Reserves space for `capacity` deadlines in total.
    pub fn reserve(&mut self, capacity: usize) {
        self.heap.reserve(capacity.saturating_sub(self.heap.len()));
    }

    pub fn arm(&mut self, due: Tick, key: Key) {
        self.heap.push(Reverse((due, key)));
    }

    /// Whether an entry is due, or so many are stale that the heap has to be swept.
    pub fn needs_work(&self, now: Moment, live: usize) -> bool {
        self.next().is_some_and(|due| due <= now.tick() || self.is_mostly_stale(live))
    }

    /// Pops the next entry that is due.
    pub fn pop(&mut self, now: Tick) -> Option<(Tick, Key)> {
        let Reverse((due, _)) = self.heap.peek()?;
        if *due > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// Returns the due time of the next entry.
    pub fn next(&self) -> Option<Tick> {
        self.heap.peek().map(|Reverse((due, _))| *due)
    }

    pub fn len(&self) -> usize {
        self.heap.len()
    }

    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    fn is_mostly_stale(&self, live: usize) -> bool {
        self.heap.len() > 2 * live + SWEEP_FROM
    }

    /// Removes the entries that are no longer valid, once they outnumber the `live` connections.
    pub fn sweep(&mut self, live: usize, is_valid: impl Fn(Tick, Key) -> bool) {
        if self.is_mostly_stale(live) {
            self.heap.retain(|Reverse((due, key))| is_valid(*due, *key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_due_in_order_and_not_before_their_time() {
        let mut timers = Timers::default();
        for (due, id) in [(30, 3), (10, 1), (20, 2)] {
            timers.arm(due, Key::new(id, 0));
        }
        assert_eq!(timers.next(), Some(10));
        assert!(timers.pop(9).is_none());
        let order: Vec<u32> =
            std::iter::from_fn(|| timers.pop(25)).map(|(_, key)| key.id).collect();
        assert_eq!(order, [1, 2]);
        assert_eq!(timers.len(), 1);
    }

    #[test]
    fn stale_entries_are_swept_out() {
        let mut timers = Timers::default();
        for id in 1..=10_000 {
            timers.arm(100, Key::new(id, 0));
        }
        timers.sweep(10, |_, key| key.id <= 10);
        assert_eq!(timers.len(), 10);
    }
}
